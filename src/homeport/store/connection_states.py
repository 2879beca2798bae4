"""Which identities of one hub are connected, and to which process, in SQL."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from homeport.hub.model import NEVER, ConnectionState, Device, StoredTelemetry
from homeport.hub.ports import TellConnection
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.device_rows import DEVICE_COLUMNS, device_of
from homeport.store.log_writing import LogWrite
from homeport.store.rows import key_of, to_micros

_ONE = "WHERE hub = :hub AND device_id = :device_id"
_HOLD = f"SELECT {DEVICE_COLUMNS} FROM devices {_ONE} /*postgres FOR UPDATE*/"
_NODE = f"SELECT node, connection_state_at FROM devices {_ONE}"

# What another node has connected later, this one neither disconnects nor takes back.
_IGNORED = """(COALESCE(node, :node) <> :node
        AND (CAST(:state AS TEXT) = 'Disconnected' OR connection_state_at > CAST(:at AS BIGINT)))"""
_TAKEN = "(CAST(:state AS TEXT) = 'Connected' AND COALESCE(node, '') <> :node)"
# One statement for both, so that each device's row is locked once, and in one order everywhere.
_TOUCH = f"""
    UPDATE devices SET
        connection_state = CASE WHEN {_IGNORED} THEN connection_state
            ELSE COALESCE(CAST(:state AS TEXT), connection_state) END,
        connection_state_at = CASE WHEN NOT {_IGNORED} AND (CAST(:state AS TEXT) <> connection_state OR {_TAKEN})
            THEN :at ELSE connection_state_at END,
        node = CASE WHEN {_IGNORED} THEN node WHEN CAST(:state AS TEXT) = 'Connected' THEN NULLIF(:node, '')
            WHEN CAST(:state AS TEXT) = 'Disconnected' THEN NULL ELSE node END,
        last_activity_at = CASE WHEN :active_at > last_activity_at THEN :active_at ELSE last_activity_at END
    {_ONE} AND (CAST(:state AS TEXT) <> connection_state OR {_TAKEN} OR :active_at > last_activity_at)"""
_DISCONNECT_ALL = """
    UPDATE devices SET connection_state = 'Disconnected', connection_state_at = :now, node = NULL
    WHERE hub = :hub AND connection_state = 'Connected'"""
_CONNECTED = """
    SELECT device_id FROM devices WHERE hub = :hub AND connection_state = 'Connected' AND device_id > :after
    ORDER BY device_id LIMIT :limit"""
_ELSEWHERE = "SELECT device_id FROM devices WHERE node IS NOT NULL AND node <> :node AND hub = :hub"
_COUNT = "SELECT count(*) FROM devices WHERE node IS NOT NULL AND hub = :hub AND is_module = 0"
_ORPHANS = """
    SELECT node, device_id FROM devices WHERE node IS NOT NULL AND hub = :hub
    AND node NOT IN (SELECT node FROM nodes) ORDER BY device_id LIMIT :limit"""
_AT_ONCE = 200
"""Devices of one transaction that reads them: SQLite's reads hold up everything else."""


class SqlConnectionStates:
    """The part of DeviceStore that is about connections, of one hub over a Database."""

    def __init__(self, database: Database, hub: str) -> None:
        self._database = database
        self._hub = key_of(hub)

    async def touch(
        self,
        *,
        states: Mapping[str, ConnectionState],
        activity: Mapping[str, datetime],
        now: datetime,
        at: Mapping[str, datetime] | None = None,
        node: str = "",
        tell: TellConnection | None = None,
    ) -> Sequence[StoredTelemetry]:
        if not states and not activity:
            return ()
        if tell is not None and len(states) > _AT_ONCE:
            return await self._touch_in_parts(states, activity, now=now, at=at, node=node, tell=tell)
        times = {device_id: to_micros((at or {}).get(device_id, now)) for device_id in states}
        otherwise = to_micros(now)

        async def work(transaction: Transaction) -> Sequence[StoredTelemetry]:
            changes = {} if tell is None else await self._changes(transaction, states, times, node)
            rows: Sequence[Parameters] = [
                {
                    "hub": self._hub,
                    "device_id": device_id,
                    "state": states.get(device_id),
                    "active_at": to_micros(activity.get(device_id, NEVER)),
                    "at": changes[device_id][1] if device_id in changes else times.get(device_id, otherwise),
                    "node": node,
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

    async def _touch_in_parts(
        self,
        states: Mapping[str, ConnectionState],
        activity: Mapping[str, datetime],
        *,
        now: datetime,
        at: Mapping[str, datetime] | None,
        node: str,
        tell: TellConnection,
    ) -> Sequence[StoredTelemetry]:
        """Write a storm of changes in several transactions; it may be repeated as a whole."""
        told: list[StoredTelemetry] = []
        names = sorted(states)
        for start in range(0, len(names), _AT_ONCE):
            part = {name: states[name] for name in names[start : start + _AT_ONCE]}
            of_part = {name: activity[name] for name in part if name in activity}
            told += await self.touch(states=part, activity=of_part, now=now, at=at, node=node, tell=tell)
        rest = {name: active for name, active in activity.items() if name not in states}
        await self.touch(states={}, activity=rest, now=now, node=node)
        return told

    async def _changes(
        self,
        transaction: Transaction,
        states: Mapping[str, ConnectionState],
        times: Mapping[str, int],
        node: str,
    ) -> Mapping[str, tuple[Device, int]]:
        """Return which devices will have another state, and the time of that: later than of the one before."""
        changes: dict[str, tuple[Device, int]] = {}
        for device_id in sorted(states):
            where = {"hub": self._hub, "device_id": device_id}
            row = await transaction.fetch_one(_HOLD, where)
            if row is None:
                continue
            device = device_of(row)
            identity = device.identity
            if identity.connection_state is states[device_id]:
                continue
            if node and states[device_id] is ConnectionState.DISCONNECTED:
                held = await transaction.fetch_one(_NODE, where)
                if held is not None and held[0] not in (None, node):
                    continue
            later = to_micros(identity.connection_state_updated_at) + 1
            changes[device_id] = device, max(times[device_id], later)
        return changes

    async def elsewhere(self, node: str) -> Sequence[str]:
        rows = await self._database.fetch_all(_ELSEWHERE, {"hub": self._hub, "node": node})
        return [row[0] for row in rows]

    async def count_connected(self) -> int:
        row = await self._database.fetch_one(_COUNT, {"hub": self._hub})
        return 0 if row is None else row[0]

    async def disconnect_orphans(
        self, *, now: datetime, tell: TellConnection | None = None
    ) -> Sequence[StoredTelemetry]:
        told: list[StoredTelemetry] = []
        while rows := await self._database.fetch_all(_ORPHANS, {"hub": self._hub, "limit": _AT_ONCE}):
            by_node: defaultdict[str, dict[str, ConnectionState]] = defaultdict(dict)
            for node, device_id in rows:
                by_node[node][device_id] = ConnectionState.DISCONNECTED
            # In the dead one's name; whom somebody else has connected meanwhile stays.
            for node, states in by_node.items():
                told += await self.touch(states=states, activity={}, now=now, node=node, tell=tell)
        return told

    async def disconnect_all(self, *, now: datetime, tell: TellConnection | None = None) -> None:
        if tell is None:
            await self._database.execute(_DISCONNECT_ALL, {"hub": self._hub, "now": to_micros(now)})
            return
        after = ""
        while rows := await self._database.fetch_all(_CONNECTED, {"hub": self._hub, "after": after, "limit": _AT_ONCE}):
            after = rows[-1][0]
            states = {device_id: ConnectionState.DISCONNECTED for (device_id,) in rows}
            await self.touch(states=states, activity={}, now=now, tell=tell)
