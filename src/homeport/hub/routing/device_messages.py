"""Sends what devices say where the routes want it: one durable write for all endpoints (contract hub.md 13.4, 21).

A hub without routes for its devices' messages does nothing here but hand them on.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from weakref import WeakValueDictionary

from homeport.clock import Clock
from homeport.hub.model import MessageSource, Outgoing, Telemetry, Twin
from homeport.hub.ports import DeviceStore
from homeport.hub.routing.router import Router

TWIN_LIFE = timedelta(seconds=1)
"""How old what routing knows of a twin may be when another process changed it. Azure takes up to five minutes."""
_KNOWN = 10_000

_SOURCE = MessageSource.DEVICE_MESSAGES


class Appends(Protocol):
    """The streams of the hub's event log."""

    async def append(self, message: Telemetry) -> None:
        """Store a message in the built-in one."""
        ...

    async def append_all(self, messages: Sequence[Outgoing]) -> None:
        """Store messages where they go, all of them or none."""
        ...


Send = Callable[[str, Telemetry], Awaitable[None]]
"""Stores a message of an identity; durable when it returns."""


class DeviceMessages:
    """The messages of one hub's devices. Those of one device keep their order."""

    def __init__(self, *, router: Callable[[], Router], log: Appends, devices: DeviceStore, clock: Clock) -> None:
        self._router = router
        self._log = log
        self._devices = devices
        self._clock = clock
        self._twins: OrderedDict[str, tuple[Twin | None, datetime]] = OrderedDict()
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def send(self, identity: str, message: Telemetry) -> None:
        """Store a message of a device or module; durable when this returns, also if no route takes it."""
        router = self._router()
        if router.plain:
            await self._log.append(message)
            return
        if not router.needs_twin(_SOURCE):
            await self._log.append_all(router.route(_SOURCE, message, None))
            return
        line = self._lines.get(identity)
        if line is None:
            line = self._lines[identity] = asyncio.Lock()
        # It is fair, and between its release and the place in the log's line nobody else has a turn.
        async with line:
            twin = await self._twin(identity)
        await self._log.append_all(router.route(_SOURCE, message, twin))

    def forget(self, identity: str) -> None:
        """Learn that a twin has changed."""
        self._twins.pop(identity, None)

    async def _twin(self, identity: str) -> Twin | None:
        now = self._clock.now()
        known = self._twins.get(identity)
        if known is not None and now - known[1] < TWIN_LIFE:
            return known[0]
        device = await self._devices.get(identity)
        twin = None if device is None else device.twin
        self._twins[identity] = (twin, now)
        self._twins.move_to_end(identity)
        if len(self._twins) > _KNOWN:
            self._twins.popitem(last=False)
        return twin
