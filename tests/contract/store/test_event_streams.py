"""Streams of a hub's event log: settings, consumer groups, removal; and logs that are older than streams."""

from datetime import timedelta

import pytest

from homeport.hub.model import BUILT_IN, ConsumerGroup, EventStream
from homeport.store import Stores, open_database
from homeport.store.dialect import Dialect
from homeport.store.migration import migrate, scripts
from tests.contract.store.samples import NOW, telemetry

ALARMS = EventStream(name="Alarms", partitions=2, retention=timedelta(days=7), max_bytes=1 << 40, created_at=NOW)


@pytest.fixture
def dialect(shared: str) -> Dialect:
    return "postgres" if shared.startswith("postgresql:") else "sqlite"


async def test_settings_are_kept_by_name(stores: Stores) -> None:
    streams = stores.event_streams("hub")
    assert await streams.all() == []
    await streams.create(ALARMS)
    with pytest.raises(ValueError, match="alarms"):
        await stores.event_streams("HUB").create(EventStream(name="alarms", created_at=NOW))
    built_in = EventStream(name=BUILT_IN, retention=timedelta(days=3), created_at=NOW)
    await streams.save(built_in)
    assert await streams.all() == [ALARMS, built_in]
    shorter = EventStream(name="Alarms", partitions=2, retention=timedelta(days=1), created_at=NOW)
    await streams.save(shorter)
    assert await streams.all() == [shorter, built_in]
    assert await stores.event_streams("other").all() == []


async def test_consumer_groups_of_a_stream(stores: Stores) -> None:
    streams = stores.event_streams("hub")
    for name in ("b", "A"):
        await streams.create_group(BUILT_IN, ConsumerGroup(name=name, created_at=NOW), limit=2)
    with pytest.raises(ValueError, match="a already"):
        await streams.create_group(BUILT_IN, ConsumerGroup(name="a", created_at=NOW), limit=2)
    with pytest.raises(OverflowError, match="at most 2"):
        await streams.create_group(BUILT_IN, ConsumerGroup(name="c", created_at=NOW), limit=2)
    await streams.create_group("alarms", ConsumerGroup(name="c", created_at=NOW), limit=2)
    assert [group.name for group in await streams.groups(BUILT_IN)] == ["A", "b"]
    await streams.remove_group(BUILT_IN, "B")
    with pytest.raises(KeyError):
        await streams.remove_group(BUILT_IN, "b")
    assert await streams.groups(BUILT_IN) == [ConsumerGroup(name="A", created_at=NOW)]


async def test_a_removed_stream_takes_its_events_along(stores: Stores) -> None:
    streams = stores.event_streams("hub")
    with pytest.raises(KeyError):
        await streams.remove("alarms")
    await stores.events("hub").append(telemetry("dev"))
    await streams.create(ALARMS)
    await streams.create_group("alarms", ConsumerGroup(name="c", created_at=NOW), limit=2)
    old = stores.events("hub", stream="Alarms", partitions=2)
    for number in range(10):
        await old.append(telemetry(f"d{number}"))
    await streams.remove("ALARMS")
    assert await streams.all() == []
    await streams.create(ALARMS)
    assert await streams.groups("alarms") == []
    new = stores.events("hub", stream="alarms", partitions=2)
    assert (await new.append(telemetry("d1"))).offset == 0
    assert await stores.event_streams("other").sweep(limit=100) == 0
    swept = 0
    while step := await streams.sweep(limit=3):
        assert step <= 3
        swept += step
    assert swept == 10
    assert await new.count("d1") == await stores.events("hub").count("dev") == 1
    left = await stores.database.fetch_one("SELECT count(*) FROM telemetry")
    assert left is not None
    assert left[0] == 2


async def test_a_log_that_is_older_than_streams(shared: str, dialect: Dialect) -> None:
    """Take the script's work back, and let it be done again."""
    database = await open_database(shared)
    log = Stores.over(database).events("hub")
    for number in range(9):
        await log.append(telemetry(f"d{number % 3}", b"x" * number, at=NOW + timedelta(seconds=number)))
    await Stores.over(database).events("other").append(telemetry("dev"))

    async def partitions() -> list[tuple[object, ...]]:
        rows = await database.fetch_all(
            "SELECT seq, hub, stream, part, next_offset, last_enqueued_at, bytes FROM log_partitions ORDER BY seq"
        )
        return [tuple(row) for row in rows]

    before = await partitions()
    for statement in (
        "CREATE TABLE old_partitions AS SELECT seq, hub, part, next_offset FROM log_partitions",
        "DROP TABLE log_partitions",
        "DROP TABLE event_streams",
        "DROP TABLE consumer_groups",
        """CREATE TABLE log_partitions (
            seq /*sqlite INTEGER PRIMARY KEY AUTOINCREMENT*/
                /*postgres BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY*/,
            hub TEXT /*postgres COLLATE "C"*/ NOT NULL, part INTEGER NOT NULL, next_offset BIGINT NOT NULL,
            UNIQUE (hub, part))""",
        """INSERT INTO log_partitions (seq, hub, part, next_offset) /*postgres OVERRIDING SYSTEM VALUE*/
            SELECT seq, hub, part, next_offset FROM old_partitions""",
        "DROP TABLE old_partitions",
        "DELETE FROM schema_scripts WHERE number >= 13",
    ):
        await database.execute(statement)
    await migrate(database, dialect, scripts()[:13])
    assert await partitions() == before
    assert sum([len(await log.read(part, offset=0, limit=100)) for part in range(4)]) == 9
    await database.close()
