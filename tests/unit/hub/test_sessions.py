"""Who is connected, and what the registry is told of it (contract hub.md 2.7, 13.10)."""

import pytest

from homeport.bus import ConnectionChanged, LocalBus
from homeport.hub.authentication import Accepted, DeviceKey
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import ConnectionState, DeviceIdentity, DeviceStatus, SasAuthentication
from homeport.hub.served_hub import ServedHub
from homeport.hub.sessions import ACTIVITY_DELAY, RETRY_DELAY, STATE_DELAY, Session
from tests.unit.hub.conftest import Calls, ManualClock, running, settle, until

KEYS = SasAuthentication(primary_key=b"1" * 32, secondary_key=b"2" * 32)
OTHER_KEYS = SasAuthentication(primary_key=b"3" * 32, secondary_key=b"4" * 32)
ACCEPTED = Accepted(proof=DeviceKey(key=b"1" * 32), expires_at=None)


class Line:
    """A connection that can be ended."""

    def __init__(self) -> None:
        self.ends = 0

    def end(self) -> None:
        self.ends += 1


@pytest.fixture
async def device(hub: ServedHub) -> DeviceIdentity:
    return await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))


async def connect(hub: ServedHub, device: DeviceIdentity) -> tuple[Session, Line]:
    line = Line()
    return await hub.sessions.open(device, ACCEPTED, line.end), line


async def test_connected_is_seen_at_once_and_written_soon(
    hub: ServedHub, device: DeviceIdentity, calls: Calls, clock: ManualClock
) -> None:
    async with running(hub):
        clock.pass_seconds(1)
        session, _ = await connect(hub, device)
        at = clock.now()
        assert "touch" not in calls
        seen = await hub.registry.get("d1")
        assert (seen.connection_state, seen.connection_state_updated_at) == (ConnectionState.CONNECTED, at)
        assert seen.last_activity_at == at
        await settle()
        clock.pass_seconds(STATE_DELAY)
        await until(lambda: "touch" in calls)
        stored = await hub.devices.get_identity("d1")
        assert stored is not None
        assert (stored.connection_state, stored.connection_state_updated_at) == (ConnectionState.CONNECTED, at)
        await hub.sessions.leave(session)
        assert (await hub.registry.get("d1")).connection_state is ConnectionState.DISCONNECTED
        assert len(hub.sessions) == 0


async def test_a_storm_is_one_transaction(hub: ServedHub, calls: Calls, clock: ManualClock) -> None:
    devices = [await hub.registry.create(IdentityWrite(device_id=f"d{number}")) for number in range(50)]
    async with running(hub):
        calls.clear()
        for device in devices:
            session, _ = await connect(hub, device)
            await hub.sessions.leave(session)
            await connect(hub, device)
        await settle()
        clock.pass_seconds(STATE_DELAY)
        await until(lambda: "touch" in calls)
        assert calls == ["touch"]
    assert all(device.connection_state is ConnectionState.CONNECTED for device in await hub.devices.list(limit=100))


async def test_activity_is_written_now_and_then(
    hub: ServedHub, device: DeviceIdentity, calls: Calls, clock: ManualClock
) -> None:
    async with running(hub):
        for _ in range(20):
            clock.pass_seconds(0.01)
            hub.sessions.active("d1", clock.now())
            await settle()
        last = clock.now()
        assert "touch" not in calls
        assert (await hub.registry.get("d1")).last_activity_at == last
        clock.pass_seconds(ACTIVITY_DELAY)
        await until(lambda: "touch" in calls)
        stored = await hub.devices.get_identity("d1")
        assert stored is not None
        assert stored.last_activity_at == last


async def test_the_end_writes_what_is_left(hub: ServedHub, device: DeviceIdentity) -> None:
    async with running(hub):
        await connect(hub, device)
    stored = await hub.devices.get_identity("d1")
    assert stored is not None
    assert stored.connection_state is ConnectionState.CONNECTED


async def test_a_store_that_fails_is_asked_again(
    hub: ServedHub, device: DeviceIdentity, calls: Calls, clock: ManualClock
) -> None:
    async with running(hub):
        calls.failing = {"touch"}
        await connect(hub, device)
        await settle()
        clock.pass_seconds(STATE_DELAY)
        await until(lambda: "touch" in calls)
        await settle()
        assert (await hub.registry.get("d1")).connection_state is ConnectionState.CONNECTED
        calls.failing = set()
        calls.clear()
        clock.pass_seconds(RETRY_DELAY)
        await settle()
        clock.pass_seconds(STATE_DELAY)
        await until(lambda: "touch" in calls)
        stored = await hub.devices.get_identity("d1")
        assert stored is not None
        assert stored.connection_state is ConnectionState.CONNECTED


async def test_a_new_connection_ends_the_older_one(hub: ServedHub, device: DeviceIdentity) -> None:
    first, first_line = await connect(hub, device)
    second, second_line = await connect(hub, device)
    assert (first_line.ends, second_line.ends) == (1, 0)
    assert first.ended is not None
    await hub.sessions.leave(first)
    assert hub.sessions.current("d1") is second
    assert (await hub.registry.get("d1")).connection_state is ConnectionState.CONNECTED
    assert len(hub.sessions) == 1


@pytest.mark.parametrize(
    "change",
    [
        IdentityWrite(device_id="d1", authentication=KEYS, status=DeviceStatus.DISABLED),
        IdentityWrite(device_id="d1", authentication=OTHER_KEYS),
        None,
    ],
)
async def test_disabled_rekeyed_and_deleted_devices_are_cut_off(
    hub: ServedHub, device: DeviceIdentity, change: IdentityWrite | None
) -> None:
    async with running(hub):
        session, line = await connect(hub, device)
        if change is None:
            await hub.registry.delete("d1", expected_etag=None)
        else:
            await hub.registry.update(change, expected_etag=None)
        await until(lambda: line.ends > 0)
        assert session.ended is not None


async def test_other_changes_leave_the_connection_alone(hub: ServedHub, device: DeviceIdentity) -> None:
    async with running(hub):
        _, line = await connect(hub, device)
        await hub.registry.update(
            IdentityWrite(device_id="d1", authentication=KEYS, status_reason="fine"), expected_etag=None
        )
        await until(lambda: hub.sessions.changes > 0)
        await settle()
        assert line.ends == 0


async def test_a_change_between_reading_and_opening_is_noticed(hub: ServedHub, device: DeviceIdentity) -> None:
    async with running(hub):
        since = hub.sessions.changes
        await hub.registry.delete("d1", expected_etag=None)
        await until(lambda: hub.sessions.changes > since)
        line = Line()
        session = await hub.sessions.open(device, ACCEPTED, line.end, since=since)
        assert session.ended is not None
        assert line.ends == 1


async def test_connections_are_announced(hub: ServedHub, device: DeviceIdentity, bus: LocalBus) -> None:
    async with bus.subscribe(ConnectionChanged) as events:
        session, _ = await connect(hub, device)
        assert await anext(events) == ConnectionChanged(hub="hub", device_id="d1")
        await hub.sessions.leave(session)
        assert await anext(events) == ConnectionChanged(hub="hub", device_id="d1")
