"""A hub's part in somebody else's transaction in the same database: a device that is new, or one that stays as it is.

For a provisioning service in this process, which records its outcome in that transaction.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from homeport.bus import Bus, DeviceChanged
from homeport.hub.identities import IdentityWrite, InitialTwin
from homeport.hub.model import Authentication, DeviceIdentity, StoredTelemetry
from homeport.hub.ports import DeviceStore
from homeport.hub.registry import Registry
from homeport.hub.telling import Telling

__all__ = ["JoinedDevice", "Joining"]


class JoinedDevice(Struct, frozen=True, kw_only=True):
    """`write` is called with the transaction, as its last part, and may be called again if that is tried again.

    It returns False, and has written nothing, if the device is not as was thought. `announce` is to be called once the
    transaction is durable.
    """

    write: Callable[[Any], Coroutine[Any, Any, bool]]
    announce: Callable[[], Awaitable[None]]


class Joining:
    """Prepares this for the devices of one hub."""

    def __init__(self, *, hub: str, registry: Registry, store: DeviceStore, telling: Telling, bus: Bus) -> None:
        self._hub = hub
        self._registry = registry
        self._store = store
        self._telling = telling
        self._bus = bus

    def new_device(self, device_id: str, authentication: Authentication, twin: InitialTwin) -> JoinedDevice:
        """Make a device, which is no Edge device, if there is none of this name. Raises TwinContentError."""
        device = self._registry.prepared(IdentityWrite(device_id=device_id, authentication=authentication), twin)
        create = self._store.creation(device, told=self._telling.created(device))
        stored: Sequence[StoredTelemetry] = ()

        async def write(transaction: Any) -> bool:
            nonlocal stored
            result = await create(transaction)
            stored = result or ()
            return result is not None

        async def announce() -> None:
            self._telling.stored(stored)
            await self._bus.publish(DeviceChanged(hub=self._hub, device_id=device_id))

        return JoinedDevice(write=write, announce=announce)

    def same_device(self, device_id: str, authentication: Authentication, *, iot_edge: bool | None) -> JoinedDevice:
        """Only look whether `Registry.provision`, without a twin, would change nothing."""

        def is_same(stored: DeviceIdentity) -> bool:
            return stored.authentication == authentication and iot_edge in (None, stored.iot_edge)

        return JoinedDevice(write=partial(self._store.holds, device_id, is_same), announce=_nothing_to_tell)


async def _nothing_to_tell() -> None:
    pass
