"""Reading and writing the twins of one hub, and telling devices what changed (contract hub.md 6, 13.6).

How content merges is `twin_patch`'s; JSON, headers and topics are not known here. All refusals are HubError.
"""

from collections.abc import Callable, Mapping, Sequence

from homeport.bus import Bus, TwinChanged
from homeport.clock import Clock
from homeport.hub.desired import DesiredChanges, DesiredListener
from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import Device, JsonObject, Outgoing, Twin
from homeport.hub.ports import DeviceStore
from homeport.hub.registry import ROUNDS, stale
from homeport.hub.sessions import Sessions
from homeport.hub.telling import Telling
from homeport.hub.twin_patch import patch_twin, replace_twin, report
from homeport.values import replace


def _nothing(before: Device, after: Device) -> Sequence[Outgoing]:
    """Tell of a change that is none of the twin's content."""
    del before, after
    return ()


class Twins:
    """The twins of one hub."""

    def __init__(
        self,
        *,
        hub: str,
        store: DeviceStore,
        sessions: Sessions,
        desired: DesiredChanges,
        telling: Telling,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._hub = hub
        self._store = store
        self._telling = telling
        self._sessions = sessions
        self._bus = bus
        self._clock = clock
        self._desired = desired
        self._watchers: list[Callable[[str], None]] = []

    async def get(self, device_id: str) -> Device:
        """Return the twin with the identity it belongs to. Raises DEVICE_NOT_FOUND."""
        device = await self._get(device_id)
        return replace(device, identity=self._sessions.overlay(device.identity))

    async def patch(
        self, device_id: str, *, tags: JsonObject | None, desired: JsonObject | None, expected_version: int | None
    ) -> Device:
        """Merge into tags and desired properties; None expects any version.

        Raises DEVICE_NOT_FOUND, PRECONDITION_FAILED or TwinContentError.
        """
        device = await self._write(
            device_id,
            lambda twin: patch_twin(twin, self._clock.now(), tags=tags, desired=desired),
            expected_version,
            lambda before, after: self._telling.twin_patched(before, after, tags=tags, desired=desired),
        )
        if desired:
            await self._desired.announce(device_id, desired, device.twin.desired.version)
        return device

    async def replace(
        self, device_id: str, *, tags: JsonObject | None, desired: JsonObject | None, expected_version: int | None
    ) -> Device:
        """Replace tags and desired properties whole. Raises as `patch` does."""
        device = await self._write(
            device_id,
            lambda twin: replace_twin(twin, self._clock.now(), tags=tags, desired=desired),
            expected_version,
            self._telling.twin_replaced,
        )
        await self._desired.announce(device_id, device.twin.desired.content, device.twin.desired.version)
        return device

    async def report(self, device_id: str, patch: JsonObject, *, expected_version: int | None = None) -> Twin:
        """Merge into the reported properties; `expected_version` is that section's. Raises as `patch` does."""
        for _ in range(ROUNDS):
            device = await self._get(device_id)
            twin = device.twin
            if expected_version not in (None, twin.reported.version):
                raise stale(device_id)
            changed = report(twin, patch, self._clock.now())
            if changed.reported is twin.reported:
                return twin
            told = self._telling.twin_patched(device, replace(device, twin=changed), reported=patch)
            try:
                stored = await self._store.replace_twin(
                    changed, expected_version=twin.reported.version, reported_only=True, told=told
                )
            except HubError as error:
                if error.code is not HubCode.PRECONDITION_FAILED or expected_version is not None:
                    raise
            else:
                self._telling.stored(stored)
                await self._changed(device_id)
                return changed
        raise stale(device_id)

    async def announce_model(self, device_id: str, model_id: str) -> None:
        """Record the model a device named when it connected (contract hub.md 13.2); versions stay."""
        await self._write(
            device_id, lambda twin: twin if twin.model_id == model_id else replace(twin, model_id=model_id), None
        )

    async def show_configurations(self, device_id: str, shown: Mapping[str, str]) -> None:
        """Record which configurations select the twin, and their status (contract hub.md 11.3); versions stay."""
        await self._write(
            device_id,
            lambda twin: twin if twin.configurations == shown else replace(twin, configurations=dict(shown)),
            None,
        )

    def watch(self, watcher: Callable[[str], None]) -> None:
        """Call this with the identity's id after every change of a twin by this process; it must not wait."""
        self._watchers.append(watcher)

    def listen(self, device_id: str, listener: DesiredListener) -> None:
        """Call this when the desired properties of the device change, in place of an earlier listener."""
        self._desired.listen(device_id, listener)

    def forget(self, device_id: str, listener: DesiredListener) -> None:
        """Stop calling this listener; another one of the same device stays."""
        self._desired.forget(device_id, listener)

    async def _changed(self, device_id: str) -> None:
        for watcher in self._watchers:
            watcher(device_id)
        await self._bus.publish(TwinChanged(hub=self._hub, device_id=device_id))

    async def _get(self, device_id: str) -> Device:
        device = await self._store.get(device_id)
        if device is None:
            # A missing module twin is told as a missing device, too (contract hub.md 6.1).
            raise HubError(HubCode.DEVICE_NOT_FOUND, device_id)
        return device

    async def _write(
        self,
        device_id: str,
        change: Callable[[Twin], Twin],
        expected_version: int | None,
        tell: Callable[[Device, Device], Sequence[Outgoing]] = _nothing,
    ) -> Device:
        """Change the service's side of a twin; `change` gives back the same twin for nothing to do."""
        for _ in range(ROUNDS):
            device = await self.get(device_id)
            twin = device.twin
            if expected_version not in (None, twin.version):
                raise stale(device_id)
            changed = change(twin)
            if changed is twin:
                return device
            after = replace(device, twin=changed)
            try:
                stored = await self._store.replace_twin(
                    changed, expected_version=twin.version, told=tell(device, after)
                )
            except HubError as error:
                if error.code is not HubCode.PRECONDITION_FAILED or expected_version is not None:
                    raise
            else:
                self._telling.stored(stored)
                await self._changed(device_id)
                return after
        raise stale(device_id)
