"""From nothing to the program's schema, and what stops a start."""

from collections.abc import AsyncIterator

import pytest

from homeport.store import Database, SchemaError, open_database, open_stores
from homeport.store.dialect import Dialect
from homeport.store.migration import Script, check, migrate, scripts
from homeport.values import replace

FUTURE = Script(
    number=9001, name="9001_future.sql", text="CREATE TABLE future (n INTEGER);\nINSERT INTO future VALUES (1);"
)


@pytest.fixture
async def database(shared: str) -> AsyncIterator[Database]:
    opened = await open_database(shared)
    yield opened
    await opened.close()


@pytest.fixture
def dialect(shared: str) -> Dialect:
    return "postgres" if shared.startswith("postgresql:") else "sqlite"


def test_scripts_are_numbered_without_gaps() -> None:
    assert [script.number for script in scripts()] == list(range(1, len(scripts()) + 1))


async def test_a_second_start_changes_nothing(shared: str) -> None:
    async with open_stores(shared) as stores:
        await stores.settings.put("a", b"1")
    async with open_stores(shared) as stores:
        assert await stores.settings.get("a") == b"1"


async def test_what_is_missing_is_run_once(database: Database, dialect: Dialect) -> None:
    for _ in range(2):
        await migrate(database, dialect, [*scripts(), FUTURE])
    assert len(await database.fetch_all("SELECT n FROM future")) == 1


async def test_a_newer_database_stops_the_start(database: Database, dialect: Dialect, shared: str) -> None:
    await migrate(database, dialect, [*scripts(), FUTURE])
    with pytest.raises(SchemaError, match="newer Homeport"):
        await open_database(shared)
    with pytest.raises(SchemaError, match="newer Homeport"):
        await open_database(shared, read_only=True)


async def test_an_edited_script_stops_the_start(database: Database, dialect: Dialect) -> None:
    first, *rest = scripts()
    with pytest.raises(SchemaError, match="another build"):
        await migrate(database, dialect, [replace(first, text=first.text + "\n"), *rest])


async def test_a_script_that_fails_leaves_nothing_behind(database: Database, dialect: Dialect) -> None:
    broken = replace(FUTURE, text=FUTURE.text + "\nINSERT INTO nowhere VALUES (1);")
    with pytest.raises(Exception, match="nowhere"):
        await migrate(database, dialect, [*scripts(), broken])
    await check(database)
    await migrate(database, dialect, [*scripts(), FUTURE])
    assert len(await database.fetch_all("SELECT n FROM future")) == 1


async def test_an_older_database_is_not_read(database: Database, shared: str) -> None:
    await database.execute("DELETE FROM schema_scripts WHERE number = :number", {"number": scripts()[-1].number})
    with pytest.raises(SchemaError, match="older"):
        await open_database(shared, read_only=True)
