"""Administrators and event subscriptions, as every database keeps them."""

from datetime import timedelta
from typing import Any

import pytest

from homeport.dps.model import (
    Administrator,
    DeadLetter,
    Entry,
    Filter,
    Kind,
    Mode,
    Progress,
    Subscription,
)
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Role
from homeport.store import Stores
from homeport.values import replace
from tests.contract.store.samples import NOW

LEASE = timedelta(seconds=30)


def administrator(name: str, **members: Any) -> Administrator:
    return replace(
        Administrator(name=name, role=Role.READER, token_digest=name.encode(), created_at=NOW, created_by="x"),
        **members,
    )


def subscription(name: str = "Hook", **members: Any) -> Subscription:
    return replace(
        Subscription(
            name=name,
            url="https://example.com/x?code=secret",
            filter=Filter(types=("io.homeport.device.*",), subject_prefix="devices/"),
            mode=Mode.BINARY,
            secret="whsec_x",
            enabled=True,
            etag="e1",
            created_at=NOW,
        ),
        **members,
    )


async def test_administrators_are_kept_changed_and_removed(pair: tuple[Stores, Stores]) -> None:
    one, other = (stores.administrators for stores in pair)
    anna = administrator("Anna", expires_at=NOW)
    await one.put(anna, create=True, by=SYSTEM)
    await one.put(administrator("bob"), create=True, by=SYSTEM)
    assert await other.all() == (anna, administrator("bob"))
    with pytest.raises(HomeportError) as refused:
        await other.put(administrator("ANNA", token_digest=b"new"), create=True, by=SYSTEM)
    assert refused.value.code is Code.CONFLICT
    await other.put(administrator("anna", role=Role.OWNER), create=False, by=SYSTEM)
    await other.used("anna", NOW)
    assert [(each.role, each.last_used_at) for each in await one.all()] == [(Role.OWNER, NOW), (Role.READER, None)]
    await one.delete("BOB", by=SYSTEM)
    assert [each.name for each in await other.all()] == ["anna"]
    for call in (one.delete("bob", by=SYSTEM), one.put(administrator("bob"), create=False, by=SYSTEM)):
        with pytest.raises(HomeportError) as refused:
            await call
        assert refused.value.code is Code.NOT_FOUND


async def test_one_process_at_a_time_delivers(pair: tuple[Stores, Stores]) -> None:
    one, other = (stores.subscriptions for stores in pair)
    await one.put(subscription(), create=True, delivered=7, by=SYSTEM)
    assert await other.all() == (subscription(),)
    assert await one.claim("hook", owner="a", now=NOW, lease=LEASE) == 7
    assert await other.claim("hook", owner="b", now=NOW, lease=LEASE) is None
    progress = Progress(delivered=9, success_at=NOW, failure_at=NOW, failure="no")
    assert await one.advance("hook", owner="a", progress=progress, until=NOW + LEASE)
    assert not await other.advance("hook", owner="b", progress=progress, until=NOW + LEASE)
    assert await other.claim("hook", owner="b", now=NOW + LEASE, lease=LEASE) == 9
    assert not await one.advance("hook", owner="a", progress=progress, until=NOW + LEASE)
    await one.put(subscription(etag="e2"), create=False, delivered=0, by=SYSTEM)
    assert await other.all() == (subscription(etag="e2"),)
    # A change leaves the place as it is; a replay takes the lease away.
    told = Entry(kind=Kind.SUBSCRIPTION_REPLAYED, subject="eventSubscriptions/hook", by=SYSTEM)
    await one.replay_from("hook", after=2, entry=told)
    assert not await other.advance("hook", owner="b", progress=progress, until=NOW + LEASE)
    assert await one.claim("hook", owner="a", now=NOW, lease=LEASE) == 2
    await one.release("hook", owner="a")
    assert await other.claim("hook", owner="b", now=NOW, lease=LEASE) == 2
    standing = await one.standing("hook")
    assert (standing.last_failure, standing.last_success_at, standing.last_failure_at) == ("no", NOW, NOW)


async def test_dead_letters_wait_are_replayed_and_forgotten(stores: Stores) -> None:
    kept = stores.subscriptions
    await kept.put(subscription(), create=True, delivered=0, by=SYSTEM)
    letter = DeadLetter(seq=3, at=NOW, attempts=2, reason="r" * 900, replay=False)
    await kept.give_up("hook", letter)
    await kept.give_up("hook", replace(letter, seq=4))
    await kept.give_up("hook", replace(letter, attempts=5, reason="why"))
    first, second = await kept.dead_letters("hook", after=0, limit=9, only_replayed=False)
    assert (first.seq, first.attempts, first.reason, second.seq, len(second.reason)) == (3, 5, "why", 4, 500)
    told = Entry(kind=Kind.SUBSCRIPTION_REPLAYED, subject="eventSubscriptions/hook", by=SYSTEM)
    assert await kept.dead_letters("hook", after=0, limit=9, only_replayed=True) == []
    assert await kept.replay_letters("hook", entry=told) == 2
    assert [each.seq for each in await kept.dead_letters("hook", after=3, limit=9, only_replayed=True)] == [4]
    await kept.forget("hook", 3)
    assert (await kept.standing("hook")).dead_letters == 1
    await kept.delete("hook", by=SYSTEM)
    await kept.put(subscription(), create=True, delivered=0, by=SYSTEM)
    assert (await kept.standing("hook")).dead_letters == 0


async def test_no_secret_of_theirs_is_told(stores: Stores) -> None:
    await stores.administrators.put(administrator("anna", token_digest=b"d" * 32), create=True, by=SYSTEM)
    await stores.subscriptions.put(subscription(), create=True, delivered=0, by=SYSTEM)
    await stores.journal.flush()
    told = str([entry.document for entry in await stores.journal.read(after=0, limit=9)])
    assert "whsec_x" not in told
    assert "code=secret" not in told
    assert "dddd" not in told
