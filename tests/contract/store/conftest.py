"""One suite, three databases: SQLite in memory, SQLite in a file, PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from homeport.store import Stores, open_stores
from tests.postgres import PrivatePostgres


@pytest.fixture(scope="session")
def store_database(postgres: PrivatePostgres) -> str:
    """Return the address of a database that only the store suites use, one test after the other."""
    return postgres.new_database()


async def emptied(url: str) -> str:
    """Empty the database and return its address."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await connection.close()
    return url


async def _location(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    match kind:
        case "postgres":
            return await emptied(request.getfixturevalue("store_database"))
        case "file":
            return str(folder / "homeport.db")
        case _:
            return ":memory:"


@pytest.fixture(params=["memory", "file", "postgres"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    """Yield every store over an empty database."""
    async with open_stores(await _location(request.param, request, tmp_path)) as opened:
        yield opened


@pytest.fixture(params=["file", "postgres"])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the location of an empty database that several can open."""
    return await _location(request.param, request, tmp_path)


@pytest.fixture
async def pair(shared: str) -> AsyncIterator[tuple[Stores, Stores]]:
    """Yield the stores of two processes, as it were, over one database."""
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(open_stores(shared)),
            await stack.enter_async_context(open_stores(shared)),
        )
