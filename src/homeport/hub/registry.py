"""The identity registry of one hub: create, update, delete, list, and provisioning in one write (contract hub.md 4).

JSON, headers and rights are not known here. All refusals are HubError.
"""

from collections.abc import Sequence

from homeport.bus import Bus, DeviceChanged
from homeport.clock import Clock
from homeport.hub.errors import HubCode, HubError
from homeport.hub.identifiers import identity_id, not_found
from homeport.hub.identities import (
    KEY_BYTES,
    SYSTEM_MODULES,
    IdentityWrite,
    InitialTwin,
    new_etag,
    new_identity,
    replaced_identity,
    reset_twin,
    scopes,
)
from homeport.hub.model import (
    Authentication,
    Device,
    DeviceIdentity,
    JsonObject,
    MessageSource,
    NoAuthentication,
    RegistryStatistics,
    SasAuthentication,
    Sought,
)
from homeport.hub.ports import DeviceStore
from homeport.hub.sessions import Sessions
from homeport.hub.telling import Telling
from homeport.hub.thumbprints import without_thumbprint
from homeport.hub.twin_patch import new_twin
from homeport.paging import Page
from homeport.security.policies import Random
from homeport.values import replace

MAX_LISTED = 1000
ROUNDS = 8
"""How often a write that expects nothing is tried again when others write at the same time."""


class Registry:
    """The devices of one hub. Every change is announced on the bus, so that connections are looked at."""

    def __init__(
        self,
        *,
        hub: str,
        store: DeviceStore,
        sessions: Sessions,
        telling: Telling,
        bus: Bus,
        clock: Clock,
        random: Random,
    ) -> None:
        self._hub = hub
        self._telling = telling
        self._store = store
        self._sessions = sessions
        self._bus = bus
        self._clock = clock
        self._random = random

    async def get(self, device_id: str) -> DeviceIdentity:
        """Raise DEVICE_NOT_FOUND or MODULE_NOT_FOUND if there is none."""
        identity = await self._store.get_identity(device_id)
        if identity is None:
            raise not_found(device_id)
        return self._sessions.overlay(identity)

    async def list(self, limit: int = MAX_LISTED) -> Sequence[DeviceIdentity]:
        """Return up to `limit` identities in no defined order."""
        return [self._sessions.overlay(identity) for identity in await self._store.list(limit=limit)]

    async def modules(self, device_id: str) -> Sequence[DeviceIdentity]:
        """Return a device's modules. Raises DEVICE_NOT_FOUND."""
        modules = await self._store.modules(device_id)
        if not modules:
            await self.get(device_id)
        return [self._sessions.overlay(module) for module in modules]

    async def page(
        self, *, after: str | None, limit: int, modules: bool = False, sought: Sequence[Sought] = ()
    ) -> Page[Device]:
        """Return devices, or else modules, with their twins in order of id; `sought` as DeviceStore.page has it."""
        page = await self._store.page(after=after, limit=limit, modules=modules, sought=sought)
        devices = [replace(device, identity=self._sessions.overlay(device.identity)) for device in page.items]
        return Page(items=devices, after=page.after)

    async def find(self, device_id: str) -> Device | None:
        """Return an identity with its twin, or None."""
        device = await self._store.get(device_id)
        return None if device is None else replace(device, identity=self._sessions.overlay(device.identity))

    async def statistics(self) -> RegistryStatistics:
        return await self._store.statistics()

    async def create(
        self, write: IdentityWrite, twin: InitialTwin | None = None, *, durable: bool = True
    ) -> DeviceIdentity:
        """Create an identity and its twin. Raises DEVICE_ALREADY_EXISTS, or TwinContentError.

        A module also raises MODULE_ALREADY_EXISTS, TOO_MANY_MODULES, and DEVICE_NOT_FOUND without its device. An Edge
        device gets its two system modules.

        Without `durable` they last, and are seen, from the caller's next write to the same database on.
        """
        device = self.prepared(write, twin)
        told = self._telling.created(device)
        self._telling.stored(await self._store.create(device, durable=durable, told=told))
        await self._changed(write.device_id)
        if write.iot_edge:
            await self._add_system_modules(write.device_id)
        return device.identity

    def prepared(self, write: IdentityWrite, twin: InitialTwin | None = None) -> Device:
        """Make an identity and its twin, but store nothing. Raises TwinContentError."""
        now = self._clock.now()
        start = twin or InitialTwin()
        return Device(
            identity=new_identity(write, now, self._random),
            twin=new_twin(write.device_id, now, tags=start.tags, desired=start.desired, reported=start.reported),
        )

    async def update(self, write: IdentityWrite, *, expected_etag: str | None) -> DeviceIdentity:
        """Replace an identity; None expects any. Raises DEVICE_NOT_FOUND or PRECONDITION_FAILED."""
        for _ in range(ROUNDS):
            stored = await self._store.get_identity(write.device_id)
            if stored is None:
                raise not_found(write.device_id)
            if expected_etag not in (None, stored.etag):
                raise stale(write.device_id)
            identity = replaced_identity(write, stored, self._clock.now(), self._random)
            try:
                await self._store.replace_identity(identity, expected_etag=stored.etag)
            except HubError as error:
                if error.code is not HubCode.PRECONDITION_FAILED or expected_etag is not None:
                    raise
                continue
            await self._changed(write.device_id)
            if write.iot_edge and not stored.iot_edge:
                await self._add_system_modules(write.device_id)
            return self._sessions.overlay(identity)
        raise stale(write.device_id)

    async def regenerate_keys(self, device_id: str, *, primary: bool, secondary: bool) -> SasAuthentication:
        """Give an identity a new key or two; return both. Raises as `get`, or ARGUMENT_INVALID if it has none."""
        for _ in range(ROUNDS):
            stored = await self._store.get_identity(device_id)
            if stored is None:
                raise not_found(device_id)
            old = stored.authentication
            if not isinstance(old, SasAuthentication):
                raise HubError(HubCode.ARGUMENT_INVALID, f"{device_id} does not prove itself with keys.")
            keys = SasAuthentication(
                primary_key=self._random(KEY_BYTES) if primary else old.primary_key,
                secondary_key=self._random(KEY_BYTES) if secondary else old.secondary_key,
            )
            try:
                await self._store.replace_identity(
                    replace(stored, etag=new_etag(self._random), authentication=keys), expected_etag=stored.etag
                )
            except HubError as error:
                if error.code is not HubCode.PRECONDITION_FAILED:
                    raise
                continue
            await self._changed(device_id)
            return keys
        raise stale(device_id)

    async def delete(self, device_id: str, *, expected_etag: str | None) -> None:
        """Delete identity and twin; None expects any. Raises DEVICE_NOT_FOUND or PRECONDITION_FAILED."""
        tell = self._telling.deleted if self._telling.wanted(MessageSource.DEVICE_LIFECYCLE) else None
        self._telling.stored(await self._store.delete(device_id, expected_etag=expected_etag, tell=tell))
        await self._changed(device_id)

    # ------------------------------------------------------------ for a provisioning service in this process

    async def provision(
        self,
        device_id: str,
        authentication: Authentication,
        *,
        iot_edge: bool | None,
        tags: JsonObject,
        desired: JsonObject,
        reported: JsonObject | None = None,
        overwrite_twin: bool = False,
        durable: bool = True,
    ) -> None:
        """Create the device, or take an existing one over, in one write; repeating it does no harm.

        `iot_edge` None leaves the capability as it is. Of an existing device the status stays, and so does the
        twin unless `overwrite_twin`; `reported` None is never written. Nothing is written, and no etag changes,
        when the device is already as wished. `durable` is as for `create`. Raises TwinContentError, and
        SERVICE_UNAVAILABLE if others keep writing.
        """
        write = IdentityWrite(device_id=device_id, authentication=authentication, iot_edge=bool(iot_edge))
        twin = InitialTwin(tags=tags, desired=desired, reported=reported)
        for _ in range(ROUNDS):
            try:
                # Most devices are new to their hub: writing first saves them the read.
                await self.create(write, twin, durable=durable)
            except HubError as error:
                if error.code is not HubCode.DEVICE_ALREADY_EXISTS:
                    raise
            else:
                return
            try:
                if await self._take_over(write, iot_edge=iot_edge, twin=twin if overwrite_twin else None):
                    return
            except HubError as race:
                if race.code is not HubCode.PRECONDITION_FAILED:
                    raise
        raise HubError(HubCode.SERVICE_UNAVAILABLE, f"Others keep writing {device_id}.")

    async def read(self, device_id: str) -> Device | None:
        """Return identity and twin, or None."""
        return await self._store.get(device_id)

    async def remove(self, device_id: str) -> None:
        """Delete the device whatever its version; a missing one is fine."""
        try:
            await self.delete(device_id, expected_etag=None)
        except HubError as error:
            if error.code is not HubCode.DEVICE_NOT_FOUND:
                raise

    async def withdraw(self, device_id: str, thumbprint: str) -> None:
        """Stop accepting a certificate; nothing happens if the device is missing or does not use it.

        An identity whose only certificate it was is left with one that nobody can have. Raises SERVICE_UNAVAILABLE
        if others keep writing.
        """
        for _ in range(ROUNDS):
            stored = await self._store.get_identity(device_id)
            if stored is None:
                return
            remaining = without_thumbprint(stored.authentication, thumbprint)
            if remaining is stored.authentication:
                return
            changed = replace(stored, authentication=remaining, etag=new_etag(self._random))
            try:
                await self._store.replace_identity(changed, expected_etag=stored.etag)
            except HubError as error:
                if error.code not in {HubCode.PRECONDITION_FAILED, HubCode.DEVICE_NOT_FOUND}:
                    raise
                continue
            await self._changed(device_id)
            return
        raise HubError(HubCode.SERVICE_UNAVAILABLE, f"Others keep writing {device_id}.")

    async def _take_over(self, write: IdentityWrite, *, iot_edge: bool | None, twin: InitialTwin | None) -> bool:
        """Write credential, capability and, if given, the twin; False if the device has gone meanwhile."""
        device = await self._store.get(write.device_id)
        if device is None:
            return False
        stored, now = device.identity, self._clock.now()
        changed = stored
        if write.authentication is not None and write.authentication != stored.authentication:
            changed = replace(changed, authentication=write.authentication)
        if iot_edge is not None and iot_edge is not stored.iot_edge:
            scope, parents = scopes(write, now, stored)
            changed = replace(changed, iot_edge=iot_edge, device_scope=scope, parent_scopes=parents)
        new = device.twin if twin is None else reset_twin(device.twin, twin, now)
        if changed is stored and new is device.twin:
            return True
        if changed is not stored:
            changed = replace(changed, etag=new_etag(self._random))
        if new is device.twin:
            await self._store.replace_identity(changed, expected_etag=stored.etag)
        else:
            after = Device(identity=changed, twin=new)
            told = self._telling.twin_replaced(device, after)
            self._telling.stored(await self._store.replace(after, expected_etag=stored.etag, told=told))
        await self._changed(write.device_id)
        return True

    async def _add_system_modules(self, device_id: str) -> None:
        """Make the modules every Edge device has; those that are there stay (contract hub.md 4.2)."""
        for module_id in SYSTEM_MODULES:
            write = IdentityWrite(
                device_id=identity_id(device_id, module_id), authentication=NoAuthentication(), managed_by="iotEdge"
            )
            try:
                await self.create(write)
            except HubError as error:
                if error.code is not HubCode.MODULE_ALREADY_EXISTS:
                    raise

    async def _changed(self, device_id: str) -> None:
        await self._bus.publish(DeviceChanged(hub=self._hub, device_id=device_id))


def stale(device_id: str) -> HubError:
    """Return the refusal of a write that expected another version."""
    return HubError(HubCode.PRECONDITION_FAILED, f"The etag given for {device_id} is not the current one.")
