import asyncio
from datetime import timedelta
from functools import partial

import pytest

from homeport.dps.joint import JointWrite
from homeport.dps.model import Registration, RegistrationStatus, Step, Substatus, Wanted
from homeport.errors import Code, ConflictError, HomeportError
from homeport.store import Stores
from homeport.store.database import Transaction
from homeport.store.devices import SqlDeviceStore
from homeport.values import replace
from tests.contract.store.samples import LEASE, NOW, device, finished, registration

SECOND = timedelta(seconds=1)


def made(hub: SqlDeviceStore, device_id: str, etag: str = "e1") -> JointWrite:
    create = hub.creation(device(device_id, etag=etag), told=())

    async def write(transaction: Transaction) -> bool:
        return await create(transaction) is not None

    return write


async def stored(stores: Stores, registration_id: str) -> Registration:
    found = await stores.registrations.get(registration_id)
    assert found is not None
    return found


async def test_an_opened_registration_is_found_in_any_case(stores: Stores) -> None:
    wanted = registration("Dev-1", group_id="Plant", lease_owner="me", lease_until=NOW + LEASE, retry_at=NOW)
    assert await stores.registrations.open(wanted, expected_etag=None) == wanted
    assert await stored(stores, "dEV-1") == wanted
    assert await stores.registrations.get("dev-2") is None


async def test_an_open_operation_is_returned_instead_of_another(stores: Stores) -> None:
    first = await stores.registrations.open(registration("dev", operation="1"), expected_etag=None)
    for etag in (None, "e1", "stale"):
        again = await stores.registrations.open(registration("DEV", operation="2"), expected_etag=etag)
        assert again == first


async def test_fifty_calls_at_once_open_one_operation(stores: Stores) -> None:
    outcomes = await asyncio.gather(
        *(stores.registrations.open(registration("dev", operation=str(n)), expected_etag=None) for n in range(50))
    )
    assert len({outcome.operation.id for outcome in outcomes}) == 1
    assert await stored(stores, "dev") == outcomes[0]


async def test_fifty_calls_at_once_reopen_one_operation(stores: Stores) -> None:
    opened = await stores.registrations.open(registration("dev"), expected_etag=None)
    await stores.registrations.save(finished(opened, etag="done"), lease_owner="me")
    outcomes = await asyncio.gather(
        *(
            stores.registrations.open(registration("dev", operation=f"n{n}", etag="new"), expected_etag="done")
            for n in range(50)
        )
    )
    assert len({outcome.operation.id for outcome in outcomes}) == 1


async def test_two_processes_open_one_operation(pair: tuple[Stores, Stores]) -> None:
    outcomes = await asyncio.gather(
        *(pair[n % 2].registrations.open(registration("dev", operation=str(n)), expected_etag=None) for n in range(40))
    )
    assert len({outcome.operation.id for outcome in outcomes}) == 1


async def test_a_finished_operation_gives_way_to_the_next(stores: Stores) -> None:
    opened = await stores.registrations.open(registration("Dev", operation="1"), expected_etag=None)
    done = finished(opened)
    await stores.registrations.save(done, lease_owner="me")
    assert await stored(stores, "dev") == done
    again = await stores.registrations.open(registration("DEV", operation="2", etag="e3"), expected_etag="done")
    assert again.operation.id == "2"
    assert again.registration_id == "Dev"
    assert await stored(stores, "dev") == again


@pytest.mark.parametrize("etag", [None, "stale"])
async def test_a_decision_from_a_changed_record_is_refused(stores: Stores, etag: str | None) -> None:
    opened = await stores.registrations.open(registration("dev", operation="1"), expected_etag=None)
    await stores.registrations.save(finished(opened), lease_owner="me")
    with pytest.raises(ConflictError):
        await stores.registrations.open(registration("dev", operation="2"), expected_etag=etag)
    assert (await stored(stores, "dev")).operation.id == "1"


async def test_a_decision_from_a_deleted_record_is_refused(stores: Stores) -> None:
    with pytest.raises(ConflictError):
        await stores.registrations.open(registration("dev"), expected_etag="e1")
    assert await stores.registrations.get("dev") is None


async def test_a_new_device_is_concluded_with_what_its_hub_writes(stores: Stores) -> None:
    done = replace(finished(registration("Dev")), substatus=Substatus.INITIAL_ASSIGNMENT)
    hub = stores.devices("hub1")
    assert await stores.registrations.conclude(done, made(hub, "Dev"), expected_etag=None)
    assert await stored(stores, "dev") == done
    assert await hub.get("Dev") == device("Dev")
    told = await stores.journal.page(Wanted(subject="devices/dev"), after=None, limit=10)
    assert [entry.kind for entry in told.items] == ["device.assigned"]


async def test_nothing_is_concluded_for_a_device_that_has_a_record(stores: Stores) -> None:
    opened = await stores.registrations.open(registration("dev", operation="1"), expected_etag=None)
    hub = stores.devices("hub1")
    assert not await stores.registrations.conclude(finished(registration("DEV")), made(hub, "DEV"), expected_etag=None)
    assert await stored(stores, "dev") == opened
    assert await hub.get("DEV") is None


async def test_nothing_is_concluded_for_a_device_that_its_hub_knows(stores: Stores) -> None:
    hub = stores.devices("hub1")
    await hub.create(device("dev", etag="before"))
    assert not await stores.registrations.conclude(finished(registration("dev")), made(hub, "dev"), expected_etag=None)
    assert await stores.registrations.get("dev") is None
    assert await hub.get("dev") == device("dev", etag="before")
    told = await stores.journal.page(Wanted(subject="devices/dev"), after=None, limit=10)
    assert list(told.items) == []


async def test_a_known_device_is_concluded_if_its_hub_has_nothing_to_do(stores: Stores) -> None:
    hub = stores.devices("hub1")
    await stores.registrations.conclude(finished(registration("dev")), made(hub, "dev"), expected_etag=None)
    again = finished(registration("dev", operation="2"), etag="e3")

    def look(*, holds: bool, device_id: str = "dev") -> JointWrite:
        return partial(hub.holds, device_id, lambda identity: holds and identity == device("dev").identity)

    for also, expected_etag in (
        (look(holds=False), "done"),
        (look(holds=True, device_id="gone"), "done"),
        (look(holds=True), "stale"),
    ):
        assert not await stores.registrations.conclude(again, also, expected_etag=expected_etag)
        assert (await stored(stores, "dev")).operation.id != "2"
    assert await stores.registrations.conclude(again, look(holds=True), expected_etag="done")
    assert await stored(stores, "dev") == again


async def test_an_open_operation_is_not_concluded_over(stores: Stores) -> None:
    opened = await stores.registrations.open(registration("dev", operation="1"), expected_etag=None)
    hub = stores.devices("hub1")
    await hub.create(device("dev"))
    look = partial(hub.holds, "dev", lambda _: True)
    again = finished(registration("dev", operation="2"))
    assert not await stores.registrations.conclude(again, look, expected_etag=opened.etag)
    assert await stored(stores, "dev") == opened


async def test_of_two_processes_one_concludes(pair: tuple[Stores, Stores]) -> None:
    outcomes = await asyncio.gather(
        *(
            one.registrations.conclude(
                finished(registration("dev", operation=str(number)), etag=str(number)),
                made(one.devices("hub1"), "dev", etag=f"d{number}"),
                expected_etag=None,
            )
            for number, one in enumerate(pair * 10)
        )
    )
    assert outcomes.count(True) == 1
    number = outcomes.index(True)
    assert (await stored(pair[0], "dev")).operation.id == str(number)
    at_home = await pair[1].devices("hub1").get("dev")
    assert at_home is not None
    assert at_home.identity.etag == f"d{number}"


async def test_a_registration_may_be_stored_as_already_finished(stores: Stores) -> None:
    disabled = replace(
        registration("dev", status=RegistrationStatus.DISABLED, step=Step.DONE), status=RegistrationStatus.DISABLED
    )
    assert await stores.registrations.open(disabled, expected_etag=None) == disabled
    assert await stores.registrations.claim(now=NOW, lease=LEASE, owner="me", limit=10) == []
    opened = await stores.registrations.open(registration("dev", operation="2"), expected_etag="e1")
    assert opened.operation.id == "2"


async def test_steps_of_one_operation_are_saved_by_the_owner_of_its_lease(stores: Stores) -> None:
    wanted = registration("dev", lease_owner="me", lease_until=NOW + LEASE)
    opened = await stores.registrations.open(wanted, expected_etag=None)
    step = replace(opened, operation=replace(opened.operation, step=Step.REMOVE_OLD, attempts=3), etag="e2")
    await stores.registrations.save(step, lease_owner="me")
    assert await stored(stores, "dev") == step
    with pytest.raises(ConflictError):
        await stores.registrations.save(finished(step), lease_owner="you")
    other_operation = replace(step, operation=replace(step.operation, id="other"))
    with pytest.raises(ConflictError):
        await stores.registrations.save(other_operation, lease_owner="me")
    assert await stored(stores, "dev") == step


async def test_nothing_is_saved_over_a_finished_operation(stores: Stores) -> None:
    wanted = registration("dev", lease_owner="me", lease_until=NOW + LEASE)
    opened = await stores.registrations.open(wanted, expected_etag=None)
    await stores.registrations.save(finished(opened, etag="e2"), lease_owner="me")
    with pytest.raises(ConflictError):
        await stores.registrations.save(replace(opened, etag="e3"), lease_owner="me")
    with pytest.raises(ConflictError):
        await stores.registrations.save(registration("unknown"), lease_owner="me")


async def test_a_lost_lease_ends_the_saving(stores: Stores) -> None:
    wanted = registration("dev", lease_owner="me", lease_until=NOW + LEASE)
    opened = await stores.registrations.open(wanted, expected_etag=None)
    later = NOW + LEASE + SECOND
    (taken,) = await stores.registrations.claim(now=later, lease=LEASE, owner="you", limit=1)
    assert (taken.operation.lease_owner, taken.operation.lease_until) == ("you", later + LEASE)
    with pytest.raises(ConflictError):
        await stores.registrations.save(finished(opened), lease_owner="me")
    await stores.registrations.save(finished(taken), lease_owner="you")
    assert (await stored(stores, "dev")).operation.step is Step.DONE


async def test_claims_wait_for_lease_and_retry_time(stores: Stores) -> None:
    await stores.registrations.open(
        registration("dev", lease_owner="me", lease_until=NOW + LEASE, retry_at=NOW + 2 * LEASE), expected_etag=None
    )
    for now in (NOW, NOW + LEASE, NOW + 2 * LEASE - timedelta(microseconds=1)):
        assert await stores.registrations.claim(now=now, lease=LEASE, owner="you", limit=1) == []
    assert await stores.registrations.claim(now=NOW + 2 * LEASE, lease=LEASE, owner="you", limit=1) != []
    assert await stores.registrations.claim(now=NOW + 2 * LEASE, lease=LEASE, owner="me", limit=1) == []


async def test_the_oldest_operations_are_claimed_first(stores: Stores) -> None:
    for name, age in (("c", 1), ("a", 3), ("b", 2), ("d", 0)):
        await stores.registrations.open(registration(name, deadline=NOW - age * SECOND), expected_etag=None)
    claimed = await stores.registrations.claim(now=NOW, lease=LEASE, owner="me", limit=3)
    assert [each.registration_id for each in claimed] == ["a", "b", "c"]
    assert await stored(stores, "a") == claimed[0]
    claimed = await stores.registrations.claim(now=NOW, lease=LEASE, owner="you", limit=3)
    assert [each.registration_id for each in claimed] == ["d"]


async def test_racing_owners_never_claim_the_same(pair: tuple[Stores, Stores]) -> None:
    for number in range(30):
        await pair[0].registrations.open(registration(f"dev{number}"), expected_etag=None)
    claims = await asyncio.gather(
        *(
            pair[number % 2].registrations.claim(now=NOW, lease=LEASE, owner=f"o{number}", limit=5)
            for number in range(12)
        )
    )
    names = [each.registration_id for claim in claims for each in claim]
    assert len(names) == len(set(names))
    # What a race skipped, the next call finds.
    rest = await pair[0].registrations.claim(now=NOW, lease=LEASE, owner="last", limit=30)
    assert len(names) + len(rest) == 30


async def test_a_failed_operation_is_not_claimed(stores: Stores) -> None:
    await stores.registrations.open(registration("dev", status=RegistrationStatus.FAILED), expected_etag=None)
    assert await stores.registrations.claim(now=NOW, lease=LEASE, owner="me", limit=1) == []


async def test_an_assigned_device_keeps_its_operation_until_the_old_hub_is_left(stores: Stores) -> None:
    wanted = registration("dev", status=RegistrationStatus.ASSIGNED, step=Step.REMOVE_OLD)
    await stores.registrations.open(wanted, expected_etag=None)
    assert len(await stores.registrations.claim(now=NOW, lease=LEASE, owner="me", limit=1)) == 1


async def test_deleting_a_registration_takes_the_right_etag(stores: Stores) -> None:
    await stores.registrations.open(registration("Dev", etag="1"), expected_etag=None)
    for name, etag, code in (("dev", "2", Code.PRECONDITION_FAILED), ("none", None, Code.REGISTRATION_NOT_FOUND)):
        with pytest.raises(HomeportError) as refused:
            await stores.registrations.delete(name, expected_etag=etag)
        assert refused.value.code is code
    await stores.registrations.delete("DEV", expected_etag="1")
    assert await stores.registrations.get("dev") is None


async def test_pages_of_a_group_and_of_all(stores: Stores) -> None:
    for name, group_id in (("d", "Plant"), ("a", None), ("C", "plant"), ("b", "other"), ("E", "PLANT")):
        await stores.registrations.open(registration(name, group_id=group_id), expected_etag=None)
    first = await stores.registrations.page(group_id="pLANT", after=None, limit=2)
    assert [each.registration_id for each in first.items] == ["C", "d"]
    second = await stores.registrations.page(group_id="plant", after=first.after, limit=2)
    assert [each.registration_id for each in second.items] == ["E"]
    assert second.after is None
    everything = await stores.registrations.page(group_id=None, after=None, limit=100)
    assert [each.registration_id for each in everything.items] == ["a", "b", "C", "d", "E"]
