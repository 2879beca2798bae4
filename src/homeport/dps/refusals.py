"""The records of calls that were refused for being too many: one for each device and period, with a count.

A flood is told about, but telling must not be what brings the server down.
"""

import logging
from dataclasses import dataclass, field
from typing import Protocol

from homeport.clock import Clock
from homeport.dps.model import CallContext, DeviceClaim, Evidence
from homeport.dps.throttle import ThrottledError
from homeport.errors import Code, HomeportError
from homeport.limits import Buckets, Rate

PERIOD = 60.0
_TOLD_AT_ONCE = Rate(100, 10)
"""Devices whose first refusal is recorded when it happens; the rest wait for the end of the period."""
_DEVICES = 1000

_log = logging.getLogger(__name__)


class Write(Protocol):
    """Leaves the record of a refused call."""

    def __call__(
        self, claim: DeviceClaim, evidence: Evidence, context: CallContext, error: HomeportError, *, check: str
    ) -> None: ...


@dataclass(slots=True)
class _Device:
    claim: DeviceClaim
    evidence: Evidence = field(repr=False)
    context: CallContext
    why: str
    untold: int


class Refusals:
    """Gathers refusals; `run` writes what was gathered at the end of each period."""

    def __init__(self, write: Write, clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._devices: dict[str, _Device] = {}
        self._others = 0
        self._at_once: Buckets[None] = Buckets(_TOLD_AT_ONCE)

    def note(self, claim: DeviceClaim, evidence: Evidence, context: CallContext, error: ThrottledError) -> None:
        """Record the first refusal of a device in this period; count the others."""
        key = claim.registration_id.lower()
        known = self._devices.get(key)
        if known is not None:
            known.untold += 1
            return
        if len(self._devices) >= _DEVICES:
            self._others += 1
            return
        self._devices[key] = _Device(claim, evidence, context, error.why, 0)
        if self._at_once.take(None, self._clock.now().timestamp()):
            self._devices[key].untold = 1
        else:
            self._write(claim, evidence, context, _told(error.why), check="limits")

    def flush(self) -> None:
        """Write a record for each device that was refused more often than was told, and begin a new period."""
        devices, others = self._devices, self._others
        self._devices, self._others = {}, 0
        for device in devices.values():
            if device.untold:
                text = f"{device.why}; refused {device.untold} more times within {PERIOD:g} s"
                self._write(device.claim, device.evidence, device.context, _told(text), check="limits")
        if devices:
            count = len(devices)
            _log.warning(
                "calls of %d devices%s were over a limit in the last %g s",
                count,
                f" (and {others} calls of more devices)" if others else "",
                PERIOD,
            )

    async def run(self) -> None:
        """Write each period's counts, until cancelled; then what there is."""
        try:
            while True:
                await self._clock.sleep(PERIOD)
                self.flush()
        finally:
            self.flush()


def _told(why: str) -> HomeportError:
    return HomeportError(Code.THROTTLED, why)
