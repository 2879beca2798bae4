"""Queries over a store: whatever a condition is, the pages hold exactly the items that satisfy it, in order."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeport.dps.model import Count, Index, ProvisioningStatus, RegistrationStatus, ScanOrder, Walk
from homeport.dps.query import (
    GROUPS,
    INDIVIDUALS,
    REGISTRATIONS,
    EnrolledDevice,
    Query,
    Schema,
    choose_walk,
    matches,
    parse_query,
)
from homeport.dps.query.syntax import SortKey
from homeport.dps.search import SearchService
from homeport.paging import Page
from homeport.store import Stores
from homeport.store.counting import count_registrations
from homeport.values import replace
from tests.contract.store.samples import NOW, finished, group, individual, registration
from tests.unit.dps.query import samples

_FRESH = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


async def emptied(stores: Stores) -> None:
    for table in ("individual_enrollments", "enrollment_groups", "registrations"):
        await stores.database.execute(f"DELETE FROM {table}")
    await stores.database.execute("UPDATE changes SET count = count + 1")


def searching(stores: Stores, steps: int) -> SearchService:
    return SearchService(enrollments=stores.enrollments, registrations=stores.registrations, max_steps=steps)


async def every(ask: Callable[[str | None], Awaitable[Page[Any]]], limit: int) -> list[Any]:
    """Read all pages, however short they are."""
    items: list[Any] = []
    after: str | None = None
    for _ in range(1000):
        page = await ask(after)
        assert len(page.items) <= limit
        items += page.items
        if page.after is None:
            return items
        assert page.after != after
        after = page.after
    raise AssertionError("the pages do not end")


def wanted(text: str, schema: Schema, items: list[Any], key: Callable[[Any], tuple[Any, str]]) -> list[Any]:
    """Filter and sort without a store."""
    query = parse_query(text, schema)
    found = [item for item in items if query.condition is None or matches(query.condition, item)]
    by_time = choose_walk(query).order is ScanOrder.UPDATED
    if schema is GROUPS:
        by_time = query.order is not None and query.order.key is SortKey.UPDATED
    found.sort(key=key if by_time else lambda item: key(item)[1])
    return found[::-1] if query.order is not None and query.order.descending else found


@_FRESH
@given(data=st.data())
async def test_individuals(stores: Stores, data: st.DataObject) -> None:
    await emptied(stores)
    unique: dict[str, Any] = {"unique_by": lambda each: each.registration_id.lower(), "max_size": 8}
    enrollments = data.draw(st.lists(samples.individuals, **unique))
    states = data.draw(st.lists(samples.registrations, **unique))
    for enrollment in enrollments:
        await stores.enrollments.create_individual(enrollment)
    for state in states:
        await stores.registrations.open(state, expected_etag=None)
    by_id = {state.registration_id.lower(): state for state in states}
    devices = [
        EnrolledDevice(enrollment=each, registration=by_id.get(each.registration_id.lower())) for each in enrollments
    ]
    steps, limit = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    for _ in range(4):
        condition = data.draw(samples.individual_conditions)
        text = f"SELECT * FROM enrollments WHERE {condition}{data.draw(samples.orders('registrationId'))}"
        search = searching(stores, steps)
        found = await every(lambda after: search.individuals(text, after=after, limit=limit), limit)  # noqa: B023
        expected = wanted(
            text, INDIVIDUALS, devices, lambda d: (d.enrollment.updated_at, d.enrollment.registration_id.lower())
        )
        assert found == [device.enrollment for device in expected]


@_FRESH
@given(data=st.data())
async def test_registrations(stores: Stores, data: st.DataObject) -> None:
    await emptied(stores)
    unique: dict[str, Any] = {"unique_by": lambda each: each.registration_id.lower(), "max_size": 10}
    states = data.draw(st.lists(samples.registrations, **unique))
    for state in states:
        await stores.registrations.open(state, expected_etag=None)
    steps, limit = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    for _ in range(4):
        group_id = data.draw(st.sampled_from([None, "PLANT", "line-2", "none"]))
        condition = data.draw(samples.registration_conditions)
        text = f"SELECT * WHERE {condition}{data.draw(samples.orders('registrationId'))}"
        of_group = [
            state
            for state in states
            if group_id is None or (state.enrollment.group_id or "").lower() == group_id.lower()
        ]
        search = searching(stores, steps)
        found = await every(
            lambda after: search.registrations(text, group_id=group_id, after=after, limit=limit),  # noqa: B023
            limit,
        )
        key: Callable[[Any], tuple[Any, str]] = lambda r: (r.updated_at, r.registration_id.lower())  # noqa: E731
        expected = wanted(text, REGISTRATIONS, of_group, key)
        if group_id is None:
            assert found == expected
        else:
            # Along the group's index, the order is by id even where the condition alone would go by time.
            assert sorted(found, key=key) == sorted(expected, key=key)


@_FRESH
@given(data=st.data())
async def test_groups(stores: Stores, data: st.DataObject) -> None:
    await emptied(stores)
    found_groups = data.draw(st.lists(samples.groups, unique_by=lambda each: each.group_id.lower(), max_size=8))
    for each in found_groups:
        await stores.enrollments.create_group(each)
    limit = data.draw(st.integers(1, 4))
    for _ in range(4):
        condition = data.draw(samples.group_conditions)
        text = f"SELECT * WHERE {condition}{data.draw(samples.orders('enrollmentGroupId'))}"
        search = searching(stores, 5)
        found = await every(lambda after: search.groups(text, after=after, limit=limit), limit)  # noqa: B023
        assert found == wanted(text, GROUPS, found_groups, lambda g: (g.updated_at, g.group_id.lower()))


async def test_a_page_looks_at_a_bounded_number_of_rows_and_goes_on_from_there(stores: Stores) -> None:
    for number in range(10):
        await stores.enrollments.create_individual(individual(f"dev{number}", device_id=f"d{number}"))
    search = searching(stores, 4)
    text = "SELECT * WHERE deviceId = 'd9'"
    first = await search.individuals(text, after=None, limit=5)
    assert (list(first.items), first.after is None) == ([], False)
    second = await search.individuals(text, after=first.after, limit=5)
    third = await search.individuals(text, after=second.after, limit=5)
    assert [each.registration_id for each in third.items] == ["dev9"]
    assert third.after is None


@pytest.mark.parametrize(
    ("condition", "index", "values"),
    [
        ("registrationState.status = 'failed'", Index.REGISTRATION_STATUS, ("failed",)),
        ("registrationState.status IN ('failed', 'disabled') AND attestation.type = 'tpm'",
         Index.REGISTRATION_STATUS, ("disabled", "failed")),
        ("provisioningStatus = 'disabled'", Index.PROVISIONING_STATUS, ("disabled",)),
        ("registrationState.assignedHub = 'Hub1'", Index.HUB, ("hub1",)),
        ("attestation.type = 'symmetricKey' AND deviceId = 'x'", Index.ATTESTATION, ("symmetrickey",)),
        ("NOT attestation.type = 'tpm'", None, ()),
        ("registrationState.status = 'failed' OR deviceId = 'x'", None, ()),
        ("registrationState.status = 'assigned'", None, ()),
    ],
)  # fmt: skip
def test_the_rarest_fact_chooses_the_index(condition: str, index: Index | None, values: tuple[str, ...]) -> None:
    walk = choose_walk(parse_query(f"SELECT * WHERE {condition}", INDIVIDUALS))
    assert (walk.index, walk.values) == (index, values)


def test_an_id_or_its_beginning_is_gone_to() -> None:
    assert choose_walk(parse_query("SELECT * WHERE registrationId = 'A'", INDIVIDUALS)) == Walk(ids=("a",))
    walk = choose_walk(parse_query("SELECT * WHERE STARTSWITH(registrationId, 'Ab')", INDIVIDUALS))
    assert (walk.first_id, walk.last_id is not None and walk.last_id.startswith("ab")) == ("ab", True)
    assert choose_walk(Query()) == Walk()


async def test_changes_move_what_is_found(stores: Stores) -> None:
    await stores.enrollments.create_individual(individual("dev", etag="1"))
    search = searching(stores, 100)

    async def ids(condition: str) -> list[str]:
        page = await search.individuals(f"SELECT * WHERE {condition}", after=None, limit=10)
        return [each.registration_id for each in page.items]

    assert await ids("provisioningStatus = 'disabled'") == []
    disabled = individual(
        "dev", etag="2", provisioning_status=ProvisioningStatus.DISABLED, updated_at=NOW + timedelta(days=1)
    )
    await stores.enrollments.replace_individual(disabled, expected_etag="1")
    assert await ids("provisioningStatus = 'disabled'") == ["dev"]
    assert await ids("lastUpdatedDateTimeUtc > '2024-05-18'") == ["dev"]
    assert await ids("registrationState.status = 'assigning'") == []
    opened = await stores.registrations.open(registration("dev"), expected_etag=None)
    assert await ids("registrationState.status = 'assigning'") == ["dev"]
    await stores.registrations.save(finished(opened), lease_owner="me")
    assert await ids("registrationState.status = 'assigning'") == []
    assert await ids("registrationState.assignedHub = 'HUB.example.net'") == ["dev"]


@pytest.mark.parametrize("portion", [1, 3, 100])
async def test_counts_are_exact_whatever_the_portions(stores: Stores, portion: int) -> None:
    for number in range(7):
        opened = await stores.registrations.open(registration(f"dev{number}", group_id="g"), expected_etag=None)
        if number % 2:
            state = finished(opened)
            if number == 3:
                state = replace(state, status=RegistrationStatus.FAILED)
            await stores.registrations.save(state, lease_owner="me")
    assert await count_registrations(stores.database, portion=portion) == [
        Count(kind="", status="assigning", number=4),
        Count(kind="hub.example.net", status="assigned", number=2),
        Count(kind="hub.example.net", status="failed", number=1),
    ]
    assert await stores.registrations.count() == await count_registrations(stores.database)


async def test_enrollments_are_counted_by_kind_and_status(stores: Stores) -> None:
    assert await stores.enrollments.count_individuals() == []
    await stores.enrollments.create_individual(individual("a"))
    await stores.enrollments.create_individual(individual("b", provisioning_status=None))
    await stores.enrollments.create_individual(individual("c", provisioning_status=ProvisioningStatus.DISABLED))
    await stores.enrollments.create_group(group("g"))
    assert await stores.enrollments.count_individuals() == [
        Count(kind="symmetrickey", status="disabled", number=1),
        Count(kind="symmetrickey", status="enabled", number=2),
    ]
