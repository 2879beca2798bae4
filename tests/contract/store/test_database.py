"""What both drivers promise to the stores."""

import asyncio

import pytest

from homeport.errors import Code
from homeport.store import Database, DatabaseError, Stores, Transaction, Work, open_stores

PUT = "INSERT INTO settings (name, value) VALUES (:name, :value)"


def put(name: str) -> Work[int]:
    return lambda transaction: transaction.execute(PUT, {"name": name, "value": b""})


async def names(database: Database) -> list[str]:
    return [row[0] for row in await database.fetch_all("SELECT name FROM settings ORDER BY name")]


async def test_a_failing_transaction_leaves_nothing_and_disturbs_nobody(stores: Stores) -> None:
    async def write(number: int) -> int:
        async def work(transaction: Transaction) -> int:
            await transaction.execute(PUT, {"name": f"{number:02}", "value": b""})
            if number % 3 == 0:
                raise ZeroDivisionError(number)
            return number

        return await stores.database.write(work)

    outcomes = await asyncio.gather(*(write(number) for number in range(30)), return_exceptions=True)
    kept = [number for number in range(30) if number % 3]
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == kept
    assert sum(isinstance(outcome, ZeroDivisionError) for outcome in outcomes) == 10
    assert await names(stores.database) == [f"{number:02}" for number in kept]


async def test_a_broken_constraint_undoes_its_own_transaction_only(stores: Stores) -> None:
    async def twice(transaction: Transaction) -> None:
        await transaction.execute(PUT, {"name": "twice", "value": b""})
        await transaction.execute(PUT, {"name": "twice", "value": b""})

    good = stores.settings.put("good", b"")
    bad, _ = await asyncio.gather(stores.database.write(twice), good, return_exceptions=True)
    assert isinstance(bad, Exception)
    assert await names(stores.database) == ["good"]


async def test_statements_report_rows_and_changes(stores: Stores) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.execute_many(PUT, [{"name": name, "value": b"v"} for name in "abc"])
        assert await transaction.execute("DELETE FROM settings WHERE name > :name", {"name": "a"}) == 2
        assert await transaction.execute("DELETE FROM settings WHERE name > :name", {"name": "a"}) == 0
        row = await transaction.fetch_one("SELECT name, value FROM settings")
        assert row is not None
        assert tuple(row) == ("a", b"v")
        assert await transaction.fetch_one("SELECT 1 FROM settings WHERE name = :name", {"name": "z"}) is None

    await stores.database.write(work)


async def test_a_reading_function_sees_one_state(pair: tuple[Stores, Stores]) -> None:
    async def count(transaction: Transaction) -> int:
        row = await transaction.fetch_one("SELECT count(*) FROM settings")
        assert row is not None
        number: int = row[0]
        return number

    async def twice(transaction: Transaction) -> tuple[int, int]:
        return await count(transaction), await count(transaction)

    async def write() -> None:
        for number in range(50):
            await pair[0].settings.put(str(number), b"")

    async def read() -> list[tuple[int, int]]:
        return [await pair[1].database.read(twice) for _ in range(50)]

    _, seen = await asyncio.gather(write(), read())
    assert all(first == second for first, second in seen)


async def test_what_was_started_goes_on_when_its_caller_leaves(stores: Stores) -> None:
    future = stores.database.start(put("a"))
    task = asyncio.ensure_future(stores.settings.put("b", b""))
    await asyncio.sleep(0)
    task.cancel()
    assert await future == 1
    await asyncio.wait([task])
    await stores.settings.put("c", b"")
    assert set(await names(stores.database)) >= {"a", "c"}


async def test_closing_finishes_what_was_begun(shared: str) -> None:
    async with open_stores(shared) as stores:
        futures = [stores.database.start(put(str(number))) for number in range(500)]
        await stores.database.close()
        assert all(future.done() and future.result() == 1 for future in futures)
    async with open_stores(shared) as stores:
        assert len(await names(stores.database)) == 500


async def test_a_closed_database_is_out_of_reach(stores: Stores) -> None:
    await stores.database.close()
    for action in (
        stores.settings.get("a"),
        stores.settings.put("a", b""),
        stores.settings.put_if_absent("a", b""),
        stores.enrollments.groups(),
    ):
        with pytest.raises(DatabaseError) as refused:
            await action
        assert refused.value.code is Code.UNAVAILABLE


async def test_closing_twice_is_fine(stores: Stores) -> None:
    await stores.close()
    await stores.close()


async def test_text_with_a_nul_is_no_fault(stores: Stores) -> None:
    await stores.settings.put("a\0b", b"1")
    assert await stores.settings.get("a\0b") == b"1"
    assert await stores.enrollments.get_individual("\0") is None


async def test_a_fault_in_our_own_statement_is_no_outage(stores: Stores) -> None:
    for sql in ("SELECT 1 FROM nowhere", "SELECT * FROM settings WHERE name = :not_given"):
        for action in (stores.database.fetch_one(sql), stores.database.execute(sql)):
            with pytest.raises(Exception) as fault:
                await action
            assert not isinstance(fault.value, DatabaseError)
