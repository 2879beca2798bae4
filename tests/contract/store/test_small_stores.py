"""Challenges, linked hubs, hubs and settings."""

import asyncio
from datetime import timedelta

import pytest

from homeport.dps.model import LinkedHub
from homeport.errors import Code, HomeportError
from homeport.store import Stores
from homeport.values import replace
from tests.contract.store.samples import NOW, challenge, hub, linked


async def test_the_last_challenge_wins(stores: Stores) -> None:
    await stores.challenges.put(challenge("Dev", b"first"))
    await stores.challenges.put(challenge("dev", b"second"))
    assert await stores.challenges.get("DEV", now=NOW) == challenge("dev", b"second")
    assert await stores.challenges.get("other", now=NOW) is None


async def test_a_challenge_expires(stores: Stores) -> None:
    await stores.challenges.put(challenge("dev", expires_at=NOW))
    assert await stores.challenges.get("dev", now=NOW - timedelta(microseconds=1)) is not None
    assert await stores.challenges.get("dev", now=NOW) is None


async def test_challenges_that_nobody_came_back_for_are_swept_out(stores: Stores) -> None:
    for number in range(10):
        await stores.challenges.put(challenge(f"dev{number}"))
    for number in range(10):
        await stores.challenges.put(challenge(f"later{number}", expires_at=NOW + timedelta(days=1)))
    rows = await stores.database.fetch_all("SELECT id_key FROM challenges")
    assert sorted(row[0] for row in rows) == [f"later{number}" for number in range(10)]


async def test_linked_hubs_come_in_name_order(stores: Stores) -> None:
    assert await stores.linked_hubs.all() == ()
    for name in ("b", "A", "c"):
        await stores.linked_hubs.put(linked(name), create=True)
    assert await stores.linked_hubs.all() == (linked("A"), linked("b"), linked("c"))


@pytest.mark.parametrize("other", [linked("HUB", "other.example.net"), linked("other", "HUB.example.net")])
async def test_names_and_hosts_of_linked_hubs_are_taken_in_any_case(stores: Stores, other: LinkedHub) -> None:
    await stores.linked_hubs.put(linked("hub"), create=True)
    with pytest.raises(HomeportError) as refused:
        await stores.linked_hubs.put(other, create=True)
    assert refused.value.code is Code.HUB_EXISTS
    assert await stores.linked_hubs.all() == (linked("hub"),)


async def test_a_linked_hub_is_replaced(stores: Stores) -> None:
    await stores.linked_hubs.put(linked("hub"), create=True)
    await stores.linked_hubs.put(linked("second"), create=True)
    changed = linked("hub", "new.example.net", allocation_weight=5, connection_string="HostName=x", ca_certificates="p")
    await stores.linked_hubs.put(changed, create=False)
    assert await stores.linked_hubs.all() == (changed, linked("second"))
    with pytest.raises(HomeportError) as refused:
        await stores.linked_hubs.put(linked("hub", "SECOND.example.net"), create=False)
    assert refused.value.code is Code.HUB_EXISTS


async def test_a_linked_hub_is_removed(stores: Stores) -> None:
    await stores.linked_hubs.put(linked("Hub"), create=True)
    await stores.linked_hubs.delete("hub")
    assert await stores.linked_hubs.all() == ()
    with pytest.raises(HomeportError) as refused:
        await stores.linked_hubs.delete("hub")
    assert refused.value.code is Code.NOT_FOUND


async def test_another_process_sees_changed_hubs_at_once(pair: tuple[Stores, Stores]) -> None:
    one, other = pair
    assert await other.linked_hubs.all() == ()
    await one.linked_hubs.put(linked("hub"), create=True)
    assert await other.linked_hubs.all() == (linked("hub"),)
    assert await other.hubs.all() == ()
    await one.hubs.create(hub("h"))
    assert await other.hubs.all() == (hub("h"),)


async def test_hubs_come_in_order_of_creation(stores: Stores) -> None:
    for name in ("z", "a", "m"):
        await stores.hubs.create(hub(name))
    assert await stores.hubs.all() == (hub("z"), hub("a"), hub("m"))


@pytest.mark.parametrize("names", [("HUB",), ("other", "fine.example.net", "Second.example.NET")])
async def test_names_of_hubs_are_taken_in_any_case(stores: Stores, names: tuple[str, ...]) -> None:
    await stores.hubs.create(hub("hub", "first.example.net", "second.example.net"))
    with pytest.raises(ValueError, match="hub"):
        await stores.hubs.create(hub(*names))
    assert len(await stores.hubs.all()) == 1
    await stores.hubs.create(hub("third", "fine.example.net"))


async def test_one_of_many_creators_of_a_host_name_wins(pair: tuple[Stores, Stores]) -> None:
    outcomes = await asyncio.gather(
        *(pair[n % 2].hubs.create(hub(f"hub{n}", "same.example.net", f"own{n}.example.net")) for n in range(10)),
        return_exceptions=True,
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, ValueError) for outcome in outcomes) == 9


async def test_a_hubs_switch_is_kept(pair: tuple[Stores, Stores]) -> None:
    one, other = pair
    await one.hubs.create(hub("h"))
    assert [each.fault_messages for each in await other.hubs.all()] == [False]
    await one.hubs.replace(replace(hub("h"), fault_messages=True))
    assert [each.fault_messages for each in await other.hubs.all()] == [True]


async def test_a_hub_is_replaced(stores: Stores) -> None:
    await stores.hubs.create(hub("hub", "a.example.net", "b.example.net"))
    changed = replace(hub("hub", "b.example.net", "c.example.net"), policies=())
    await stores.hubs.replace(changed)
    assert await stores.hubs.all() == (changed,)
    await stores.hubs.create(hub("second", "a.example.net"))
    with pytest.raises(ValueError, match="another hub"):
        await stores.hubs.replace(hub("second", "c.example.net"))
    with pytest.raises(KeyError):
        await stores.hubs.replace(hub("none"))


async def test_settings_are_kept(stores: Stores) -> None:
    assert await stores.settings.get("scope") is None
    await stores.settings.put("scope", b"\0one")
    await stores.settings.put("scope", b"two")
    assert await stores.settings.get("scope") == b"two"


async def test_everyone_agrees_on_the_first_value(pair: tuple[Stores, Stores]) -> None:
    winners = await asyncio.gather(
        *(pair[n % 2].settings.put_if_absent("id", str(n).encode()) for n in range(20)),
    )
    assert len(set(winners)) == 1
    assert await pair[0].settings.get("id") == await pair[1].settings.get("id") == winners[0]
