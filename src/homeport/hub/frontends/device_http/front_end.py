"""The front-end of devices over HTTPS (contract hub.md 17)."""

import logging
import secrets
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import unquote

from aiohttp import web

from homeport.hub.authentication import Reason, Refused
from homeport.hub.device_files import MAX_BODY as MAX_FILE_BODY
from homeport.hub.device_side import DeviceSide
from homeport.hub.errors import HubCode, HubError
from homeport.hub.faults.messages import REFUSALS, FaultMessages, Transport
from homeport.hub.frontends.device_http.properties import (
    BATCH,
    MAX_BATCH_TEXT,
    read_batch,
    read_properties,
    write_headers,
)
from homeport.hub.frontends.service.resource import Request, Target, is_of_devices
from homeport.hub.identifiers import identity_id
from homeport.hub.message_lock import Settlement
from homeport.hub.reply import Reply, as_hub_error, error_reply
from homeport.hub.responder import Caller, DeviceClaim
from homeport.hub.telemetry import MAX_MESSAGE_BYTES, PropertyBag
from homeport.net.stream import Peer

MAX_LOCK_SECONDS = 300
_UNPROVEN = frozenset({Reason.NO_PROOF, Reason.MALFORMED})

_log = logging.getLogger(__name__)


class DeviceHttpFrontEnd:
    """Answers `/devices/{d}[/modules/{m}]/messages/…` (events in, messages out and settled) and `…/files`."""

    def __init__(self, side: DeviceSide) -> None:
        self._side = side

    def owns(self, method: str, path: str) -> bool:
        del method
        return is_of_devices(path, "messages", "files")

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        tracking_id = secrets.token_hex(16)
        content_type = None
        try:
            reply = await self._answer(request, peer)
            content_type = _content_type(reply)
        except (web.HTTPException, ConnectionError):
            raise  # a body that did not arrive, or not in time: net's to answer, and no fault of ours
        except Exception as fault:
            if not isinstance(fault, HubError):
                _log.exception("hub %s: %s failed, tracking id %s", self._side.hub, request.method, tracking_id)
            reply = error_reply(as_hub_error(fault), tracking_id, self._side.clock.now())
            content_type = reply.content_type
        response = web.Response(status=reply.status, body=reply.body, headers=reply.headers)
        if content_type is not None:
            response.headers["Content-Type"] = content_type
        return response

    async def _answer(self, request: web.BaseRequest, peer: Peer) -> Reply:
        try:
            target = Target.of(request.raw_path)
        except ValueError:
            raise HubError(HubCode.ARGUMENT_INVALID, "The query string has too many parameters.") from None
        asked = Request(request, target)
        device_id, rest = _identity(target.segments[1:])
        match request.method, [device_id, *(segment.lower() for segment in rest)]:
            case "POST", [device_id, "messages", "events"]:
                return await self._send(await self._caller(device_id, asked, peer), request, asked)
            case "GET", [device_id, "messages", "devicebound"]:
                return await self._receive(await self._caller(device_id, asked, peer), asked)
            case "DELETE", [device_id, "messages", "devicebound", token]:
                caller = await self._caller(device_id, asked, peer)
                return await self._settle(caller, token, _done_or_rejected(target))
            case "POST", [device_id, "messages", "devicebound", token, "abandon"]:
                caller = await self._caller(device_id, asked, peer)
                return await self._settle(caller, token, Settlement.ABANDON)
            case "POST", [device_id, "files"]:
                caller = await self._caller(device_id, asked, peer)
                host = called_by(asked.host, self._side.audience().hosts)
                return await self._side.files.begin(caller.device_id, await asked.body(MAX_FILE_BODY), host=host)
            case "POST", [device_id, "files", "notifications", *_]:
                caller = await self._caller(device_id, asked, peer)
                correlation_id = next(iter(rest[2:]), "")  # in its own letter case
                return await self._side.files.end(caller.device_id, await asked.body(MAX_FILE_BODY), correlation_id)
            case _:
                raise HubError(HubCode.OPERATION_NOT_FOUND, "This server has no such operation for devices.")

    async def _caller(self, device_id: str, request: Request, peer: Peer) -> Caller:
        claim = DeviceClaim(
            device_id=device_id,
            token=request.header("Authorization"),
            chain=peer.chain,
            remote=peer.remote.host,
            transport="https",
        )
        caller = await self._side.responder.authenticate(claim)
        if isinstance(caller, Refused):
            code = HubCode.UNAUTHORIZED if caller.reason in _UNPROVEN else HubCode.UNAUTHORIZED_ACCESS
            raise HubError(code, "Unauthorized")
        return caller

    async def _send(self, caller: Caller, request: web.BaseRequest, asked: Request) -> Reply:
        if request.content_type.lower() == BATCH:
            messages = read_batch(await asked.body(MAX_BATCH_TEXT))
        else:
            messages = [(await asked.body(MAX_MESSAGE_BYTES), read_properties(request.headers.items()))]
        if self._side.faults is not None:
            self._break(self._side.faults, caller, [bag for _, bag in messages])
        for body, bag in messages:
            await self._side.responder.send(caller, body, bag)
        return Reply(status=204)

    def _break(self, faults: FaultMessages, caller: Caller, bags: Sequence[PropertyBag]) -> None:
        """Refuse a request that asks for it, at once; nothing lasts beyond it (contract hub.md 28.4)."""
        for bag in bags:
            fault = faults.read(bag.properties, Transport.HTTPS)
            if fault is not None:
                faults.note(caller, fault)
                raise HubError(REFUSALS[fault.type], fault.reason)

    async def _receive(self, caller: Caller, asked: Request) -> Reply:
        seconds = asked.parameter("iothub-messagelocktimeout") or asked.header("IotHub-MessageLockTimeout") or ""
        asks = seconds.isascii() and seconds.isdigit() and len(seconds) < 5
        life = timedelta(seconds=min(max(int(seconds), 1), MAX_LOCK_SECONDS)) if asks else None
        delivery = await self._side.messages.receive(caller.device_id, life=life, of_connection=False)
        if delivery is None:
            return Reply(status=204)
        return Reply(status=200, body=delivery.message.body, headers=write_headers(caller.device_id, delivery))

    async def _settle(self, caller: Caller, token: str, settlement: Settlement) -> Reply:
        await self._side.messages.settle(caller.device_id, token.strip('"'), settlement)
        return Reply(status=204)


def _content_type(reply: Reply) -> str | None:
    """Return the type of an answer: a message's payload is bytes, everything else JSON."""
    if reply.body is not None and "iothub-sequencenumber" in reply.headers:
        return "application/octet-stream"
    return reply.content_type


def called_by(host: str, names: Sequence[str]) -> str:
    """Return the hub's name by which a client called, with the port it used; its first name if it was another."""
    bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    known = {name.lower() for name in names}
    if bare.strip("[]").rstrip(".").lower() in known:
        return host
    return f"[{names[0]}]" if ":" in names[0] else names[0]


def _done_or_rejected(target: Target) -> Settlement:
    """Tell a reject in any spelling of the SDKs; Java's question mark arrives inside the name."""
    rejects = any(unquote(name).lstrip("?") == "reject" for name in target.parameters)
    return Settlement.REJECT if rejects else Settlement.COMPLETE


def _identity(segments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Take the identity off what stands behind `/devices/`."""
    if len(segments) > 2 and segments[1].lower() == "modules":
        return identity_id(segments[0], segments[2]), segments[3:]
    return segments[0], segments[1:]
