"""Conditions over single items, and the laws between them."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.dps.model import (
    CustomAllocation,
    IndividualEnrollment,
    Registration,
    RegistrationStatus,
    TpmGroupAttestation,
)
from homeport.dps.query import GROUPS, INDIVIDUALS, EnrolledDevice, matches, parse_query
from homeport.dps.query.evaluate import is_like
from homeport.values import replace
from tests.unit.dps.query.samples import START, groups, individual_conditions, individuals, registrations


def holds(condition: str, item: Any, schema: Any = INDIVIDUALS) -> bool:
    query = parse_query(f"SELECT * WHERE {condition}", schema)
    assert query.condition is not None
    return matches(query.condition, item)


@pytest.fixture
def device() -> EnrolledDevice:
    from tests.contract.store.samples import individual  # one sample of another suite

    enrollment = individual(
        "Dev-1",
        initial_twin={"tags": {"site": "north", "floor": 3, "none": None, "a.b": True, "list": [1]}},
        iot_hubs=("Hub1.example",),
        created_at=START,
        updated_at=START,
        iot_edge=True,
        custom_allocation=CustomAllocation(webhook_url="https://f.example/a?code=secret", api_version="2026-01-01"),
    )
    return EnrolledDevice(enrollment=enrollment, registration=None)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("registrationId = 'dev-1'", True),
        ("registrationId LIKE 'D%1'", True),
        ("attestation.type = 'symmetrickey'", True),
        ("provisioningStatus = 'enabled'", True),
        ("initialTwin.tags.site = 'north' AND initialTwin.tags.floor >= 3", True),
        ("initialTwin.tags.site = 'North'", False),
        ("initialTwin.tags['a.b'] = true", True),
        ("initialTwin.tags.floor = '3'", False),
        ("initialTwin.tags.floor != '3'", True),
        ("initialTwin.tags.floor = true", False),
        ("initialTwin.tags.gone != 'x'", False),
        ("NOT initialTwin.tags.gone = 'x'", True),
        ("initialTwin.tags.none IS NULL AND IS_DEFINED(initialTwin.tags.none)", True),
        ("initialTwin.tags.gone IS NULL AND NOT IS_DEFINED(initialTwin.tags.gone)", True),
        ("initialTwin.tags.list > 0", False),
        ("CONTAINS(iotHubs, 'hub1.EXAMPLE') AND 'hub1.example' IN iotHubs", True),
        ("ARRAY_CONTAINS(iotHubs, 'hub')", False),
        ("capabilities.iotEdge = true", True),
        ("createdDateTimeUtc >= '2026-01-01' AND createdDateTimeUtc < '2026-01-01T01:00:00+01:00'", False),
        ("createdDateTimeUtc = '2026-01-01T01:00:00+01:00'", True),
        ("registrationState.status = 'unassigned'", True),
        ("registrationState.assignedHub IS NULL", True),
        ("registrationState.errorCode > 0", False),
        ("CONTAINS(customAllocationDefinition.webhookUrl, 'code')", False),
        ("customAllocationDefinition.webhookUrl = 'https://f.example/a'", True),
        ("registrationId IN ['x', 'DEV-1']", True),
        ("registrationId = 'a' OR registrationId = 'dev-1' AND NOT deviceId IS NOT NULL", True),
    ],
)
def test_conditions(device: EnrolledDevice, condition: str, expected: bool) -> None:
    assert holds(condition, device) is expected


@given(individuals, registrations)
def test_the_registration_is_joined_in(enrollment: IndividualEnrollment, registration: Registration) -> None:
    device = EnrolledDevice(enrollment=enrollment, registration=registration)
    for status in RegistrationStatus:
        assert holds(f"registrationState.status = '{status}'", device) is (registration.status is status)
    failed = replace(device, registration=replace(registration, failure=None))
    assert not holds("registrationState.errorCode = 400208", failed)


@given(individual_conditions, individual_conditions, individuals)
def test_boolean_laws(one: str, other: str, enrollment: IndividualEnrollment) -> None:
    device = EnrolledDevice(enrollment=enrollment, registration=None)
    left, right = holds(one, device), holds(other, device)
    assert holds(f"{one} AND {other}", device) is (left and right) or " or " in one + other
    assert holds(f"({one}) AND ({other})", device) is (left and right)
    assert holds(f"({one}) OR ({other})", device) is (left or right)
    assert holds(f"NOT (({one}) OR ({other}))", device) is holds(f"NOT ({one}) AND NOT ({other})", device)


@given(groups)
def test_a_group_has_the_fields_of_its_document(group: Any) -> None:
    assert holds(f"enrollmentGroupId = '{group.group_id.upper()}'", group, GROUPS)


@given(st.text("ab%_\n", max_size=8), st.text("ab\n", max_size=12))
def test_like_is_what_the_regular_expression_would_be(pattern: str, value: str) -> None:
    meaning = "".join({"%": ".*", "_": "."}.get(sign, re.escape(sign)) for sign in pattern)
    assert is_like(value, pattern) is (re.fullmatch(meaning, value, re.DOTALL) is not None)


def test_groups_of_tpms_are_found_by_what_lets_their_devices_in() -> None:
    from tests.contract.store.samples import group  # one sample of another suite

    chips = group("chips", attestation=TpmGroupAttestation(ca_references=("Maker",), key_digests=(b"\xab" * 32,)))
    for condition, expected in (
        ("attestation.type = 'tpm'", True),
        ("CONTAINS(attestation.tpm.endorsementCaReferences, 'maker')", True),
        ("CONTAINS(attestation.tpm.endorsementCaReferences, 'mak')", False),
        (f"'{'AB' * 32}' IN attestation.tpm.endorsementKeyHashes", True),
        (f"'{'CD' * 32}' IN attestation.tpm.endorsementKeyHashes", False),
    ):
        assert holds(condition, chips, GROUPS) is expected, condition
    other = group("line")
    assert not holds("CONTAINS(attestation.tpm.endorsementCaReferences, 'maker')", other, GROUPS)
