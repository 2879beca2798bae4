"""The IP filter a process obeys: it follows the store, keeps its rules when that fails, and does not flood the log."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from homeport.app.ip_filtering import LiveIpFilter
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Caller
from homeport.security.ip_filter import Action, Door, Rule

DENY = Rule(name="nobody", action=Action.DENY, network="192.0.2.0/24", door=Door.DEVICES)
STRANGER = "192.0.2.7"


@dataclass
class Store:
    rules: Sequence[Rule] = ()
    version: int = 0
    fails: bool = False

    async def get(self) -> tuple[int, Sequence[Rule]]:
        if self.fails:
            raise HomeportError(Code.UNAVAILABLE, "out of reach")
        return self.version, self.rules

    async def put(self, rules: Sequence[Rule], *, expected: int | None, by: Caller = SYSTEM) -> int:
        del expected, by
        self.rules, self.version = rules, self.version + 1
        return self.version


@dataclass
class Clock:
    time: datetime = datetime(2024, 6, 1, tzinfo=UTC)
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


async def a_while() -> None:
    """Let the filter look several times."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_it_follows_what_others_write() -> None:
    store, clock, told = Store(), Clock(), list[str]()
    live = LiveIpFilter(store, clock)
    await live.refresh()
    live.watch(lambda: told.append("changed"))
    assert live.allows(STRANGER, Door.DEVICES)
    running = asyncio.ensure_future(live.run())
    try:
        await store.put([DENY], expected=None)
        await a_while()
        assert not live.allows(STRANGER, Door.DEVICES)
        assert live.allows(STRANGER, Door.SERVICE)
        assert live.open_to(Door.DEVICES, Door.SERVICE)(STRANGER)
        assert not live.open_to(Door.DEVICES)(STRANGER)

        # What cannot be read leaves the rules as they are, until it can be read again.
        store.fails = True
        await a_while()
        assert not live.allows(STRANGER, Door.DEVICES)
        await store.put([], expected=None)
        store.fails = False
        await a_while()
        assert live.allows(STRANGER, Door.DEVICES)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    # Two seconds are promised, and connections are ended half a second after the look.
    assert max(clock.slept) <= 1.5
    assert told == ["changed", "changed"]


async def test_refusals_are_counted_and_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    store, clock = Store(rules=[DENY], version=1), Clock()
    live = LiveIpFilter(store, clock)
    await live.refresh()
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            assert not live.allows(STRANGER, Door.DEVICES)
        assert len(caplog.records) == 1
        clock.time += timedelta(seconds=10)
        live.allows(STRANGER, Door.DEVICES)
    assert live.refused == {Door.DEVICES: 1001}
    assert "1000 refused" in caplog.records[1].getMessage()
    assert "nobody" in caplog.records[1].getMessage()


async def test_switched_off_it_lets_everybody_in() -> None:
    live = LiveIpFilter(Store(rules=[DENY], version=1), Clock(), enabled=False)
    await live.refresh()
    assert live.allows(STRANGER, Door.DEVICES)
