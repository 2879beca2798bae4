"""The rules of a queue, against a machine that plays sender, receivers and time at random (contract hub.md 19)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from homeport.hub.errors import HubCode, HubError
from homeport.hub.message_lock import Settlement, age, lock_next, purge, release, settle
from homeport.hub.model import Acknowledgement, Change, Feedback, FeedbackStatus, Lock, QueuedMessage
from homeport.values import replace

START = datetime(2026, 1, 1, tzinfo=UTC)
MAX_DELIVERIES = 3


def carried_out(queue: Sequence[QueuedMessage], change: Change[object]) -> list[QueuedMessage]:
    """What a store makes of a change."""
    rows = {message.sequence_number: message for message in queue}
    for message in change.updated:
        assert message.sequence_number in rows
        rows[message.sequence_number] = message
    for number in change.removed:
        del rows[number]
    return [rows[number] for number in sorted(rows)]


@dataclass
class Expected:
    """A message as a plain reading of the contract has it."""

    message: QueuedMessage
    deliveries: int = 0
    token: str | None = None
    until: datetime | None = None
    of_connection: bool = False


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.queue: list[QueuedMessage] = []
        self.expected: list[Expected] = []
        self.told: list[Feedback] = []
        self.numbers = 0
        self.tokens: list[str] = []

    def do(self, change: Change[object]) -> None:
        self.queue = carried_out(self.queue, change)
        self.told += change.feedback

    def end(self, gone: Expected, status: FeedbackStatus) -> None:
        self.expected.remove(gone)
        good = status is FeedbackStatus.SUCCESS
        wanted = {Acknowledgement.FULL, Acknowledgement.POSITIVE if good else Acknowledgement.NEGATIVE}
        told = Feedback(message_id=gone.message.message_id, status=status, at=self.now)
        assert (told in self.told) is (gone.message.acknowledgement in wanted)

    def give_back(self, each: Expected) -> None:
        each.deliveries, each.token, each.until, each.of_connection = each.deliveries + 1, None, None, False
        if each.deliveries >= MAX_DELIVERIES:
            self.end(each, FeedbackStatus.DELIVERY_COUNT_EXCEEDED)
        elif each.message.expires_at <= self.now:
            self.end(each, FeedbackStatus.EXPIRED)

    def grow_old(self) -> None:
        for each in list(self.expected):
            if each.until is not None and each.until <= self.now:
                self.give_back(each)
            elif each.until is None and each.message.expires_at <= self.now:
                self.end(each, FeedbackStatus.EXPIRED)

    @rule(life=st.integers(1, 50), acknowledgement=st.sampled_from(Acknowledgement))
    def send(self, life: int, acknowledgement: Acknowledgement) -> None:
        self.numbers += 1
        message = QueuedMessage(
            sequence_number=self.numbers,
            message_id=f"m{self.numbers}",
            acknowledgement=acknowledgement,
            enqueued_at=self.now,
            expires_at=self.now + timedelta(seconds=life),
        )
        self.queue.append(message)
        self.expected.append(Expected(message))

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(life=st.integers(1, 40), of_connection=st.booleans())
    def receive(self, life: int, of_connection: bool) -> None:
        token = f"t{len(self.tokens)}"
        self.tokens.append(token)
        until = self.now + timedelta(seconds=life)
        change = lock_next(
            self.queue, Lock(token=token, until=until, of_connection=of_connection), now=self.now,
            max_deliveries=MAX_DELIVERIES,
        )  # fmt: skip
        self.do(change)
        self.grow_old()
        waiting = [each for each in self.expected if each.token is None]
        if not waiting:
            assert change.result is None
            return
        first = waiting[0]
        assert change.result is not None
        assert change.result.sequence_number == first.message.sequence_number
        assert change.result.delivery_count == first.deliveries
        first.token, first.until, first.of_connection = token, until, of_connection

    @rule(data=st.data(), settlement=st.sampled_from(Settlement))
    def settle(self, data: st.DataObject, settlement: Settlement) -> None:
        token = data.draw(st.sampled_from([*self.tokens, "made up"]))
        held = next((e for e in self.expected if e.token == token and e.until is not None and e.until > self.now), None)
        if held is None:
            with pytest.raises(HubError) as lost:
                settle(self.queue, token, settlement, now=self.now, max_deliveries=MAX_DELIVERIES)
            assert lost.value.code is HubCode.MESSAGE_LOCK_LOST
            return
        self.do(settle(self.queue, token, settlement, now=self.now, max_deliveries=MAX_DELIVERIES))
        if settlement is Settlement.ABANDON:
            self.give_back(held)
        else:
            done = settlement is Settlement.COMPLETE
            self.end(held, FeedbackStatus.SUCCESS if done else FeedbackStatus.REJECTED)

    @rule()
    def connect_anew(self) -> None:
        change = release(self.queue, now=self.now, max_deliveries=MAX_DELIVERIES)
        held = [each for each in self.expected if each.of_connection]
        assert change.result == len(held)
        self.do(change)
        for each in held:
            self.give_back(each)

    @rule()
    def sweep(self) -> None:
        self.do(age(self.queue, now=self.now, max_deliveries=MAX_DELIVERIES))
        self.grow_old()
        assert not age(self.queue, now=self.now, max_deliveries=MAX_DELIVERIES).removed

    @rule()
    def empty(self) -> None:
        change = purge(self.queue, now=self.now)
        assert change.result == len(self.queue)
        self.do(change)
        for each in list(self.expected):
            self.end(each, FeedbackStatus.PURGED)
        assert not self.queue

    @invariant()
    def both_know_the_same(self) -> None:
        assert [(m.sequence_number, m.delivery_count, m.lock.token if m.lock else None) for m in self.queue] == [
            (e.message.sequence_number, e.deliveries, e.token) for e in self.expected
        ]

    @invariant()
    def everybody_hears_once(self) -> None:
        assert len({told.message_id for told in self.told}) == len(self.told)


TestQueue = Machine.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_an_expired_lock_cannot_be_settled_although_nobody_has_looked_yet() -> None:
    message = QueuedMessage(
        sequence_number=1, message_id="m", acknowledgement=Acknowledgement.FULL, enqueued_at=START,
        expires_at=START + timedelta(hours=1), lock=Lock(token="t", until=START, of_connection=False),
    )  # fmt: skip
    with pytest.raises(HubError):
        settle([message], "t", Settlement.COMPLETE, now=START, max_deliveries=3)
    held = replace(message, lock=Lock(token="t", until=START + timedelta(seconds=1), of_connection=False))
    assert settle([held], "t", Settlement.COMPLETE, now=START, max_deliveries=3).removed == (1,)
