"""Which devices of a hub are connected, and when they were last active: written in batches, and told of."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from homeport.hub.model import NEVER, ConnectionState, Device, StoredTelemetry
from homeport.hub.ports import TellConnection
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.device_rows import DEVICE_COLUMNS, device_of
from homeport.store.log_writing import LogWrite
from homeport.store.rows import to_micros

_ONE = "WHERE hub = :hub AND device_id = :device_id"
_HOLD = f"SELECT {DEVICE_COLUMNS} FROM devices {_ONE} /*postgres FOR UPDATE*/"

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
_CONNECTED = """
    SELECT device_id FROM devices WHERE hub = :hub AND connection_state = 'Connected' AND device_id > :after
    ORDER BY device_id LIMIT :limit"""
_AT_ONCE = 200
"""Devices of one transaction that reads them: SQLite's reads hold up everything else."""


class ConnectionStates:
    """Of one hub, by its key. What is told of a change is written in its transaction."""

    def __init__(self, database: Database, hub: str) -> None:
        self._database = database
        self._hub = hub

    async def touch(
        self,
        states: Mapping[str, ConnectionState],
        activity: Mapping[str, datetime],
        now: datetime,
        tell: TellConnection | None,
    ) -> Sequence[StoredTelemetry]:
        """See DeviceStore. With `tell` it is several transactions for many devices, and may be repeated as a whole."""
        if not states and not activity:
            return ()
        if tell is None:
            await self._write(states, activity, now, None)
            return ()
        told: list[StoredTelemetry] = []
        names = sorted(states)
        for start in range(0, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            of_part = {name: activity[name] for name in part if name in activity}
            told += await self._write({name: states[name] for name in part}, of_part, now, tell)
        rest = {name: at for name, at in activity.items() if name not in states}
        if rest:
            await self._write({}, rest, now, None)
        return told

    async def disconnect_all(self, now: datetime, tell: TellConnection | None) -> None:
        """See DeviceStore."""
        if tell is None:
            await self._database.execute(_DISCONNECT_ALL, {"hub": self._hub, "now": to_micros(now)})
            return
        after = ""
        while rows := await self._database.fetch_all(_CONNECTED, {"hub": self._hub, "after": after, "limit": _AT_ONCE}):
            after = rows[-1][0]
            await self._write({device_id: ConnectionState.DISCONNECTED for (device_id,) in rows}, {}, now, tell)

    async def _write(
        self,
        states: Mapping[str, ConnectionState],
        activity: Mapping[str, datetime],
        now: datetime,
        tell: TellConnection | None,
    ) -> Sequence[StoredTelemetry]:
        at = to_micros(now)

        async def work(transaction: Transaction) -> Sequence[StoredTelemetry]:
            changes = {} if tell is None else await self._changes(transaction, states, at)
            rows: Sequence[Parameters] = [
                {
                    "hub": self._hub,
                    "device_id": device_id,
                    "state": states.get(device_id),
                    "active_at": to_micros(activity.get(device_id, NEVER)),
                    "now": changes[device_id][1] if device_id in changes else at,
                }
                for device_id in sorted(states.keys() | activity.keys())
            ]
            await transaction.execute_many(_TOUCH, rows)
            if tell is None:
                return ()
            told = [
                each
                for device_id, (device, sequence) in changes.items()
                for each in tell(device, states[device_id], sequence)
            ]
            return await LogWrite(self._hub, told).run(transaction)

        return await self._database.write(work)

    async def _changes(
        self, transaction: Transaction, states: Mapping[str, ConnectionState], at: int
    ) -> Mapping[str, tuple[Device, int]]:
        """Return which devices will have another state, and the time of that: later than of the one before."""
        changes: dict[str, tuple[Device, int]] = {}
        for device_id in sorted(states):
            row = await transaction.fetch_one(_HOLD, {"hub": self._hub, "device_id": device_id})
            if row is None:
                continue
            device = device_of(row)
            identity = device.identity
            if identity.connection_state is not states[device_id]:
                changes[device_id] = device, max(at, to_micros(identity.connection_state_updated_at) + 1)
        return changes
