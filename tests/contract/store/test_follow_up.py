"""Writes that need not be durable on their own: seen by what is written after them, and durable with it."""

import asyncio
import time
from pathlib import Path

import pytest

from homeport.errors import HomeportError
from homeport.store import sqlite
from homeport.store.database import Transaction
from homeport.store.migration import migrate
from homeport.store.sqlite import SqliteDatabase

PUT = "INSERT INTO settings (name, value) VALUES (:name, :value)"
GET = "SELECT value FROM settings WHERE name = :name"


@pytest.fixture
async def database(tmp_path: Path) -> SqliteDatabase:
    opened = SqliteDatabase(tmp_path / "homeport.db")
    await migrate(opened, "sqlite")
    return opened


async def test_later_writes_see_it_and_take_it_along(database: SqliteDatabase, tmp_path: Path) -> None:
    await database.execute(PUT, {"name": "step", "value": b"1"}, durable=False)

    async def last(transaction: Transaction) -> bytes:
        row = await transaction.fetch_one(GET, {"name": "step"})
        assert row is not None
        await transaction.execute(PUT, {"name": "outcome", "value": row[0]})
        return bytes(row[0])

    assert await database.write(last) == b"1"
    reader = SqliteDatabase(tmp_path / "homeport.db", read_only=True)
    assert await reader.fetch_one(GET, {"name": "step"}) == (b"1",)
    assert await reader.fetch_one(GET, {"name": "outcome"}) == (b"1",)
    await reader.close()
    await database.close()


async def test_alone_it_is_written_all_the_same(database: SqliteDatabase) -> None:
    await database.execute(PUT, {"name": "step", "value": b"1"}, durable=False)
    await database.close()
    again = SqliteDatabase(database._name)
    assert await again.fetch_one(GET, {"name": "step"}) == (b"1",)
    await again.close()


async def test_a_refused_one_is_undone_alone(database: SqliteDatabase) -> None:
    async def refused(transaction: Transaction) -> None:
        await transaction.execute(PUT, {"name": "refused", "value": b"1"})
        raise ValueError("no")

    results = await asyncio.gather(
        database.execute(PUT, {"name": "before", "value": b"1"}, durable=False),
        database.write(refused, durable=False),
        database.execute(PUT, {"name": "after", "value": b"1"}),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [int, ValueError, int]
    assert await database.fetch_one(GET, {"name": "refused"}) is None
    assert await database.fetch_one(GET, {"name": "before"}) == (b"1",)
    await database.close()


def keep_busy() -> None:
    time.sleep(2 * sqlite._IDLE_TURN_SECONDS)


async def test_a_busy_loop_has_one_commit_for_what_it_is_about_to_write(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_FOLLOW_UP_SECONDS", 60.0)
    commits: list[str] = []
    database._writer.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)

    async def write_later(turns: int) -> None:
        for _ in range(turns):
            keep_busy()
            await asyncio.sleep(0)
        await database.execute(PUT, {"name": f"{turns}", "value": b"1"})

    await asyncio.gather(*(write_later(turns) for turns in range(5)))
    assert len(commits) == 1
    await database.execute(PUT, {"name": "alone", "value": b"1"})
    assert len(commits) == 2, "and an idle loop waits for nobody"
    await database.close()


async def test_a_closed_database_takes_none(database: SqliteDatabase) -> None:
    await database.close()
    with pytest.raises(HomeportError):
        await database.execute(PUT, {"name": "late", "value": b"1"}, durable=False)
