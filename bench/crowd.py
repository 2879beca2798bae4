"""Very many devices in a store, without waiting for them: what one device left behind, copied under other names."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

from homeport.store.database import Database, Parameters, Value
from homeport.store.stores import open_database

PREFIX = "crowd-"
MODEL = f"{PREFIX}{0:07d}"
"""The device that is copied: enrolled, registered, and known to the hub."""
TABLES = ("individual_enrollments", "registrations", "devices")
_PORTION = 5000
_APART = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def name(number: int) -> str:
    return f"{PREFIX}{number:07d}"


Vary = Callable[[int, dict[str, Value]], dict[str, Value]]
"""Makes the row of the device of a number differ from the model's."""


def fill(
    location: str,
    count: int,
    say: Callable[[str], None],
    *,
    tables: Sequence[str] = TABLES,
    vary: Vary = lambda _, row: row,
) -> None:
    """Bring the crowd to `count` devices with enrollment, registration and identity; no server may be running."""
    asyncio.run(_fill(location, count, say, tables, vary))


async def _fill(location: str, count: int, say: Callable[[str], None], tables: Sequence[str], vary: Vary) -> None:
    database = await open_database(location)
    postgres = location.startswith("postgresql://")
    try:
        for table in tables:
            model = await _model(database, table, postgres=postgres)
            columns = ", ".join(model)
            values = ", ".join(f":{column}" for column in model)
            insert = f"INSERT INTO {table} ({columns}) VALUES ({values})"
            copies = (vary(number, copy) for number, copy in enumerate(_copies(model, count), start=1))
            done = 1
            while rows := list(islice(copies, _PORTION)):
                await _write(database, insert, rows)
                done += len(rows)
                say(f"filling {table}: {done:,} of {count:,}")
        if postgres:
            # What autovacuum does by itself, some time later.
            await database.execute("ANALYZE")
    finally:
        await database.close()


async def _write(database: Database, statement: str, rows: Sequence[Parameters]) -> None:
    await database.write(lambda transaction: transaction.execute_many(statement, rows))


async def _model(database: Database, table: str, *, postgres: bool) -> dict[str, Value]:
    """Return the model's row, column by column."""
    listed: Sequence[Any] = await database.fetch_all(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = :name"
        if postgres
        else "SELECT name FROM pragma_table_info(:name)",
        {"name": table},
    )
    columns = [str(column) for (column,) in listed]
    key = "device_id" if table == "devices" else "id_key"
    row = await database.fetch_one(f"SELECT {', '.join(columns)} FROM {table} WHERE {key} = :name", {"name": MODEL})
    if row is None:
        raise LookupError(f"{MODEL} is not in {table}")
    return dict(zip(columns, row, strict=True))


def _copies(model: dict[str, Value], count: int) -> Iterator[dict[str, Value]]:
    """Yield the rows of all the others, each last changed a moment after the one before."""
    texts = {column: value for column, value in model.items() if isinstance(value, str)}
    touched = model.get("updated_at")
    first = _EPOCH + timedelta(microseconds=touched) if isinstance(touched, int) else None
    written = None if first is None else _json(first)
    for number in range(1, count):
        copy = {column: text.replace(MODEL, name(number)) for column, text in texts.items()}
        if first is not None and written is not None and isinstance(touched, int):
            moment = first + number * _APART
            copy["data"] = copy["data"].replace(written, _json(moment))
            yield {**model, **copy, "updated_at": touched + number * (_APART // timedelta(microseconds=1))}
        else:
            yield {**model, **copy}


def _json(moment: datetime) -> str:
    return msgspec.json.encode(moment).decode()
