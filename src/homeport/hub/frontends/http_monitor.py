"""What those who watch a hub ask: its messages, their number (`/homeport/telemetry…`), and the stream of what happens.

Our own endpoints, beside the contract's. They read the log, the registry and twins; nothing is written here.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from homeport.bus import Bus
from homeport.clock import Clock
from homeport.hub.authentication import Audience, Refused, authorize_service
from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.live_documents import telemetry_document
from homeport.hub.frontends.monitor_stream import HEARTBEAT_SECONDS, MonitorStream
from homeport.hub.identifiers import is_part
from homeport.hub.model import Device, DeviceIdentity
from homeport.hub.telemetry import TelemetryStream
from homeport.hub.watching import Begin, Changed, Kind, Place, Watch
from homeport.net.sites import raw_path
from homeport.net.stream import Peer
from homeport.security.policies import HubRight
from homeport.wire import parse_time
from homeport.wire.hub_service import ErrorBody

MONITOR = "/homeport/monitor"
LATEST = "/homeport/telemetry"
COUNT = f"{LATEST}/count"
MAX_LISTED = 1000
MAX_REPLAYED = 256
MAX_STREAMS = 64
"""Open at one hub at the same time; the next one is throttled."""

_TELEMETRY = "telemetry"
_log = logging.getLogger(__name__)


class MonitorFrontEnd:
    """Answers `/homeport/monitor`, `/homeport/telemetry` and `…/count` for one hub, to policies with ServiceConnect."""

    def __init__(
        self,
        *,
        hub: str,
        audience: Callable[[], Audience],
        telemetry: TelemetryStream,
        identity: Callable[[str], Awaitable[DeviceIdentity]],
        twin: Callable[[str], Awaitable[Device]],
        bus: Bus,
        clock: Clock,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Read what this hub has; `identity` and `twin` are the `get` of registry and twins."""
        self._hub = hub
        self._audience = audience
        self._telemetry = telemetry
        self._identity = identity
        self._twin = twin
        self._bus = bus
        self._clock = clock
        self._heartbeat = heartbeat
        self._streams = 0

    def owns(self, method: str, path: str) -> bool:
        del method
        return path.rstrip("/") == MONITOR or path == LATEST or path.startswith(LATEST + "/")

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        del peer
        try:
            self._authorize(request)
            return await self._answer(request)
        except HubError as error:
            return _refusal(error)

    def _authorize(self, request: web.BaseRequest) -> None:
        verdict = authorize_service(
            self._audience(),
            request.headers.get("Authorization"),
            [part for part in raw_path(request).split("/") if part],
            {HubRight.SERVICE_CONNECT},
            self._clock.now(),
        )
        if isinstance(verdict, Refused):
            _log.info("hub %s: watching was refused: %s", self._hub, verdict.explanation)
            raise HubError(HubCode.UNAUTHORIZED_ACCESS, "The token does not permit to watch this hub.")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = raw_path(request).rstrip("/")
        if path not in {MONITOR, LATEST, COUNT}:
            raise HubError(HubCode.OPERATION_NOT_FOUND, "There is no such address.")
        if request.method not in {"GET", "HEAD"}:
            raise HubError(HubCode.METHOD_NOT_ALLOWED, "Only GET is offered here.")
        query = _Query(request.raw_path.partition("?")[2])
        log, device_id = self._telemetry.log, query.device_id
        if path == MONITOR:
            return await self._watch(request, query)
        if path == LATEST:
            limit = query.number("limit", default=100, smallest=1, largest=MAX_LISTED)
            messages = await log.latest(device_id=device_id, limit=limit)
            return _json([telemetry_document(message) for message in messages])
        if device_id is None:
            raise HubError(HubCode.ARGUMENT_INVALID, "deviceId is missing.")
        return _json({"deviceId": device_id, "count": await log.count(device_id)})

    async def _watch(self, request: web.BaseRequest, query: "_Query") -> web.StreamResponse:
        wanted = query.words("events", {_TELEMETRY, *Kind})
        kinds = frozenset(Kind(word) for word in wanted - {_TELEMETRY})
        replay = query.number("replay", default=0, smallest=0, largest=MAX_REPLAYED)
        begin = query.begin or replay
        device_id = query.device_id
        if device_id is not None:
            await self._identity(device_id)
        if self._streams >= MAX_STREAMS:
            raise HubError(HubCode.THROTTLED, f"{MAX_STREAMS} live streams are open already.")
        telemetry = _TELEMETRY in wanted
        watch = Watch(
            hub=self._hub,
            log=self._telemetry.log,
            bus=self._bus,
            kinds=kinds,
            telemetry=telemetry,
            device_id=device_id,
        )
        if device_id is not None and replay and Kind.CONNECTION in kinds:
            watch.note(Changed(kind=Kind.CONNECTION, device_id=device_id))
        stream = MonitorStream(
            watch, identity=self._identity, twin=self._twin, clock=self._clock, heartbeat=self._heartbeat
        )
        self._streams += 1
        try:
            return await stream.answer(request, begin if telemetry else None)
        finally:
            self._streams -= 1


class _Query:
    """The query string; refuses what it cannot read."""

    def __init__(self, text: str) -> None:
        """Read it as it was sent: device ids may hold `%` and `+`, so it must be decoded once, and only once."""
        try:
            fields = parse_qs(text, max_num_fields=32)
        except ValueError:
            raise HubError(HubCode.ARGUMENT_INVALID, "The query string has too many parameters.") from None
        self._values = {name.lower(): values[-1] for name, values in fields.items()}

    @property
    def device_id(self) -> str | None:
        device_id = self._values.get("deviceid")
        if device_id is not None and not is_part(device_id):
            raise HubError(HubCode.ARGUMENT_INVALID, "deviceId cannot be the id of a device.")
        return device_id

    @property
    def begin(self) -> Begin | None:
        """Where a stream begins: behind the event `after`, or at the time `since`; None without either."""
        since, after = self._values.get("since"), self._values.get("after")
        try:
            if after is not None:
                return Place.parse(after)
            return None if since is None else parse_time(since)
        except ValueError:
            raise HubError(
                HubCode.ARGUMENT_INVALID, "since is a time like 2026-01-31T12:00:00Z, after the id of an event."
            ) from None

    def number(self, name: str, *, default: int, smallest: int, largest: int) -> int:
        text = self._values.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) < 9 and smallest <= int(text) <= largest):
            raise HubError(HubCode.ARGUMENT_INVALID, f"{name} is not a number from {smallest} to {largest}.")
        return int(text)

    def words(self, name: str, known: AbstractSet[str]) -> frozenset[str]:
        """Return the words of a list with commas; all that are known, if there is none."""
        words = frozenset(self._values.get(name, ",".join(known)).split(","))
        if not words <= known:
            raise HubError(HubCode.ARGUMENT_INVALID, f"{name} is a list of {' and '.join(sorted(known))}.")
        return words


def _json(document: Any) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(document),
        headers={"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"},
    )


def _refusal(error: HubError) -> web.Response:
    """Return the hub's error body (contract hub.md 22.1)."""
    tracking_id = secrets.token_hex(16)
    body = ErrorBody(
        message=f"ErrorCode:{error.code.wire_name};{error.message}",
        exception_message=f"Tracking ID:{tracking_id}",
    )
    headers: Mapping[str, str] = {
        "Content-Type": "application/json; charset=utf-8",
        "iothub-errorcode": error.code.wire_name,
    }
    if error.code is HubCode.METHOD_NOT_ALLOWED:
        headers = {**headers, "Allow": "GET, HEAD"}
    return web.Response(status=error.code.status, body=msgspec.json.encode(body), headers=headers)
