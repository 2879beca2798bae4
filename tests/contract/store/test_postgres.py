"""What is special about a server."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from homeport.errors import Code
from homeport.store import DatabaseError, Stores, Transaction, open_database, open_stores
from tests.contract.store.conftest import emptied


@pytest.fixture
async def url(store_database: str) -> str:
    return await emptied(store_database)


@pytest.fixture
async def server(url: str) -> AsyncIterator[Stores]:
    async with open_stores(url, pool_size=4) as stores:
        yield stores


@pytest.mark.parametrize("error", [asyncpg.DeadlockDetectedError, asyncpg.SerializationError])
async def test_a_lost_race_is_run_again(server: Stores, error: type[Exception]) -> None:
    runs = 0

    async def work(transaction: Transaction) -> int:
        nonlocal runs
        runs += 1
        await transaction.execute("INSERT INTO settings (name, value) VALUES ('a', '')")
        if runs < 3:
            raise error
        return runs

    assert await server.database.write(work) == 3


async def test_races_that_are_always_lost_end(server: Stores) -> None:
    async def work(transaction: Transaction) -> None:
        raise asyncpg.SerializationError("again")

    with pytest.raises(DatabaseError, match="again"):
        await server.database.write(work)


async def test_lost_connections_are_unavailable_and_replaced(server: Stores, url: str) -> None:
    await asyncio.gather(*(server.settings.put(str(number), b"") for number in range(10)))
    killer = await asyncpg.connect(url)
    slow = asyncio.ensure_future(server.database.fetch_one("SELECT pg_sleep(30)"))
    asleep = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    while not await killer.fetch(asleep):  # noqa: ASYNC110 - another process has no Event to wait for
        await asyncio.sleep(0.01)
    await killer.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'homeport'")
    await killer.close()
    with pytest.raises(DatabaseError) as lost:
        await slow
    assert lost.value.code is Code.UNAVAILABLE
    for _ in range(10):
        try:
            await server.settings.put("a", b"1")
            break
        except DatabaseError:
            await asyncio.sleep(0.05)
    assert await server.settings.get("a") == b"1"


async def test_a_server_out_of_reach_is_told_without_the_password() -> None:
    with pytest.raises(DatabaseError) as refused:
        await open_database("postgresql://me:secret@127.0.0.1:1/homeport")
    assert "127.0.0.1:1/homeport" in refused.value.detail
    assert "secret" not in refused.value.detail + refused.value.message


@pytest.mark.parametrize("url", ["postgresql://h:notaport/x", "postgresql://me:secret@[::/x"])
async def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        await open_database(url)
    assert "secret" not in refused.value.detail


async def test_several_processes_may_start_at_once(url: str) -> None:
    databases = await asyncio.gather(*(open_database(url) for _ in range(6)))
    rows = await databases[0].fetch_all("SELECT number FROM schema_scripts ORDER BY number")
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    await asyncio.gather(*(database.close() for database in databases))


async def test_what_reads_only_writes_nothing(server: Stores, url: str) -> None:
    await server.settings.put("a", b"1")
    async with open_stores(url, read_only=True) as reader:
        assert await reader.settings.get("a") == b"1"
        with pytest.raises(DatabaseError):
            await reader.settings.put("a", b"2")


async def test_every_commit_reaches_the_disk(server: Stores) -> None:
    row = await server.database.fetch_one("SHOW synchronous_commit")
    assert row is not None
    assert row[0] == "on"


async def test_json_can_be_asked_by_other_tools(server: Stores) -> None:
    from tests.contract.store.samples import individual

    await server.enrollments.create_individual(individual("dev"))
    row = await server.database.fetch_one("SELECT data->'attestation'->>'type' FROM individual_enrollments")
    assert row is not None
    assert row[0] == "symmetricKey"
