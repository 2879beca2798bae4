import asyncio
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import pytest

from homeport.hub.model import StoredTelemetry
from homeport.store import DatabaseError, Stores, Transaction, Work, event_log
from homeport.store.event_log import SqlEventLog
from homeport.store.postgres import PostgresDatabase
from tests.contract.store.samples import NOW, telemetry

SECOND = timedelta(seconds=1)


@pytest.fixture
def log(stores: Stores) -> SqlEventLog:
    return stores.events("hub")


async def everything(log: SqlEventLog) -> list[StoredTelemetry]:
    return [each for part in range(log.partitions) for each in await log.read(part, offset=0, limit=100_000)]


def without_gaps(stored: list[StoredTelemetry]) -> bool:
    offsets = defaultdict(list)
    for each in stored:
        offsets[each.partition].append(each.offset)
    return all(found == list(range(len(found))) for found in offsets.values())


async def test_a_message_is_read_as_it_was_appended(log: SqlEventLog) -> None:
    stored = await log.append(telemetry("dev"))
    assert stored.offset == 0
    assert stored.telemetry == telemetry("dev")
    assert await log.read(stored.partition, offset=0, limit=10) == [stored]
    assert log.partitions == 4


async def test_a_device_stays_in_its_partition(stores: Stores, log: SqlEventLog) -> None:
    first = await log.append(telemetry("dev"))
    second = await stores.events("HUB").append(telemetry("dev"))
    assert (second.partition, second.offset) == (first.partition, 1)
    # A fixed point: another hash would lose every device's messages in existing databases.
    assert first.partition == 2


async def test_thousands_in_flight_keep_order_and_leave_no_gaps(log: SqlEventLog) -> None:
    stored = await asyncio.gather(*(log.append(telemetry(f"d{n % 17}", str(n).encode())) for n in range(5000)))
    assert [int(each.telemetry.body) for each in stored] == list(range(5000))
    found = await everything(log)
    assert len(found) == 5000
    assert without_gaps(found)
    by_device = defaultdict(list)
    for each in found:
        by_device[each.telemetry.device_id].append(int(each.telemetry.body))
    assert all(numbers == sorted(numbers) for numbers in by_device.values())
    assert {(each.partition, each.offset) for each in stored} == {(each.partition, each.offset) for each in found}


async def test_two_processes_append_without_gaps(pair: tuple[Stores, Stores]) -> None:
    logs = [stores.events("hub") for stores in pair]
    stored = await asyncio.gather(*(logs[n % 2].append(telemetry(f"d{n % 7}", str(n).encode())) for n in range(1000)))
    found = await everything(logs[0])
    assert without_gaps(found)
    assert len(found) == len({(each.partition, each.offset) for each in stored}) == 1000
    bodies = [[int(each.telemetry.body) for each in found if int(each.telemetry.body) % 14 == n] for n in range(14)]
    assert all(numbers == sorted(numbers) for numbers in bodies)


async def test_a_failed_append_leaves_no_gap(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    start, count = stores.database.start, 0

    def every_second_fails_at_its_end(work: Work[Any]) -> asyncio.Future[Any]:
        nonlocal count
        count += 1
        fails = count % 2 == 0

        async def failing(transaction: Transaction) -> Any:
            result = await work(transaction)
            if fails:
                raise DatabaseError("as planned")
            return result

        return start(failing)

    monkeypatch.setattr(stores.database, "start", every_second_fails_at_its_end)
    log = stores.events("hub")
    outcomes: list[StoredTelemetry | BaseException] = []
    for number in range(10):
        outcomes += await asyncio.gather(log.append(telemetry("dev", str(number).encode())), return_exceptions=True)
    assert [isinstance(outcome, DatabaseError) for outcome in outcomes] == [False, True] * 5
    found = await everything(log)
    assert [int(each.telemetry.body) for each in found] == [0, 2, 4, 6, 8]
    assert without_gaps(found)


async def test_a_caller_who_leaves_stops_nobody_else(log: SqlEventLog) -> None:
    tasks = [asyncio.ensure_future(log.append(telemetry("dev", str(n).encode()))) for n in range(100)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [True, False] * 50
    found = await everything(log)
    assert without_gaps(found)
    assert {int(each.telemetry.body) for each in found} >= set(range(1, 100, 2))
    await log.append(telemetry("dev"))


async def test_reading_from_an_offset(stores: Stores, log: SqlEventLog) -> None:
    for number in range(10):
        await log.append(telemetry("dev", str(number).encode()))
        await stores.events("neighbour").append(telemetry("dev"))
    part = (await log.latest(device_id="dev", limit=1))[0].partition
    assert [each.telemetry.body for each in await log.read(part, offset=7, limit=2)] == [b"7", b"8"]
    assert len(await log.read(part, offset=-5, limit=100)) == 10
    for offset in (10, 1 << 40, 1 << 62):
        assert await log.read(part, offset=offset, limit=10) == []
    assert await stores.events("nobody").read(0, offset=0, limit=10) == []


async def test_the_newest_of_a_device_and_of_all(log: SqlEventLog) -> None:
    assert await log.latest(device_id=None, limit=5) == []
    assert await log.latest(device_id="d1", limit=5) == []
    for number in range(30):
        await log.append(telemetry(f"d{number % 5}", str(number).encode(), at=NOW + number * SECOND))
    of_device = await log.latest(device_id="d1", limit=3)
    assert [each.telemetry.body for each in of_device] == [b"26", b"21", b"16"]
    of_all = await log.latest(device_id=None, limit=7)
    assert [int(each.telemetry.body) for each in of_all] == list(range(29, 22, -1))


async def test_counting_the_messages_of_a_device(stores: Stores, log: SqlEventLog) -> None:
    for number in range(30):
        await log.append(telemetry(f"d{number % 3}"))
    await stores.events("other").append(telemetry("d1"))
    assert [await log.count(f"d{number}") for number in range(4)] == [10, 10, 10, 0]


async def retained(log: SqlEventLog, after: datetime, *, max_bytes: int | None = None, limit: int = 500) -> int:
    dropped = 0
    while step := await log.retain(enqueued_after=after, max_bytes=max_bytes, limit=limit):
        assert step <= limit
        dropped += step
    return dropped


async def test_retention_drops_the_old_and_moves_no_offset(log: SqlEventLog) -> None:
    await asyncio.gather(*(log.append(telemetry(f"d{n % 5}", at=NOW + n * SECOND)) for n in range(2000)))
    before = {(each.partition, each.offset): each for each in await everything(log)}
    assert await retained(log, NOW + 1500 * SECOND) == 1500
    after = await everything(log)
    assert len(after) == 500
    assert all(each.telemetry.enqueued_at >= NOW + 1500 * SECOND for each in after)
    assert all(before[each.partition, each.offset] == each for each in after)
    assert await retained(log, NOW + 1500 * SECOND) == 0


async def test_retention_by_size_drops_the_oldest_wherever_they_are(log: SqlEventLog) -> None:
    for number in range(100):
        await log.append(telemetry(f"d{number % 7}", b"x" * 10_000, at=NOW + number * SECOND))
    dropped = await retained(log, NOW - SECOND, max_bytes=200_000, limit=7)
    left = await everything(log)
    assert len(left) == 100 - dropped
    # Ten thousand bytes and some for the properties; a step may drop a few of one partition before the others' turn.
    assert 15 <= len(left) <= 20
    assert min(each.telemetry.enqueued_at for each in left) >= NOW + 70 * SECOND
    assert await retained(log, NOW - SECOND, max_bytes=200_000) == 0
    assert await retained(log, NOW - SECOND, max_bytes=0) == len(left)
    await log.append(telemetry("dev"))
    assert await retained(log, NOW + SECOND, max_bytes=1 << 40) == 1


async def test_two_processes_that_drop_the_same_count_it_once(pair: tuple[Stores, Stores]) -> None:
    logs = [stores.events("hub") for stores in pair]
    for number in range(60):
        await logs[0].append(telemetry("dev", b"x" * number, at=NOW + number * SECOND))
    for minute in (10, 25, 40):
        until = [NOW + (minute + ahead) * SECOND for ahead in (0, 5)]
        await asyncio.gather(
            *(log.retain(enqueued_after=after, limit=100) for log, after in zip(logs, until, strict=True))
        )
    held = await pair[0].database.fetch_one("SELECT bytes FROM log_partitions")
    exact = await pair[0].database.fetch_one("SELECT SUM(LENGTH(body) + LENGTH(CAST(data AS TEXT))) FROM telemetry")
    assert held is not None
    assert exact is not None
    assert held[0] == exact[0]
    assert await logs[0].count("dev") == 15


async def test_what_a_partition_holds(stores: Stores, log: SqlEventLog) -> None:
    empty = await log.state(2)
    assert (empty.begin, empty.end, empty.last_enqueued_at, empty.is_empty) == (0, 0, None, True)
    for number in range(5):
        await log.append(telemetry("dev", at=NOW + number * SECOND))
    held = await log.state(2)
    assert (held.begin, held.end, held.last_enqueued_at, held.is_empty) == (0, 5, NOW + 4 * SECOND, False)
    await retained(log, NOW + 3 * SECOND)
    assert (await log.state(2)).begin == 3
    await retained(log, NOW + 30 * SECOND)
    gone = await stores.events("hub").state(2)
    assert (gone.begin, gone.end, gone.last_enqueued_at, gone.is_empty) == (5, 5, NOW + 4 * SECOND, True)


async def test_a_position_by_time(log: SqlEventLog) -> None:
    assert await log.first_enqueued(2, NOW) == 0
    for number in range(40):
        await log.append(telemetry("dev", at=NOW + number * SECOND))
    await retained(log, NOW + 11 * SECOND, limit=11)
    for number in range(-2, 45):
        exact = min(max(number, 11), 40)
        assert await log.first_enqueued(2, NOW + number * SECOND) == exact
        assert await log.first_enqueued(2, NOW + number * SECOND - SECOND / 2) == exact
    assert await log.first_enqueued(0, NOW) == 0


async def test_streams_of_a_hub_are_apart(stores: Stores, log: SqlEventLog) -> None:
    other = stores.events("hub", stream="alarms", partitions=2)
    assert other.partitions == 2
    await log.append(telemetry("dev"))
    stored = await other.append(telemetry("dev", b"alarm"))
    assert stored.offset == 0
    assert [each.telemetry.body for each in await other.read(stored.partition, offset=0, limit=10)] == [b"alarm"]
    assert await log.count("dev") == await other.count("dev") == 1
    assert await retained(other, NOW + SECOND) == 1
    assert await log.count("dev") == 1


async def test_offsets_go_on_after_everything_was_dropped(stores: Stores, log: SqlEventLog) -> None:
    await stores.events("other").append(telemetry("dev"))
    for _ in range(3):
        await log.append(telemetry("dev"))
    assert await retained(log, NOW + SECOND) == 3
    assert (await stores.events("hub").append(telemetry("dev"))).offset == 3
    assert await stores.events("other").count("dev") == 1


@pytest.mark.parametrize("name", ["_COUNT", "_LATEST_OF_DEVICE", "_LATEST", "_READ", "_OLDEST", "_STATE"])
async def test_no_statement_walks_over_the_whole_log(stores: Stores, name: str) -> None:
    parameters: dict[str, str | int] = {"hub": "h", "stream": "s", "part": 0, "seq": 1}
    parameters |= {"device_id": "d", "limit": 1, "offset": 0}
    statement = getattr(event_log, name)

    async def work(transaction: Transaction) -> str:
        if isinstance(stores.database, PostgresDatabase):
            await transaction.execute("SET LOCAL enable_seqscan = off")  # or it would be best for an empty table
            return "\n".join(row[0] for row in await transaction.fetch_all("EXPLAIN " + statement, parameters))
        return "\n".join(row[3] for row in await transaction.fetch_all("EXPLAIN QUERY PLAN " + statement, parameters))

    plan = await stores.database.read(work)
    assert "telemetry" in plan
    for walk in ("SCAN telemetry", "Seq Scan on telemetry", "TEMP B-TREE", "Sort"):
        assert walk not in plan
