"""The device's operations at a hub with the fault lab: each asks what is to go wrong with it."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from homeport.faults import FaultLab, Occasion, Place, Point
from homeport.hub.authentication import Accepted, Refused
from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import DeviceIdentity
from homeport.hub.responder import Caller, Connected, Cut, DeviceClaim, DeviceResponder
from homeport.hub.telemetry import PropertyBag
from homeport.values import replace

_CODES = {404: HubCode.OPERATION_NOT_FOUND, 429: HubCode.THROTTLED, 500: HubCode.SERVER_ERROR}
_HTTPS = "https"


class FaultedResponder(DeviceResponder):
    """A DeviceResponder that obeys the lab. Over HTTPS a request is one occasion, whatever it asks for.

    Raises HubError from whatever a device asks, `connect` and `authenticate` included.
    """

    def __init__(self, lab: FaultLab, **parts: Any) -> None:
        super().__init__(**parts)
        self._lab = lab
        self._last: dict[str, asyncio.Future[None]] = {}
        """The last message of each device that waits."""

    async def connect(self, claim: DeviceClaim, end: Callable[[], None], cut: Cut | None = None) -> Connected | Refused:
        await self._obey(Point.CONNECT, claim.device_id, claim.transport)
        return await super().connect(claim, end, cut)

    async def authenticate(self, claim: DeviceClaim) -> Caller | Refused:
        if claim.transport == _HTTPS:  # else it is a token of a connection whose links are still to come
            await self._obey(Point.REQUEST, claim.device_id, claim.transport)
        return await super().authenticate(claim)

    async def send(self, caller: Caller, body: bytes, bag: PropertyBag) -> None:
        if caller.transport != _HTTPS:
            await self._in_order(caller)
        await super().send(caller, body, bag)

    async def read_twin(self, connected: Connected) -> bytes:
        await self._obey(Point.TWIN, connected.caller.device_id, connected.caller.transport)
        return await super().read_twin(connected)

    async def report(self, connected: Connected, body: bytes, expected_version: int | None) -> int:
        await self._obey(Point.REPORT, connected.caller.device_id, connected.caller.transport)
        return await super().report(connected, body, expected_version)

    def _now(self, device_id: str) -> datetime:
        return super()._now(device_id) + self._lab.shift(Place.HUB, device_id, self._hub)

    async def _judge(self, claim: DeviceClaim) -> tuple[DeviceIdentity, Accepted] | Refused:
        verdict = await super()._judge(claim)
        if isinstance(verdict, Refused):
            return verdict
        identity, accepted = verdict
        if accepted.expires_at is not None and (shift := self._lab.shift(Place.HUB, claim.device_id, self._hub)):
            # The connection is watched by the true clock.
            accepted = replace(accepted, expires_at=accepted.expires_at - shift)
        return identity, accepted

    async def _in_order(self, caller: Caller) -> None:
        """Let a message wait as long as it is to, and then until those before it have gone."""
        before = self._last.get(caller.device_id)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last[caller.device_id] = mine
        try:
            await self._obey(Point.SEND, caller.device_id, caller.transport)
            if before is not None:
                await asyncio.shield(before)
        finally:
            mine.set_result(None)
            if self._last.get(caller.device_id) is mine:
                del self._last[caller.device_id]

    async def _obey(self, point: Point, device_id: str, transport: str) -> None:
        occasion = Occasion(place=Place.HUB, point=point, device_id=device_id, hub=self._hub, transport=transport)
        verdict = self._lab.ask(occasion)
        if verdict.delay:
            await self._clock.sleep(verdict.delay)
        if verdict.refusal is not None:
            code = _CODES.get(verdict.refusal.status, HubCode.SERVICE_UNAVAILABLE)
            raise HubError(code, verdict.refusal.text)
