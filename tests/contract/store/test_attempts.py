import asyncio

import pytest

from homeport.dps.model import Check, EnrollmentRef
from homeport.paging import TokenError
from homeport.store import Stores
from homeport.store.attempts import SqlAttemptStore
from homeport.values import replace
from tests.contract.store.samples import attempt


async def test_what_was_recorded_is_read_at_once_newest_first(stores: Stores) -> None:
    for number in range(5):
        stores.attempts.record(attempt("Dev", number))
    stores.attempts.record(attempt("other", 0))
    assert await stores.attempts.latest("dEV", limit=3) == [attempt("Dev", 4), attempt("Dev", 3), attempt("Dev", 2)]
    assert await stores.attempts.latest("none", limit=3) == []


async def test_an_attempt_is_found_by_its_tracking_id(stores: Stores) -> None:
    told = replace(
        attempt("dev", 1),
        tracking_id="T-1",
        enrollment=EnrollmentRef(group_id="g"),
        checks=(Check(name="signature", passed=False, detail="wrong \0 key"),),
        code=401002,
        duration_ms=1.5,
    )
    stores.attempts.record(attempt("dev", 0))
    stores.attempts.record(told)
    assert await stores.attempts.find("T-1") == told
    assert await stores.attempts.find("t-1") is None


async def test_only_the_newest_of_a_device_are_kept(stores: Stores) -> None:
    store = SqlAttemptStore(stores.database, kept=20)
    for number in range(50):
        store.record(attempt("dev", number))
        store.record(attempt(f"other{number}", 0))
        if number % 7 == 0:
            await store.flush()
    newest = await store.latest("dev", limit=100)
    assert newest == [attempt("dev", number) for number in range(49, 29, -1)]
    assert len(await store.latest("other0", limit=100)) == 1


async def test_a_thousand_of_one_device_in_a_row_leave_twenty(stores: Stores) -> None:
    for number in range(1000):
        stores.attempts.record(attempt("dev", number))
    assert len(await stores.attempts.latest("dev", limit=100)) == 20


async def test_the_total_is_bounded(stores: Stores) -> None:
    store = SqlAttemptStore(stores.database, total=100)
    for number in range(2500):
        store.record(attempt(f"dev{number}", 0))
    page = await store.page(after=None, limit=5000)
    assert 100 <= len(page.items) <= 100 + 1000 + 256
    assert page.items[0] == attempt("dev2499", 0)


async def test_pages_come_newest_first_and_stand_still(stores: Stores) -> None:
    for number in range(5):
        stores.attempts.record(attempt("dev", number))
    first = await stores.attempts.page(after=None, limit=2)
    stores.attempts.record(attempt("dev", 5))
    second = await stores.attempts.page(after=first.after, limit=2)
    third = await stores.attempts.page(after=second.after, limit=2)
    seen = [each for page in (first, second, third) for each in page.items]
    assert seen == [attempt("dev", number) for number in (4, 3, 2, 1, 0)]
    assert third.after is None


@pytest.mark.parametrize("after", ["", "x", "-1", "1;", "9" * 30])
async def test_a_made_up_token_is_refused(stores: Stores, after: str) -> None:
    with pytest.raises(TokenError):
        await stores.attempts.page(after=after, limit=1)


async def test_a_name_no_database_can_write_costs_one_record_only(stores: Stores) -> None:
    stores.attempts.record(attempt("before", 0))
    stores.attempts.record(attempt("lone \ud800 surrogate", 0))
    stores.attempts.record(attempt("nul \0", 0))
    assert len(await stores.attempts.latest("before", limit=1)) == 1
    assert await stores.attempts.latest("nul \0", limit=1) == [attempt("nul \0", 0)]
    assert stores.attempts.dropped == 1


async def test_too_many_at_once_drop_the_oldest_and_are_counted(stores: Stores) -> None:
    for number in range(10_300):
        stores.attempts.record(attempt(f"dev{number}", number))
    assert stores.attempts.dropped == 300
    assert await stores.attempts.latest("dev299", limit=1) == []
    assert len(await stores.attempts.latest("dev300", limit=1)) == 1


async def test_recording_after_the_end_is_no_error(stores: Stores) -> None:
    await stores.database.close()
    stores.attempts.record(attempt("dev", 0))
    await asyncio.sleep(0)
    await stores.attempts.flush()
    assert stores.attempts.dropped == 1
