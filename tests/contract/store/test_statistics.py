"""PostgreSQL's statistics are made when there is something to count; SQLite is left alone."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeport.store import Stores, Transaction, open_stores
from homeport.store.statistics import LEAST_CHANGES, refresh
from tests.contract.store.conftest import emptied
from tests.contract.store.samples import individual

MANY = LEAST_CHANGES + 200
TABLE = "individual_enrollments"


@pytest.fixture
async def url(store_database: str) -> str:
    return await emptied(store_database)


@pytest.fixture
async def server(url: str) -> AsyncIterator[Stores]:
    # One connection: what it has changed is told to the server's statistics when it asks for that.
    async with open_stores(url, pool_size=1) as stores:
        yield stores


async def fill(stores: Stores, first: int, count: int) -> None:
    await stores.enrollments.create_individual(individual("model"))
    columns: Any = await stores.database.fetch_all(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() "
        "AND table_name = :name ORDER BY ordinal_position",
        {"name": TABLE},
    )
    names = [str(name) for (name,) in columns if name not in {"id_key", "id"}]
    copied = ", ".join(names)

    async def work(transaction: Transaction) -> None:
        await transaction.execute(
            f"INSERT INTO {TABLE} (id_key, id, {copied}) "
            f"SELECT 'copy-' || n, 'copy-' || n, {copied} FROM {TABLE}, "
            "generate_series(CAST(:first AS INTEGER), CAST(:last AS INTEGER)) AS n "
            "WHERE id_key = 'model'",
            {"first": first, "last": first + count - 1},
        )

    await stores.database.write(work)
    await told(stores)


async def told(stores: Stores) -> None:
    await stores.database.fetch_one("SELECT pg_stat_force_next_flush()::text")
    await stores.database.fetch_one("SELECT 1")


async def plan(stores: Stores) -> str:
    rows = await stores.database.fetch_all(f"EXPLAIN SELECT id_key FROM {TABLE} ORDER BY id_key LIMIT 50")
    return "\n".join(str(line) for (line,) in rows)


async def test_a_table_that_has_grown_is_counted_once(server: Stores) -> None:
    assert await refresh(server.database) == ()
    await fill(server, 0, MANY)
    assert await refresh(server.database) == (TABLE,)
    await told(server)
    counted = await server.database.fetch_one(
        "SELECT reltuples FROM pg_class WHERE oid = to_regclass(:table)", {"table": TABLE}
    )
    assert counted is not None
    assert counted[0] == MANY + 1
    assert "Sort" not in await plan(server)
    assert await refresh(server.database) == ()
    # Little of it changes: that is not worth the work.
    await server.database.execute(f"UPDATE {TABLE} SET etag = 'x' WHERE id_key = 'copy-1'")
    await told(server)
    assert await refresh(server.database) == ()


async def test_one_process_at_a_time(server: Stores, url: str) -> None:
    looked = asyncio.Event()
    go_on = asyncio.Event()

    async def hold(transaction: Transaction) -> None:
        await transaction.fetch_one("SELECT pg_advisory_xact_lock(4700116117)::text")
        looked.set()
        await go_on.wait()

    async with open_stores(url, pool_size=1) as other:
        await fill(server, 0, MANY)
        holding = asyncio.ensure_future(other.database.write(hold))
        await looked.wait()
        assert await refresh(server.database) == ()
        go_on.set()
        await holding
    assert await refresh(server.database) == (TABLE,)


async def test_a_new_schema_has_all_large_tables_counted(server: Stores, url: str) -> None:
    await fill(server, 0, MANY)
    assert TABLE in await refresh(server.database, every=True)
    assert "settings" not in await refresh(server.database, every=True), "small tables need none"
    async with open_stores(url, pool_size=1) as again:
        assert await refresh(again.database) == ()


async def test_sqlite_is_left_alone() -> None:
    async with open_stores(":memory:") as stores:
        assert await refresh(stores.database, every=True) == ()
