"""Turns: how many at once, who comes next, who is sent away; nothing is lost whatever happens to those who wait."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from homeport.dps.gate import BusyError, Gate, GateLimits


def gate(width: int = 2, waiting: int = 4, patience: float = 5.0) -> Gate:
    return Gate(GateLimits(calls_in_flight=width, calls_waiting=waiting, call_patience=patience))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_at_once_and_the_rest_in_order() -> None:
    turns, order = gate(), list[int]()

    async def work(number: int) -> None:
        end = await turns.enter("a")
        order.append(number)
        assert turns.in_flight <= 2
        await asyncio.sleep(0)
        end()
        end()

    await asyncio.gather(*(work(number) for number in range(6)))
    assert order == [0, 1, 2, 3, 4, 5]
    assert (turns.in_flight, turns.waiting, turns.refused) == (0, 0, 0)


async def test_networks_take_turns() -> None:
    turns, order = gate(width=1, waiting=100), list[str]()
    first = await turns.enter("a")

    async def work(network: str) -> None:
        end = await turns.enter(network)
        order.append(network)
        end()

    tasks = [asyncio.ensure_future(work(network)) for network in "aaaaabb"]
    await settle()
    first()
    await asyncio.gather(*tasks)
    assert order[:4] in (["a", "b", "a", "b"], ["b", "a", "b", "a"])


async def test_a_flood_does_not_take_the_places_of_others() -> None:
    turns = gate(width=1, waiting=4)
    first = await turns.enter("a")
    flood = [asyncio.ensure_future(turns.enter("a")) for _ in range(8)]
    await settle()
    assert turns.refused == 4
    other = asyncio.ensure_future(turns.enter("b"))
    await settle()
    assert turns.refused == 5
    assert turns.waiting == 4
    first()
    await settle()
    ends = 0
    while not other.done():
        for task in flood:
            if task.done() and task.exception() is None and ends < 8:
                ends += 1
                task.result()()
        await settle()
    assert ends <= 2, "b came after the whole queue of a"
    other.result()()
    for task in flood:
        task.cancel()
    results = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(result, BusyError) for result in results) == 5


async def test_patience_has_an_end() -> None:
    turns = gate(width=1, patience=0.01)
    end = await turns.enter("a")
    with pytest.raises(BusyError):
        await turns.enter("b")
    assert (turns.in_flight, turns.waiting, turns.refused) == (1, 0, 1)
    end()
    (await turns.enter("b"))()
    assert turns.in_flight == 0


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_to_those_who_wait_no_turn_is_lost(seed: int) -> None:
    """Callers leave at any moment, some lose patience: in the end every turn is free again, and nobody is forgotten."""
    dice = random.Random(seed)
    turns, ended = gate(width=3, waiting=10, patience=0.003), Counter[str]()

    async def call(network: str) -> None:
        try:
            end: Callable[[], None] = await turns.enter(network)
        except BusyError:
            ended["refused"] += 1
            return
        assert turns.in_flight <= 3
        try:
            await asyncio.sleep(dice.random() * 0.003)
            ended["served"] += 1
        finally:
            end()

    tasks = []
    for _ in range(200):
        tasks.append(asyncio.ensure_future(call(dice.choice("abc"))))
        if dice.random() < 0.3:
            dice.choice(tasks).cancel()
        if dice.random() < 0.3:
            await asyncio.sleep(dice.random() * 0.001)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
    assert ended["refused"] + ended["served"] + cancelled == len(tasks)
    assert ended["refused"] == turns.refused
    assert (turns.in_flight, turns.waiting) == (0, 0)
