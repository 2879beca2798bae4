"""One hub's device identities and twins in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import NEVER, ConnectionState, Device, DeviceIdentity, DeviceStatus, RegistryStatistics, Twin
from homeport.paging import Page
from homeport.store.database import Database, Parameters, Transaction, Value
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
from homeport.store.rows import key_of, to_micros

_ONE = "WHERE hub = :hub AND device_id = :device_id"
_GET = f"SELECT {DEVICE_COLUMNS} FROM devices {_ONE}"
_GET_IDENTITY = f"SELECT {IDENTITY_COLUMNS} FROM devices {_ONE}"
_LIST = f"SELECT {IDENTITY_COLUMNS} FROM devices WHERE hub = :hub ORDER BY device_id LIMIT :limit"
_PAGE = f"""
    SELECT {DEVICE_COLUMNS} FROM devices WHERE hub = :hub AND device_id > :after ORDER BY device_id LIMIT :limit"""

_CREATE = """
    INSERT INTO devices (
        hub, device_id, etag, status, connection_state, connection_state_at, last_activity_at,
        twin_version, reported_version, identity, twin, reported
    ) VALUES (
        :hub, :device_id, :etag, :status, :connection_state, :connection_state_at, :last_activity_at,
        :twin_version, :reported_version, :identity, :twin, :reported
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

_STATISTICS = "SELECT status, count(*) FROM devices WHERE hub = :hub GROUP BY status"

# One statement for both, so that each device's row is locked once, and in one order everywhere.
_TOUCH = f"""
    UPDATE devices SET
        connection_state = COALESCE(CAST(:state AS TEXT), connection_state),
        connection_state_at = CASE WHEN CAST(:state AS TEXT) <> connection_state THEN :now
            ELSE connection_state_at END,
        last_activity_at = CASE WHEN :active_at > last_activity_at THEN :active_at ELSE last_activity_at END
    {_ONE} AND (CAST(:state AS TEXT) <> connection_state OR :active_at > last_activity_at)"""
_DISCONNECT_ALL = """
    UPDATE devices SET connection_state = 'Disconnected', connection_state_at = :now
    WHERE hub = :hub AND connection_state = 'Connected'"""


class SqlDeviceStore:
    """DeviceStore of one hub over a Database."""

    def __init__(self, database: Database, hub: str) -> None:
        self._database = database
        self._hub = key_of(hub)

    async def get(self, device_id: str) -> Device | None:
        row = await self._database.fetch_one(_GET, {"hub": self._hub, "device_id": device_id})
        return None if row is None else device_of(row)

    async def get_identity(self, device_id: str) -> DeviceIdentity | None:
        row = await self._database.fetch_one(_GET_IDENTITY, {"hub": self._hub, "device_id": device_id})
        return None if row is None else identity_of(row)

    async def create(self, device: Device, *, durable: bool = True) -> None:
        values = {
            "hub": self._hub,
            **identity_values(device.identity),
            **activity_values(device.identity),
            **service_side_values(device.twin),
            **reported_values(device.twin),
        }
        if not await self._database.execute(_CREATE, values, durable=durable):
            raise HubError(HubCode.DEVICE_ALREADY_EXISTS, f"Device {device.identity.device_id} already registered.")

    async def replace_identity(self, identity: DeviceIdentity, *, expected_etag: str | None) -> None:
        await self._change(_REPLACE_IDENTITY, identity.device_id, identity_values(identity), etag=expected_etag)

    async def replace_twin(self, twin: Twin, *, expected_version: int | None, reported_only: bool = False) -> None:
        device_id = twin.device_id
        if reported_only:
            await self._change(_REPLACE_REPORTED, device_id, reported_values(twin), reported_version=expected_version)
        else:
            await self._change(
                _REPLACE_SERVICE_SIDE, device_id, service_side_values(twin), twin_version=expected_version
            )

    async def replace(self, device: Device, *, expected_etag: str | None) -> None:
        """Replace all but connection state and activity, which stay as `touch` wrote them."""
        values = {
            **identity_values(device.identity),
            **service_side_values(device.twin),
            **reported_values(device.twin),
        }
        await self._change(_REPLACE, device.identity.device_id, values, etag=expected_etag)

    async def delete(self, device_id: str, *, expected_etag: str | None) -> None:
        await self._change(_DELETE, device_id, {}, etag=expected_etag, also=_DELETE_MESSAGES)

    async def list(self, *, limit: int) -> Sequence[DeviceIdentity]:
        rows = await self._database.fetch_all(_LIST, {"hub": self._hub, "limit": limit})
        return [identity_of(row) for row in rows]

    async def page(self, *, after: str | None, limit: int) -> Page[Device]:
        rows = await self._database.fetch_all(_PAGE, {"hub": self._hub, "after": after or "", "limit": limit + 1})
        devices = [device_of(row) for row in rows[:limit]]
        return Page(items=devices, after=devices[-1].identity.device_id if len(rows) > limit else None)

    async def statistics(self) -> RegistryStatistics:
        rows = await self._database.fetch_all(_STATISTICS, {"hub": self._hub})
        counts: dict[str, int] = {row[0]: row[1] for row in rows}
        enabled, disabled = (counts.get(status.value, 0) for status in (DeviceStatus.ENABLED, DeviceStatus.DISABLED))
        return RegistryStatistics(total=enabled + disabled, enabled=enabled, disabled=disabled)

    async def touch(
        self, *, states: Mapping[str, ConnectionState], activity: Mapping[str, datetime], now: datetime
    ) -> None:
        if not states and not activity:
            return
        rows: Sequence[Parameters] = [
            {
                "hub": self._hub,
                "device_id": device_id,
                "state": states.get(device_id),
                "active_at": to_micros(activity.get(device_id, NEVER)),
                "now": to_micros(now),
            }
            for device_id in sorted(states.keys() | activity.keys())
        ]
        await self._database.write(lambda transaction: transaction.execute_many(_TOUCH, rows))

    async def disconnect_all(self, *, now: datetime) -> None:
        await self._database.execute(_DISCONNECT_ALL, {"hub": self._hub, "now": to_micros(now)})

    async def _change(
        self, statement: str, device_id: str, values: Mapping[str, Value], *, also: str | None = None, **expected: Value
    ) -> None:
        """Run a statement on one device under the version it expects: the one column named, if it is not None.

        `also` is a statement that goes with it.
        """
        ((column, version),) = expected.items()
        if version is not None:
            statement += f" AND {column} = :expected"
        parameters = {**values, "hub": self._hub, "device_id": device_id, "expected": version}

        async def work(transaction: Transaction) -> None:
            if await transaction.execute(statement, parameters):
                if also is not None:
                    await transaction.execute(also, parameters)
                return
            if await transaction.fetch_one(_GET_IDENTITY, parameters) is None:
                raise HubError(HubCode.DEVICE_NOT_FOUND, f"Device {device_id} not registered.")
            raise HubError(HubCode.PRECONDITION_FAILED, f"Device {device_id} was changed since it was read.")

        await self._database.write(work)
