"""What is special about a file."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from homeport.errors import Code
from homeport.store import DatabaseError, Stores, Transaction, open_database, open_stores, sqlite
from homeport.store.sqlite import SqliteDatabase


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "homeport.db"


def driver(stores: Stores) -> SqliteDatabase:
    assert isinstance(stores.database, SqliteDatabase)
    return stores.database


async def test_file_and_folder_are_their_owners_alone(file: Path) -> None:
    old = os.umask(0)
    try:
        async with open_stores(file) as stores:
            await stores.settings.put("a", b"")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    finally:
        os.umask(old)
    assert modes == {"homeport.db": 0o600, "homeport.db-wal": 0o600, "homeport.db-shm": 0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_every_commit_reaches_the_disk(file: Path) -> None:
    async with open_stores(file) as stores:
        (synchronous,) = driver(stores)._writer.execute("PRAGMA synchronous").fetchone()
        (journal,) = driver(stores)._writer.execute("PRAGMA journal_mode").fetchone()
    assert (synchronous, journal) == (2, "wal")


ACKNOWLEDGE = """
import asyncio, sys
from homeport.store import open_stores
async def main():
    async with open_stores(sys.argv[1]) as stores:
        async def writer(number):
            for count in range(100_000):
                name = f"{number}-{count}"
                await stores.settings.put(name, b"x" * 200)
                sys.stdout.write(name + "\\n")
                sys.stdout.flush()
        await asyncio.gather(*(writer(number) for number in range(20)))
asyncio.run(main())
"""


async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(file: Path) -> None:
    command = [sys.executable, "-c", ACKNOWLEDGE, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: ASYNC220 - nothing else runs
        assert child.stdout is not None
        acknowledged = [child.stdout.readline().strip() for _ in range(3000)]
        child.kill()
        # The last line may be half a line.
        acknowledged += child.stdout.read().split("\n")[:-1]
    async with open_stores(file) as stores:
        kept = {row[0] for row in await stores.database.fetch_all("SELECT name FROM settings")}
    assert len(acknowledged) >= 3000
    assert set(acknowledged) <= kept


async def test_several_processes_may_start_at_once(file: Path) -> None:
    code = (
        "import asyncio, sys\nfrom homeport.store import open_stores\n"
        "async def main():\n"
        "    async with open_stores(sys.argv[1]) as stores:\n"
        "        print((await stores.settings.put_if_absent('id', sys.argv[2].encode())).decode())\n"
        "asyncio.run(main())\n"
    )
    children = [
        await asyncio.create_subprocess_exec(  # their own processes, as servers would be
            sys.executable, "-c", code, str(file), str(number), stdout=subprocess.PIPE
        )
        for number in range(4)
    ]
    printed = {(await child.communicate())[0] for child in children}
    assert len(printed) == 1
    assert printed != {b""}


async def test_another_process_may_read(file: Path) -> None:
    async with open_stores(file) as stores:
        await stores.settings.put("a", b"1")
        async with open_stores(file, read_only=True) as reader:
            assert await reader.settings.get("a") == b"1"
            await stores.settings.put("a", b"2")
            assert await reader.settings.get("a") == b"2"
            with pytest.raises(DatabaseError, match="reading only"):
                await reader.settings.put("a", b"3")
        await stores.settings.put("a", b"4")


async def test_a_file_to_read_must_be_there(file: Path) -> None:
    with pytest.raises(DatabaseError, match=r"homeport\.db"):
        await open_database(file, read_only=True)
    assert not file.exists()


async def test_a_writer_waits_for_another_process_and_stops_nobody(file: Path) -> None:
    async with open_stores(file) as stores:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = stores.database.start(lambda transaction: transaction.execute("DELETE FROM settings"))
        for _ in range(20):
            await asyncio.sleep(0.001)
            assert await stores.settings.get("a") is None
        assert not waiting.done()
        other.execute("COMMIT")
        assert await waiting == 0
        other.close()


async def test_a_lock_that_stays_makes_it_unavailable_until_it_goes(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stores(file) as stores:
        monkeypatch.setattr(sqlite, "BUSY_MILLISECONDS", 20)
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        outcomes = await asyncio.gather(
            *(stores.settings.put(str(number), b"") for number in range(5)), return_exceptions=True
        )
        assert all(isinstance(outcome, DatabaseError) for outcome in outcomes)
        assert "locked" in str(outcomes[0])
        other.execute("COMMIT")
        other.close()
        await stores.settings.put("a", b"")


async def test_a_full_disk_makes_it_unavailable_until_there_is_room(file: Path) -> None:
    async with open_stores(file) as stores:
        writer = driver(stores)._writer
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages}")
        outcomes = await asyncio.gather(
            *(stores.settings.put(str(number), b"x" * 100_000) for number in range(3)), return_exceptions=True
        )
        assert all(isinstance(outcome, DatabaseError) for outcome in outcomes)
        assert isinstance(outcomes[0], DatabaseError)
        assert outcomes[0].code is Code.UNAVAILABLE
        assert "full" in outcomes[0].detail
        assert str(file) not in outcomes[0].message
        writer.execute(f"PRAGMA max_page_count = {pages + 1000}")
        await stores.settings.put("a", b"x" * 100_000)
        assert await stores.settings.get("0") is None


async def test_what_is_no_database_is_told_at_the_start(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"something else entirely " * 1000)
    with pytest.raises(DatabaseError, match="not a database"):
        await open_database(file)


@pytest.mark.parametrize("location", ["/dev/null/homeport.db", "/proc/homeport.db", "/tmp"])
async def test_a_place_where_nothing_can_be_written_is_told_at_the_start(location: str) -> None:
    with pytest.raises(DatabaseError, match=location):
        await open_database(location)


async def test_a_page_that_is_damaged_is_unavailable(file: Path) -> None:
    async with open_stores(file) as stores:
        await asyncio.gather(*(stores.settings.put(str(number), b"x" * 500) for number in range(500)))
    content = bytearray(file.read_bytes())
    # The end is rows alone: the schema comes first, and grows.
    end = len(content) * 3 // 4
    content[end:] = b"\xa5" * (len(content) - end)
    file.write_bytes(content)
    database = SqliteDatabase(file)
    with pytest.raises(DatabaseError, match="malformed"):
        await database.fetch_all("SELECT * FROM settings")
    await database.close()


async def test_a_queue_that_is_full_makes_writers_wait(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db", queue_limit=10)
    await database.execute("CREATE TABLE t (n INTEGER)")
    longest = 0

    async def write(number: int) -> None:
        nonlocal longest
        await database.execute("INSERT INTO t VALUES (:n)", {"n": number})
        longest = max(longest, len(database._queue))

    tasks = [asyncio.ensure_future(write(number)) for number in range(500)]
    await asyncio.sleep(0)
    for task in tasks[5:400:7]:
        task.cancel()
    await asyncio.wait(tasks)
    assert longest <= 10
    row = await database.fetch_one("SELECT count(*) FROM t")
    assert row is not None
    assert row[0] >= sum(not task.cancelled() for task in tasks) >= 400
    await database.close()


async def test_a_transaction_that_awaits_something_else_is_an_error(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db")

    async def work(transaction: Transaction) -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="await nothing but"):
        await database.write(work)
    assert await database.execute("CREATE TABLE t (n INTEGER)") == -1
    await database.close()


async def test_many_writes_share_few_commits(file: Path) -> None:
    async with open_stores(file) as stores:
        commits = 0

        def count(statement: str) -> None:
            nonlocal commits
            commits += statement.startswith("COMMIT")

        driver(stores)._writer.set_trace_callback(count)
        await asyncio.gather(*(stores.settings.put(str(number), b"") for number in range(400)))
    assert 1 <= commits <= 10


async def test_a_single_statement_undoes_itself(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db")
    await database.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
    put = "INSERT INTO numbers VALUES (:number)"
    # The second row fails when the first is in the table already.
    two = "INSERT INTO numbers SELECT value FROM json_each('[7, 1]')"
    results = await asyncio.gather(
        database.execute(put, {"number": 1}),
        database.execute(two),
        database.execute(put, {"number": 2}),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [int, sqlite3.IntegrityError, int]
    assert await database.fetch_all("SELECT number FROM numbers") == [(1,), (2,)]
    await database.close()
