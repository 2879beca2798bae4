"""Waits with a time limit, one after the other in one task."""

import asyncio

import pytest

from homeport.net.patience import Patience


async def wait(patience: Patience, work: "asyncio.Future[str]", seconds: float | None) -> str | None:
    """Return what came, or None if the time was over first."""
    loop = asyncio.get_running_loop()
    patience.begin(None if seconds is None else loop.time() + seconds)
    try:
        return await work
    except asyncio.CancelledError:
        if not patience.was_over():
            raise
        return None
    finally:
        patience.end()


def promised(answer: str | None = None, seconds: float = 0.0) -> "asyncio.Future[str]":
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()

    def keep(promise: str) -> None:
        if not future.done():
            future.set_result(promise)

    if answer is not None:
        loop.call_later(seconds, keep, answer)
    return future


async def test_what_comes_in_time_comes() -> None:
    patience = Patience()
    assert await wait(patience, promised("a"), 5) == "a"
    assert await wait(patience, promised("b", 0.01), None) == "b"
    patience.close()


async def test_what_does_not_come_is_waited_for_no_longer_than_that() -> None:
    patience = Patience()
    for _ in range(3):
        assert await wait(patience, promised(), 0.01) is None
    assert await wait(patience, promised("a", 0.01), 5) == "a"
    patience.close()


async def test_a_later_limit_is_kept_though_the_timer_stays_where_it_was() -> None:
    patience = Patience()
    assert await wait(patience, promised("a"), 0.05) == "a"
    assert await wait(patience, promised("b", 0.15), 5) == "b", "the first timer rang in the middle of it"
    assert await wait(patience, promised("a"), 0.02) == "a"
    assert await wait(patience, promised(), 0.1) is None
    patience.close()


async def test_a_sooner_limit_is_kept_though_the_timer_was_for_later() -> None:
    patience = Patience()
    assert await wait(patience, promised("a"), 60) == "a"
    assert await asyncio.wait_for(wait(patience, promised(), 0.01), 5) is None
    patience.close()


async def test_it_rings_on_request_and_only_for_who_waits() -> None:
    patience = Patience()
    patience.ring()
    asyncio.get_running_loop().call_later(0.01, patience.ring)
    assert await asyncio.wait_for(wait(patience, promised(), None), 5) is None
    patience.ring()
    assert await wait(patience, promised("a", 0.01), 5) == "a"
    patience.close()


@pytest.mark.parametrize("also_over", [False, True])
async def test_whoever_else_cancels_the_task_is_obeyed(*, also_over: bool) -> None:
    patience = Patience()
    task = asyncio.get_running_loop().create_task(wait(patience, promised(), 60))
    await asyncio.sleep(0)
    task.cancel()
    if also_over:
        patience.ring()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    patience.close()
