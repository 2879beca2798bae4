"""Tells what happens at a hub where routes want it: `telling.py`, by the routes there are now."""

from collections.abc import Callable, Sequence

from homeport.clock import Clock
from homeport.hub.model import (
    ConnectionState,
    Device,
    JsonObject,
    MessageSource,
    Outgoing,
    StoredTelemetry,
    Telemetry,
    Twin,
)
from homeport.hub.routing.hub_made import HubMade
from homeport.hub.routing.router import Router
from homeport.security.policies import Random

_CORRELATION_BYTES = 8


class Happenings:
    """What is told of one hub. `router` is asked each time: routes may change."""

    def __init__(
        self,
        *,
        hub: str,
        router: Callable[[], Router],
        stored: Callable[[Sequence[StoredTelemetry]], None],
        clock: Clock,
        random: Random,
    ) -> None:
        """Route by what `router` returns; `stored` lets those know who read the log."""
        self.stored = stored
        self._made = HubMade(hub)
        self._router = router
        self._clock = clock
        self._random = random

    def wanted(self, source: MessageSource) -> bool:
        """Tell whether any route takes messages of this source."""
        return self._router().takes(source)

    def created(self, device: Device) -> Sequence[Outgoing]:
        """Tell that an identity was made."""
        return self._lifecycle(device, created=True)

    def deleted(self, device: Device) -> Sequence[Outgoing]:
        """Tell that an identity was deleted; `device` is as it was."""
        return self._lifecycle(device, created=False)

    def twin_patched(
        self,
        before: Device,
        after: Device,
        *,
        tags: JsonObject | None = None,
        desired: JsonObject | None = None,
        reported: JsonObject | None = None,
    ) -> Sequence[Outgoing]:
        """Tell what was written to a twin."""
        told: list[Outgoing] = []
        if self.wanted(MessageSource.TWIN_CHANGES):
            message = self._made.twin_patched(
                after,
                tags=tags,
                desired=desired,
                reported=reported,
                now=self._clock.now(),
                correlation_id=self._correlation_id(),
            )
            told += self._routed(MessageSource.TWIN_CHANGES, message, after.twin)
        return [*told, *self._digital_twin(before, after)]

    def twin_replaced(self, before: Device, after: Device) -> Sequence[Outgoing]:
        """Tell that tags and desired properties were replaced."""
        told: list[Outgoing] = []
        if self.wanted(MessageSource.TWIN_CHANGES):
            message = self._made.twin_replaced(after, now=self._clock.now(), correlation_id=self._correlation_id())
            told += self._routed(MessageSource.TWIN_CHANGES, message, after.twin)
        return [*told, *self._digital_twin(before, after)]

    def connection(self, device: Device, state: ConnectionState, sequence: int) -> Sequence[Outgoing]:
        """Tell that a device connected or left; `sequence` orders what is told of one device."""
        if not self.wanted(MessageSource.CONNECTION_STATE):
            return ()
        message = self._made.connection(
            device, state, sequence=sequence, now=self._clock.now(), correlation_id=self._correlation_id()
        )
        return self._routed(MessageSource.CONNECTION_STATE, message, device.twin)

    def job_ended(self, identity: str, job_type: str, body: bytes, twin: Twin | None) -> Sequence[Outgoing]:
        """Tell what came of a scheduled job for one device; `body` is its row of `devices.jobs`."""
        message = self._made.job_ended(
            identity, job_type, body, now=self._clock.now(), correlation_id=self._correlation_id()
        )
        return self._routed(MessageSource.JOB_LIFECYCLE, message, twin)

    def needs_twin(self, source: MessageSource) -> bool:
        """Tell whether routing a message of this source takes the device's twin."""
        return self._router().needs_twin(source)

    def _lifecycle(self, device: Device, *, created: bool) -> Sequence[Outgoing]:
        if not self.wanted(MessageSource.DEVICE_LIFECYCLE):
            return ()
        message = self._made.lifecycle(
            device, created=created, now=self._clock.now(), correlation_id=self._correlation_id()
        )
        return self._routed(MessageSource.DEVICE_LIFECYCLE, message, device.twin)

    def _digital_twin(self, before: Device, after: Device) -> Sequence[Outgoing]:
        if not self.wanted(MessageSource.DIGITAL_TWIN_CHANGES):
            return ()
        message = self._made.digital_twin_changed(
            before, after, now=self._clock.now(), correlation_id=self._correlation_id()
        )
        return () if message is None else self._routed(MessageSource.DIGITAL_TWIN_CHANGES, message, after.twin)

    def _routed(self, source: MessageSource, message: Telemetry, twin: Twin | None) -> Sequence[Outgoing]:
        return self._router().route(source, message, twin)

    def _correlation_id(self) -> str:
        return self._random(_CORRELATION_BYTES).hex()
