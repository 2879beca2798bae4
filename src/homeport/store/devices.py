"""One hub's device identities and twins in SQL."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from homeport.hub.errors import HubCode, HubError
from homeport.hub.identifiers import device_of as owner_of
from homeport.hub.identifiers import module_of, not_found
from homeport.hub.model import (
    Device,
    DeviceIdentity,
    DeviceStatus,
    Outgoing,
    RegistryStatistics,
    Sought,
    StoredTelemetry,
    Twin,
)
from homeport.hub.ports import TellDeleted
from homeport.paging import Page
from homeport.store.connection_states import SqlConnectionStates
from homeport.store.database import Parameters, Transaction, Value, Work
from homeport.store.device_rows import (
    DEVICE_COLUMNS,
    IDENTITY_COLUMNS,
    activity_values,
    device_of,
    identity_of,
    identity_values,
    reported_values,
    service_side_values,
)
from homeport.store.log_writing import LogWrite
from homeport.store.twin_search import Search
from homeport.values import replace

MAX_MODULES = 50
"""On one device (contract hub.md 23)."""
STRETCH = 2000
"""Devices looked through at a time."""

_ONE = "WHERE hub = :hub AND device_id = :device_id"
_GET = f"SELECT {DEVICE_COLUMNS} FROM devices {_ONE}"
_GET_IDENTITY = f"SELECT {IDENTITY_COLUMNS} FROM devices {_ONE}"
_LIST = f"SELECT {IDENTITY_COLUMNS} FROM devices WHERE hub = :hub AND is_module = 0 ORDER BY device_id LIMIT :limit"
_PAGE = f"SELECT {DEVICE_COLUMNS} FROM devices WHERE hub = :hub AND device_id > :after AND is_module = "
_PAGE_ORDER = " ORDER BY device_id LIMIT :limit"
# A search reads no further at a time: SQLite's reads hold up everything else.
_STRETCH = "SELECT device_id FROM devices WHERE hub = :hub AND device_id > :after AND is_module = "
_STRETCH_END = f" ORDER BY device_id LIMIT 1 OFFSET {STRETCH - 1}"

# A module's id begins with its device's id and a slash; the character behind the slash is 0.
_OF_DEVICE = "hub = :hub AND device_id >= :owner || '/' AND device_id < :owner || '0'"
_MODULES = f"SELECT {IDENTITY_COLUMNS} FROM devices WHERE {_OF_DEVICE} ORDER BY device_id"
_MODULES_WITH_TWINS = f"SELECT {DEVICE_COLUMNS} FROM devices WHERE {_OF_DEVICE} ORDER BY device_id"
_COUNT_MODULES = f"SELECT count(*) FROM devices WHERE {_OF_DEVICE}"
_DELETE_MODULES = f"DELETE FROM devices WHERE {_OF_DEVICE}"
# PostgreSQL: the device stays as long as a module is being made, and they are made one after the other.
_OWNER = "SELECT status FROM devices WHERE hub = :hub AND device_id = :owner /*postgres FOR UPDATE*/"
_STATUS = "SELECT status FROM devices WHERE hub = :hub AND device_id = :owner"

_CREATE = """
    INSERT INTO devices (
        hub, device_id, etag, status, connection_state, connection_state_at, last_activity_at,
        twin_version, reported_version, identity, twin, reported, is_module
    ) VALUES (
        :hub, :device_id, :etag, :status, :connection_state, :connection_state_at, :last_activity_at,
        :twin_version, :reported_version, :identity, :twin, :reported, :is_module
    ) ON CONFLICT (hub, device_id) DO NOTHING"""

_SET_IDENTITY = "etag = :etag, status = :status, identity = :identity"
_SET_SERVICE_SIDE = "twin_version = :twin_version, twin = :twin"
_SET_REPORTED = "reported_version = :reported_version, reported = :reported"

_REPLACE_IDENTITY = f"UPDATE devices SET {_SET_IDENTITY} {_ONE}"
_REPLACE_SERVICE_SIDE = f"UPDATE devices SET {_SET_SERVICE_SIDE} {_ONE}"
_REPLACE_REPORTED = f"UPDATE devices SET {_SET_REPORTED} {_ONE}"
_REPLACE = f"UPDATE devices SET {_SET_IDENTITY}, {_SET_SERVICE_SIDE}, {_SET_REPORTED} {_ONE}"
_DELETE = f"DELETE FROM devices {_ONE}"

# A device that is created anew must not find what was sent to its predecessor.
_DELETE_MESSAGES = """
    DELETE FROM messages WHERE hub = :hub
    AND (target = :device_id OR (target >= :device_id || '/' AND target < :device_id || '0'))"""

_STATISTICS = "SELECT status, count(*) FROM devices WHERE hub = :hub AND is_module = 0 GROUP BY status"
_DELETE_SUBSCRIPTIONS = """
    DELETE FROM mqtt_subscriptions WHERE hub = :hub
    AND (device_id = :device_id OR (device_id >= :device_id || '/' AND device_id < :device_id || '0'))"""


class SqlDeviceStore(SqlConnectionStates):
    """DeviceStore of one hub over a Database."""

    async def get(self, device_id: str) -> Device | None:
        row = await self._database.fetch_one(_GET, {"hub": self._hub, "device_id": device_id})
        if row is None:
            return None
        device = device_of(row)
        if module_of(device_id) is None:
            return device
        return replace(device, identity=await self._with_status(device.identity))

    async def get_identity(self, device_id: str) -> DeviceIdentity | None:
        row = await self._database.fetch_one(_GET_IDENTITY, {"hub": self._hub, "device_id": device_id})
        if row is None:
            return None
        identity = identity_of(row)
        return identity if module_of(device_id) is None else await self._with_status(identity)

    async def _with_status(self, module: DeviceIdentity) -> DeviceIdentity:
        """Give a module the status of its device."""
        where = {"hub": self._hub, "owner": owner_of(module.device_id)}
        row = await self._database.fetch_one(_STATUS, where)
        return module if row is None else replace(module, status=DeviceStatus(row[0]))

    def creation(
        self, device: Device, *, told: Sequence[Outgoing]
    ) -> Callable[[Transaction], Coroutine[Any, Any, Sequence[StoredTelemetry] | None]]:
        values = self._values(device)
        telling = LogWrite(self._hub, told) if told else None

        async def work(transaction: Transaction) -> Sequence[StoredTelemetry] | None:
            if not await transaction.execute(_CREATE, values):
                return None
            return () if telling is None else await telling.run(transaction)

        return work

    async def holds(
        self, device_id: str, condition: Callable[[DeviceIdentity], bool], transaction: Transaction
    ) -> bool:
        row = await transaction.fetch_one(_GET_IDENTITY, {"hub": self._hub, "device_id": device_id})
        return row is not None and condition(identity_of(row))

    def _values(self, device: Device) -> dict[str, Value]:
        return {
            "hub": self._hub,
            **identity_values(device.identity),
            **activity_values(device.identity),
            **service_side_values(device.twin),
            **reported_values(device.twin),
            "is_module": 0,
        }

    async def create(
        self, device: Device, *, durable: bool = True, told: Sequence[Outgoing] = ()
    ) -> Sequence[StoredTelemetry]:
        values = self._values(device)
        if module_of(device.identity.device_id) is not None:
            return await self._database.write(self._create_module({**values, "is_module": 1}, told))
        if told:
            return await self._database.write(self._create_device(values, told), durable=durable)
        if not await self._database.execute(_CREATE, values, durable=durable):
            raise _exists(device.identity.device_id)
        return ()

    def _create_device(self, values: Mapping[str, Value], told: Sequence[Outgoing]) -> Work[Sequence[StoredTelemetry]]:
        telling = LogWrite(self._hub, told)

        async def work(transaction: Transaction) -> Sequence[StoredTelemetry]:
            if not await transaction.execute(_CREATE, values):
                raise _exists(str(values["device_id"]))
            return await telling.run(transaction)

        return work

    def _create_module(self, values: Mapping[str, Value], told: Sequence[Outgoing]) -> Work[Sequence[StoredTelemetry]]:
        key = str(values["device_id"])
        telling = LogWrite(self._hub, told)
        owner = owner_of(key)
        where: Parameters = {"hub": self._hub, "owner": owner}

        async def work(transaction: Transaction) -> Sequence[StoredTelemetry]:
            if await transaction.fetch_one(_OWNER, where) is None:
                raise HubError(HubCode.DEVICE_NOT_FOUND, f"Device {owner} not registered.")
            count = await transaction.fetch_one(_COUNT_MODULES, where)
            if not await transaction.execute(_CREATE, values):
                raise HubError(HubCode.MODULE_ALREADY_EXISTS, f"Module {key} already registered.")
            if count is not None and count[0] >= MAX_MODULES:
                raise HubError(HubCode.TOO_MANY_MODULES, f"A device has at most {MAX_MODULES} modules.")
            return await telling.run(transaction)

        return work

    async def replace_identity(self, identity: DeviceIdentity, *, expected_etag: str | None) -> None:
        await self._change(_REPLACE_IDENTITY, identity.device_id, identity_values(identity), etag=expected_etag)

    async def replace_twin(
        self,
        twin: Twin,
        *,
        expected_version: int | None,
        reported_only: bool = False,
        told: Sequence[Outgoing] = (),
    ) -> Sequence[StoredTelemetry]:
        device_id = twin.device_id
        if reported_only:
            return await self._change(
                _REPLACE_REPORTED, device_id, reported_values(twin), told=told, reported_version=expected_version
            )
        return await self._change(
            _REPLACE_SERVICE_SIDE, device_id, service_side_values(twin), told=told, twin_version=expected_version
        )

    async def replace(
        self, device: Device, *, expected_etag: str | None, told: Sequence[Outgoing] = ()
    ) -> Sequence[StoredTelemetry]:
        """Replace all but connection state and activity, which stay as `touch` wrote them."""
        values = {
            **identity_values(device.identity),
            **service_side_values(device.twin),
            **reported_values(device.twin),
        }
        return await self._change(_REPLACE, device.identity.device_id, values, told=told, etag=expected_etag)

    async def delete(
        self, device_id: str, *, expected_etag: str | None, tell: TellDeleted | None = None
    ) -> Sequence[StoredTelemetry]:
        is_device = module_of(device_id) is None
        also = (_DELETE_MESSAGES, _DELETE_SUBSCRIPTIONS, *((_DELETE_MODULES,) if is_device else ()))
        if tell is None:
            return await self._change(_DELETE, device_id, {"owner": device_id}, etag=expected_etag, also=also)
        asked = tell

        async def ending(transaction: Transaction) -> Sequence[Outgoing]:
            rows = await transaction.fetch_all(_MODULES_WITH_TWINS, where) if is_device else []
            row = await transaction.fetch_one(_GET, where)
            rows = [*rows, row] if row is not None else rows
            return [each for row in rows for each in asked(device_of(row))]

        where = {"hub": self._hub, "device_id": device_id, "owner": device_id}
        return await self._change(_DELETE, device_id, where, etag=expected_etag, also=also, ending=ending)

    async def modules(self, device_id: str) -> Sequence[DeviceIdentity]:
        rows = await self._database.fetch_all(_MODULES, {"hub": self._hub, "owner": device_id})
        identities = [identity_of(row) for row in rows]
        if not identities:
            return []
        status = (await self._with_status(identities[0])).status
        return [replace(identity, status=status) for identity in identities]

    async def list(self, *, limit: int) -> Sequence[DeviceIdentity]:
        rows = await self._database.fetch_all(_LIST, {"hub": self._hub, "limit": limit})
        return [identity_of(row) for row in rows]

    async def page(
        self, *, after: str | None, limit: int, modules: bool = False, sought: Sequence[Sought] = ()
    ) -> Page[Device]:
        where: Parameters = {"hub": self._hub, "after": after or "", "limit": limit + 1}
        if sought:
            return await self._search(int(modules), where, Search(sought, self._database.dialect), limit)
        rows = await self._database.fetch_all(f"{_PAGE}{int(modules)}{_PAGE_ORDER}", where)
        devices = [device_of(row) for row in rows[:limit]]
        return Page(items=devices, after=devices[-1].identity.device_id if len(rows) > limit else None)

    async def _search(self, modules: int, where: Parameters, search: Search, limit: int) -> Page[Device]:
        """Look through a stretch of devices; a page may be short, or empty, and not the last."""
        stretch = await self._database.fetch_one(f"{_STRETCH}{modules}{_STRETCH_END}", where)
        until = "" if stretch is None else " AND device_id <= :until"
        end = None if stretch is None else stretch[0]
        rows = await self._database.fetch_all(
            f"{_PAGE}{modules}{until}{search.clause}{_PAGE_ORDER}", {**where, **search.parameters, "until": end}
        )
        devices = [device_of(row) for row in rows[:limit]]
        return Page(items=devices, after=devices[-1].identity.device_id if len(rows) > limit else end)

    async def statistics(self) -> RegistryStatistics:
        rows = await self._database.fetch_all(_STATISTICS, {"hub": self._hub})
        counts: dict[str, int] = {row[0]: row[1] for row in rows}
        enabled, disabled = (counts.get(status.value, 0) for status in (DeviceStatus.ENABLED, DeviceStatus.DISABLED))
        return RegistryStatistics(total=enabled + disabled, enabled=enabled, disabled=disabled)

    async def _change(
        self,
        statement: str,
        device_id: str,
        values: Mapping[str, Value],
        *,
        also: Sequence[str] = (),
        told: Sequence[Outgoing] = (),
        ending: Callable[[Transaction], Coroutine[Any, Any, Sequence[Outgoing]]] | None = None,
        **expected: Value,
    ) -> Sequence[StoredTelemetry]:
        """Run a statement on one device under the version it expects: the one column named, if it is not None.

        `also` are statements that go with it. What is `told` of it is known, or is found out by `ending` before.
        """
        ((column, version),) = expected.items()
        if version is not None:
            statement += f" AND {column} = :expected"
        parameters = {**values, "hub": self._hub, "device_id": device_id, "expected": version}
        telling = LogWrite(self._hub, told)

        async def work(transaction: Transaction) -> Sequence[StoredTelemetry]:
            write = telling if ending is None else LogWrite(self._hub, await ending(transaction))
            if await transaction.execute(statement, parameters):
                for more in also:
                    await transaction.execute(more, parameters)
                return await write.run(transaction)
            if await transaction.fetch_one(_GET_IDENTITY, parameters) is None:
                raise not_found(device_id)
            raise HubError(HubCode.PRECONDITION_FAILED, f"{device_id} was changed since it was read.")

        return await self._database.write(work)


def _exists(device_id: str) -> HubError:
    return HubError(HubCode.DEVICE_ALREADY_EXISTS, f"Device {device_id} already registered.")
