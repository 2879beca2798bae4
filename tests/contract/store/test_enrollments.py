import asyncio
from datetime import timedelta

import pytest

from homeport.errors import Code, HomeportError
from homeport.store import Stores
from homeport.values import replace
from tests.contract.store.samples import NOW, group, individual


async def test_an_enrollment_is_found_in_any_case_and_keeps_its_spelling(stores: Stores) -> None:
    enrollment = individual("Device-A", initial_twin={"tags": {"é": [1, None, 2.5]}}, iot_hubs=())
    await stores.enrollments.create_individual(enrollment)
    assert await stores.enrollments.get_individual("dEVICE-a") == enrollment
    await stores.enrollments.replace_individual(replace(enrollment, registration_id="DEVICE-A"), expected_etag=None)
    found = await stores.enrollments.get_individual("device-a")
    assert found is not None
    assert found.registration_id == "Device-A"


async def test_a_missing_enrollment_is_none(stores: Stores) -> None:
    assert await stores.enrollments.get_individual("a") is None
    assert await stores.enrollments.get_group("a") is None


async def test_an_id_is_taken_in_any_case(stores: Stores) -> None:
    await stores.enrollments.create_individual(individual("dev"))
    with pytest.raises(HomeportError) as refused:
        await stores.enrollments.create_individual(individual("DEV", etag="other"))
    assert refused.value.code is Code.ENROLLMENT_EXISTS
    assert await stores.enrollments.get_individual("dev") == individual("dev")


async def test_one_of_many_creators_wins(stores: Stores) -> None:
    outcomes = await asyncio.gather(
        *(stores.enrollments.create_individual(individual("dev", etag=str(number))) for number in range(20)),
        return_exceptions=True,
    )
    assert outcomes.count(None) == 1
    winner = await stores.enrollments.get_individual("dev")
    assert winner is not None
    assert winner.etag == str(outcomes.index(None))


async def test_replacing_an_enrollment_takes_the_right_etag(stores: Stores) -> None:
    await stores.enrollments.create_individual(individual("dev", etag="1"))
    newer = individual("dev", etag="2", device_id="other", updated_at=NOW + timedelta(1))
    await stores.enrollments.replace_individual(newer, expected_etag="1")
    with pytest.raises(HomeportError) as refused:
        await stores.enrollments.replace_individual(individual("dev", etag="3"), expected_etag="1")
    assert refused.value.code is Code.PRECONDITION_FAILED
    assert await stores.enrollments.get_individual("dev") == newer
    with pytest.raises(HomeportError) as refused:
        await stores.enrollments.replace_individual(individual("none", etag="3"), expected_etag="1")
    assert refused.value.code is Code.ENROLLMENT_NOT_FOUND


async def test_deleting_an_enrollment_takes_the_right_etag(stores: Stores) -> None:
    await stores.enrollments.create_individual(individual("dev", etag="1"))
    for identifier, etag, code in (("dev", "2", Code.PRECONDITION_FAILED), ("none", None, Code.ENROLLMENT_NOT_FOUND)):
        with pytest.raises(HomeportError) as refused:
            await stores.enrollments.delete_individual(identifier, expected_etag=etag)
        assert refused.value.code is code
    await stores.enrollments.delete_individual("DEV", expected_etag="1")
    assert await stores.enrollments.get_individual("dev") is None


async def test_pages_come_in_key_order_and_stand_still_while_rows_come_and_go(stores: Stores) -> None:
    # "B" sorts behind "a" and "_" before both only when keys are compared as lower-case bytes.
    for identifier in ("b:1", "a", "B-2", "_x", "C"):
        await stores.enrollments.create_individual(individual(identifier))
    first = await stores.enrollments.page_individuals(after=None, limit=2)
    assert [each.registration_id for each in first.items] == ["_x", "a"]
    await stores.enrollments.create_individual(individual("0"))
    await stores.enrollments.delete_individual("a", expected_etag=None)
    second = await stores.enrollments.page_individuals(after=first.after, limit=2)
    assert [each.registration_id for each in second.items] == ["B-2", "b:1"]
    third = await stores.enrollments.page_individuals(after=second.after, limit=2)
    assert [each.registration_id for each in third.items] == ["C"]
    assert third.after is None


async def test_a_full_last_page_says_that_it_is_the_last(stores: Stores) -> None:
    for identifier in "ab":
        await stores.enrollments.create_group(group(identifier))
    page = await stores.enrollments.page_groups(after=None, limit=2)
    assert [each.group_id for each in page.items] == ["a", "b"]
    assert page.after is None


async def test_groups_follow_the_rules_of_enrollments(stores: Stores) -> None:
    enrollments = stores.enrollments
    await enrollments.create_group(group("Plant", etag="1"))
    with pytest.raises(HomeportError) as refused:
        await enrollments.create_group(group("PLANT"))
    assert refused.value.code is Code.GROUP_EXISTS
    await enrollments.replace_group(group("pLANT", etag="2"), expected_etag="1")
    assert await enrollments.get_group("plant") == group("Plant", etag="2")
    with pytest.raises(HomeportError) as refused:
        await enrollments.replace_group(group("plant", etag="3"), expected_etag="1")
    assert refused.value.code is Code.PRECONDITION_FAILED
    with pytest.raises(HomeportError) as refused:
        await enrollments.delete_group("other", expected_etag=None)
    assert refused.value.code is Code.GROUP_NOT_FOUND
    with pytest.raises(HomeportError) as refused:
        await enrollments.delete_group("plant", expected_etag="1")
    assert refused.value.code is Code.PRECONDITION_FAILED
    await enrollments.delete_group("plant", expected_etag="2")
    assert await enrollments.get_group("plant") is None


async def test_all_groups_are_as_the_last_write_left_them(stores: Stores) -> None:
    enrollments = stores.enrollments
    assert await enrollments.groups() == ()
    await enrollments.create_group(group("b"))
    await enrollments.create_group(group("A"))
    assert await enrollments.groups() == (group("A"), group("b"))
    await enrollments.replace_group(group("b", etag="2"), expected_etag=None)
    assert await enrollments.groups() == (group("A"), group("b", etag="2"))
    await enrollments.delete_group("a", expected_etag=None)
    assert await enrollments.groups() == (group("b", etag="2"),)


async def test_groups_are_not_read_again_while_nobody_changes_them(stores: Stores) -> None:
    await stores.enrollments.create_group(group("a"))
    assert await stores.enrollments.groups() is await stores.enrollments.groups()


async def test_a_refused_write_leaves_the_groups_alone(stores: Stores) -> None:
    await stores.enrollments.create_group(group("a"))
    before = await stores.enrollments.groups()
    with pytest.raises(HomeportError):
        await stores.enrollments.create_group(group("a"))
    assert await stores.enrollments.groups() is before


async def test_another_process_sees_changed_groups_at_once(pair: tuple[Stores, Stores]) -> None:
    one, other = pair
    await one.enrollments.create_group(group("a"))
    assert await other.enrollments.groups() == (group("a"),)
    await one.enrollments.replace_group(group("a", etag="2"), expected_etag="e1")
    assert await other.enrollments.groups() == (group("a", etag="2"),)
    await other.enrollments.delete_group("a", expected_etag="2")
    assert await one.enrollments.groups() == ()
