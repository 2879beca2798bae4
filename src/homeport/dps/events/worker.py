"""Works for one subscription: reads the journal, sends what is wanted, notes how far everything is done."""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.events.cloud_event import cloud_event
from homeport.dps.events.ports import SubscriptionStore, Webhook
from homeport.dps.events.post import Delivered, Later, Never, Result, post
from homeport.dps.events.window import Item, Window
from homeport.dps.identifiers import Random
from homeport.dps.journal import Journal
from homeport.dps.model import DeadLetter, Progress, Recorded, Subscription
from homeport.errors import HomeportError

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Requests to one webhook at the same time; each is about another subject."""
_READ = 128
_NOTE_EVERY = timedelta(milliseconds=250)
_FIRST_WAIT = 1.0
_LAST_WAIT = 300.0
_SCALE = 1 << 16


class Signal:
    """Says to all who wait that something is new; a waiter that was busy meanwhile does not miss it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def give(self) -> None:
        given, self._event = self._event, asyncio.Event()
        given.set()

    def next(self) -> asyncio.Event:
        """Return the signal to wait for; take it before looking at what it would tell of."""
        return self._event

    @staticmethod
    async def wait(event: asyncio.Event, seconds: float) -> None:
        """Wait for the signal, at most that long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.001)):
                await event.wait()


class Tools(Struct, frozen=True, kw_only=True):
    """What all deliveries of a process share. `owner` names the process in leases."""

    journal: Journal
    subscriptions: SubscriptionStore
    webhook: Webhook
    source: str
    clock: Clock
    random: Random
    owner: str
    lease: timedelta = timedelta(seconds=30)


class Worker:
    """Works for a subscription as it is now, until it is changed or the lease is taken away."""

    def __init__(self, tools: Tools, subscription: Subscription, begin: int, signal: Signal, *, poll: float) -> None:
        self._tools = tools
        self._subscription = subscription
        self._signal = signal
        self._poll = poll
        now = tools.clock.now()
        self._window = Window(begin)
        self._noted = Progress(delivered=begin)
        self._progress = Progress(delivered=begin)
        self._noted_at = now - tools.lease
        self._letters_at = now
        self._paused_until = now
        self._out = 0

    async def run(self) -> None:
        """Work until the lease is lost."""
        store, name, owner = self._tools.subscriptions, self._subscription.name, self._tools.owner
        try:
            async with asyncio.TaskGroup() as tasks:
                while await self._hold():
                    given = self._signal.next()
                    more = await self._fill()
                    await self._send(tasks)
                    if not more or not self._window.room:
                        await self._signal.wait(given, self._idle_seconds())
        finally:
            now = self._tools.clock.now()
            with suppress(HomeportError):
                await store.advance(name, owner=owner, progress=self._so_far(), until=now)
                await store.release(name, owner=owner)

    def _so_far(self) -> Progress:
        self._progress = self._progress.at(self._window.delivered)
        return self._progress

    async def _hold(self) -> bool:
        """Note the progress now and then, and renew the lease with it; False if this is not ours to do any more."""
        if self._subscription not in await self._tools.subscriptions.all():
            return False
        now, progress = self._tools.clock.now(), self._so_far()
        age = now - self._noted_at
        if age < (self._tools.lease / 3 if progress == self._noted else _NOTE_EVERY):
            return True
        self._noted, self._noted_at = progress, now
        return await self._tools.subscriptions.advance(
            self._subscription.name, owner=self._tools.owner, progress=progress, until=now + self._tools.lease
        )

    async def _fill(self) -> bool:
        """Read on in the journal; tell whether there may be more."""
        limit = min(self._window.room, _READ)
        if not limit:
            return True
        entries = await self._tools.journal.read(after=self._window.read, limit=limit)
        for recorded in entries:
            if self._subscription.filter.wants(recorded):
                self._window.add(recorded)
            else:
                self._window.skip(recorded.seq)
        return len(entries) == limit

    async def _send(self, tasks: asyncio.TaskGroup) -> None:
        now = self._tools.clock.now()
        if now < self._paused_until:
            return
        if now >= self._letters_at:
            self._letters_at = now + timedelta(seconds=self._poll)
            await self._send_letters()
        for item in self._window.take(now, AT_ONCE - self._out):
            self._out += 1
            tasks.create_task(self._deliver(item))

    def _idle_seconds(self) -> float:
        """Return how long to wait when there is nothing to do now; a signal ends it sooner."""
        now = self._tools.clock.now()
        waits = [self._poll]
        if self._so_far() != self._noted:
            waits.append((self._noted_at + _NOTE_EVERY - now).total_seconds())
        if (due := self._window.next_time()) is not None and now >= self._paused_until:
            waits.append((due - now).total_seconds())
        return min(waits)

    async def _deliver(self, item: Item) -> None:
        try:
            await self._conclude(item, await self._post(item.recorded))
        except Exception:
            log.exception("event %d could not be handled for %s", item.recorded.seq, self._subscription.name)
            self._window.later(item, self._in(self._backoff(item.attempts)))
        finally:
            self._out -= 1
            self._signal.give()

    async def _post(self, recorded: Recorded) -> Result:
        event = cloud_event(recorded, self._tools.source)
        seconds = int(self._tools.clock.now().timestamp())
        return await post(self._tools.webhook, self._subscription, event, seconds=seconds)

    async def _conclude(self, item: Item, result: Result) -> None:
        now = self._tools.clock.now()
        match result:
            case Delivered():
                self._progress = self._progress.succeeded(now)
                self._window.done(item)
            case Later() if item.attempts + 1 < self._subscription.max_attempts:
                self._progress = self._progress.failed(now, result.reason)
                if result.after is None:
                    self._window.later(item, self._in(self._backoff(item.attempts)))
                else:
                    # Asked for by the webhook, so it holds for all it is told.
                    self._paused_until = self._in(result.after)
                    self._window.later(item, self._paused_until)
            case Later() | Never():
                self._progress = self._progress.failed(now, result.reason)
                await self._give_up(item.recorded.seq, item.attempts + 1, result.reason)
                self._window.done(item)

    async def _give_up(self, seq: int, attempts: int, reason: str) -> None:
        name = self._subscription.name
        letter = DeadLetter(seq=seq, at=self._tools.clock.now(), attempts=attempts, reason=reason, replay=False)
        await self._tools.subscriptions.give_up(name, letter)
        log.warning("event %d was given up for %s: %s", seq, name, reason)

    async def _send_letters(self) -> None:
        """Try once more what was given up and put in line again."""
        store, name = self._tools.subscriptions, self._subscription.name
        for letter in await store.dead_letters(name, after=0, limit=AT_ONCE, only_replayed=True):
            found = await self._tools.journal.read(after=letter.seq - 1, limit=1)
            result: Result = Never("the journal does not have the event any more")
            if found and found[0].seq == letter.seq:
                result = await self._post(found[0])
            match result:
                case Delivered():
                    await store.forget(name, letter.seq)
                    self._progress = self._progress.succeeded(self._tools.clock.now())
                case Later() | Never():
                    await self._give_up(letter.seq, letter.attempts + 1, result.reason)
            self._letters_at = self._tools.clock.now()  # there may be more

    def _in(self, seconds: float) -> datetime:
        return self._tools.clock.now() + timedelta(seconds=seconds)

    def _backoff(self, attempts: int) -> float:
        """Return seconds: twice as long each time, half of it by chance, so that many do not come back together."""
        longest = min(_FIRST_WAIT * 2 ** min(attempts, 20), _LAST_WAIT)
        return float(longest * (0.5 + int.from_bytes(self._tools.random(2)) / _SCALE / 2))
