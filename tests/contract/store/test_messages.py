"""Every MessageStore and FeedbackStore keeps queues apart, in order, and whole."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from homeport.hub.errors import HubCode, HubError
from homeport.hub.message_lock import Settlement, lock_next, purge, settle
from homeport.hub.model import Acknowledgement, Change, CloudMessage, FeedbackStatus, Lock, QueuedMessage
from homeport.store import Stores

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def message(text: str = "x", **changes: object) -> CloudMessage:
    values = {"body": text.encode(), "enqueued_at": NOW, "expires_at": LATER, **changes}
    return CloudMessage(**values)  # type: ignore[arg-type]  # a mapping of its fields


def unchanged(queue: object) -> Change[object]:
    return Change(result=queue)


async def test_what_is_queued_is_read_as_it_was(stores: Stores) -> None:
    queue = stores.messages("hub")
    written = message(
        "\x00\xff", system={"mid": "m", "ct": "t"}, properties={"k": "v"}, acknowledgement=Acknowledgement.NEGATIVE
    )
    assert await queue.append("d", written, limit=9) == 1
    assert await queue.read("d", 1) == written
    assert await queue.read("d", 2) is None
    assert await queue.change("d", unchanged) == [
        QueuedMessage(
            sequence_number=1,
            message_id="m",
            acknowledgement=Acknowledgement.NEGATIVE,
            enqueued_at=NOW,
            expires_at=LATER,
        )
    ]


async def test_queues_and_hubs_are_apart(stores: Stores) -> None:
    one, other = stores.messages("one"), stores.messages("other")
    await one.append("d", message(), limit=9)
    await one.append("d/m", message(), limit=9)
    await other.append("d", message(), limit=9)
    assert await one.append("d", message(), limit=9) == 2
    assert await one.counts(["d", "d/m", "nobody"]) == {"d": 2, "d/m": 1}
    assert await one.change("d", lambda queue: purge(queue, now=NOW)) == 2
    assert (await one.counts(["d", "d/m"]), await other.counts(["d"])) == ({"d/m": 1}, {"d": 1})
    # Numbers go on: nobody meets an old one again.
    assert await one.append("d", message(), limit=9) == 3


async def test_a_limit_holds_whoever_sends(pair: tuple[Stores, Stores]) -> None:
    queues = [stores.messages("hub") for stores in pair]
    results = await asyncio.gather(
        *(queues[number % 2].append("d", message(), limit=5) for number in range(12)), return_exceptions=True
    )
    assert sorted(r for r in results if isinstance(r, int)) == [1, 2, 3, 4, 5]
    refused = [r for r in results if isinstance(r, HubError)]
    assert [r.code for r in refused] == [HubCode.QUEUE_FULL] * 7


async def test_each_message_is_taken_once(pair: tuple[Stores, Stores]) -> None:
    queues = [stores.messages("hub") for stores in pair]
    for _ in range(6):
        await queues[0].append("d", message(), limit=9)

    async def take(number: int) -> int | None:
        lock = Lock(token=str(number), until=LATER, of_connection=False)
        taken = await queues[number % 2].change("d", lambda q: lock_next(q, lock, now=NOW, max_deliveries=9))
        return None if taken is None else taken.sequence_number

    taken = await asyncio.gather(*(take(number) for number in range(8)))
    assert sorted(number for number in taken if number is not None) == [1, 2, 3, 4, 5, 6]
    assert taken.count(None) == 2


async def test_what_a_decision_raises_changes_nothing(stores: Stores) -> None:
    queue = stores.messages("hub")
    await queue.append("d", message(), limit=9)
    with pytest.raises(HubError) as refused:
        await queue.change("d", lambda q: settle(q, "t", Settlement.COMPLETE, now=NOW, max_deliveries=9))
    assert refused.value.code is HubCode.MESSAGE_LOCK_LOST
    assert await queue.counts(["d"]) == {"d": 1}


async def test_which_queues_are_due(stores: Stores) -> None:
    queue = stores.messages("hub")
    for target, minutes in (("late", 3), ("early", 1), ("never", 60)):
        await queue.append(target, message(expires_at=NOW + timedelta(minutes=minutes)), limit=9)
    assert await queue.due(NOW, limit=9) == []
    assert await queue.due(NOW + timedelta(minutes=5), limit=9) == ["early", "late"]
    assert await queue.due(NOW + timedelta(minutes=5), limit=1) == ["early"]
    lock = Lock(token="t", until=NOW + timedelta(minutes=9), of_connection=False)
    await queue.change("early", lambda q: lock_next(q, lock, now=NOW, max_deliveries=9))
    assert await queue.due(NOW + timedelta(minutes=5), limit=9) == ["late"]


async def test_feedback_waits_until_it_is_taken_and_finished(stores: Stores) -> None:
    queue, feedback = stores.messages("hub"), stores.feedback("hub")
    for number in range(3):
        await queue.append("d", message(system={"mid": str(number)}, acknowledgement=Acknowledgement.FULL), limit=9)
    await queue.change("d", lambda q: purge(q, now=NOW))
    taken = await feedback.take(limit=2, now=NOW, until=LATER, token="a", max_deliveries=10)
    assert [(each.target, each.feedback.message_id, each.feedback.status) for each in taken] == [
        ("d", "0", FeedbackStatus.PURGED),
        ("d", "1", FeedbackStatus.PURGED),
    ]
    assert [
        each.feedback.message_id
        for each in await feedback.take(limit=9, now=NOW, until=LATER, token="b", max_deliveries=10)
    ] == ["2"]
    assert await feedback.take(limit=9, now=NOW, until=LATER, token="c", max_deliveries=10) == []
    assert await feedback.finish("a", now=NOW, keep=True)
    assert not await feedback.finish("a", now=NOW, keep=True)
    assert await feedback.finish("b", now=NOW, keep=False)
    again = await feedback.take(limit=9, now=NOW, until=LATER, token="d", max_deliveries=10)
    assert [(each.feedback.message_id, each.deliveries) for each in again] == [("0", 1), ("1", 1)]
    # A lock that is over is nobody's.
    assert not await feedback.finish("d", now=LATER, keep=False)
    assert len(await feedback.take(limit=9, now=LATER, until=LATER, token="e", max_deliveries=10)) == 2
    assert await stores.feedback("other").expire(created_before=LATER, now=NOW, max_deliveries=10) == 0
    assert await feedback.expire(created_before=NOW, now=NOW, max_deliveries=10) == 0
    assert await feedback.expire(created_before=LATER, now=NOW, max_deliveries=10) == 2


async def test_feedback_names_the_generation_of_the_device(stores: Stores) -> None:
    from tests.contract.store.samples import device

    made = device("d")
    await stores.devices("hub").create(made)
    queue, feedback = stores.messages("hub"), stores.feedback("hub")
    await queue.append("d", message(acknowledgement=Acknowledgement.NEGATIVE), limit=9)
    await queue.change("d", lambda q: purge(q, now=NOW))
    (told,) = await feedback.take(limit=9, now=NOW, until=LATER, token="t", max_deliveries=10)
    assert told.generation_id == made.identity.generation_id
