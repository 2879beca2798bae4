"""Law: what is written as a row is read back equal, for every value the models allow."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.dps import model as dps
from homeport.hub import model as hub
from homeport.store import attempts, hubs, linked_hubs
from homeport.store.challenges import challenge_of, encode_challenge
from homeport.store.device_rows import (
    DEVICE_COLUMNS,
    activity_values,
    device_of,
    identity_values,
    reported_values,
    service_side_values,
)
from homeport.store.enrollment_rows import encode_enrollment, group_of, individual_of
from homeport.store.log_writing import encode_properties, telemetry_of
from homeport.store.registration_rows import COLUMNS, registration_of, registration_values
from homeport.store.rows import from_micros, to_micros

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TIMES = st.datetimes(timezones=st.just(UTC))
JSON_OBJECTS = st.dictionaries(
    TEXT,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)

# Hypothesis builds each dataclass from its annotations: a field added to a model is covered the day it is added.
st.register_type_strategy(str, TEXT)
st.register_type_strategy(datetime, TIMES)


def values_of(kind: type[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any value of the dataclass: every field drawn from its type, but those given here."""
    import typing

    hints = typing.get_type_hints(kind)
    drawn = {name: fields.get(name, _of(hint)) for name, hint in hints.items()}
    return st.builds(kind, **drawn)


def _of(hint: Any) -> st.SearchStrategy[Any]:
    special: dict[Any, st.SearchStrategy[Any]] = {
        dps.JsonObject: JSON_OBJECTS,
        dps.JsonObject | None: st.none() | JSON_OBJECTS,
        float: st.floats(allow_nan=False, allow_infinity=False),
        int: st.integers(-(2**31), 2**31),
        dps.DeviceSpec | None: st.none() | SPECS,
        dps.Question | None: st.none() | QUESTIONS,
        dps.TwinContent: TWIN_CONTENTS,
        hub.TwinSection: SECTIONS,
    }
    return special[hint] if hint in special else st.from_type(hint)


TWIN_CONTENTS = st.builds(dps.TwinContent, tags=JSON_OBJECTS, desired=JSON_OBJECTS, reported=st.none() | JSON_OBJECTS)
SECTIONS = st.builds(hub.TwinSection, content=JSON_OBJECTS, metadata=JSON_OBJECTS, version=st.integers(1, 2**53))
SPECS = st.builds(
    dps.DeviceSpec,
    device_id=TEXT,
    credential=st.from_type(dps.SasCredential) | st.from_type(dps.ThumbprintCredential),
    iot_edge=st.none() | st.booleans(),
    twin=TWIN_CONTENTS,
    twin_write=st.sampled_from(dps.TwinWrite),
)
TERMS = st.builds(
    dps.Terms,
    identity=st.from_type(dps.SasCredential) | st.from_type(dps.ThumbprintCredential) | st.from_type(dps.TpmKeys),
    initial_twin=TWIN_CONTENTS,
)
QUESTIONS = st.builds(dps.Question, terms=TERMS)
REGISTRATIONS = values_of(dps.Registration, operation=values_of(dps.Operation))
IDENTITIES = values_of(hub.DeviceIdentity)


@given(TIMES)
def test_times(time: datetime) -> None:
    assert from_micros(to_micros(time)) == time


def test_the_time_that_never_comes_is_a_number_like_any_other() -> None:
    assert to_micros(hub.NEVER) == -62_135_596_800_000_000
    assert from_micros(to_micros(hub.NEVER)) == hub.NEVER
    assert to_micros(None) is None
    assert from_micros(None) is None


@given(values_of(dps.IndividualEnrollment))
def test_individual_enrollments(enrollment: dps.IndividualEnrollment) -> None:
    data = encode_enrollment(enrollment)
    assert individual_of(enrollment.registration_id, enrollment.etag, data) == enrollment


@given(values_of(dps.EnrollmentGroup))
def test_enrollment_groups(group: dps.EnrollmentGroup) -> None:
    assert group_of(group.group_id, group.etag, encode_enrollment(group)) == group


@given(REGISTRATIONS)
def test_registrations(registration: dps.Registration) -> None:
    columns = registration_values(registration)
    assert registration_of([columns[name] for name in COLUMNS.split(", ")]) == registration


@given(values_of(dps.PendingChallenge))
def test_challenges(challenge: dps.PendingChallenge) -> None:
    assert challenge_of(to_micros(challenge.expires_at), encode_challenge(challenge)) == challenge


@given(values_of(dps.Attempt))
def test_attempts(attempt: dps.Attempt) -> None:
    assert attempts.codec.decode(attempts.codec.encode(attempt)) == attempt


@given(values_of(dps.LinkedHub))
def test_linked_hubs(linked: dps.LinkedHub) -> None:
    assert linked_hubs.codec.decode(linked_hubs.codec.encode(linked)) == linked


@given(values_of(hub.Hub))
def test_hubs(served: hub.Hub) -> None:
    assert hubs.codec.decode(hubs.codec.encode(served)) == served


@given(st.data(), IDENTITIES)
def test_devices(data: st.DataObject, identity: hub.DeviceIdentity) -> None:
    twin = data.draw(values_of(hub.Twin, device_id=st.just(identity.device_id)))
    columns = identity_values(identity) | activity_values(identity) | service_side_values(twin) | reported_values(twin)
    row = [columns[name] for name in DEVICE_COLUMNS.split(", ")]
    assert device_of(row) == hub.Device(identity=identity, twin=twin)


@given(values_of(hub.Telemetry))
def test_telemetry(telemetry: hub.Telemetry) -> None:
    data = encode_properties(telemetry)
    assert telemetry_of(telemetry.device_id, to_micros(telemetry.enqueued_at), telemetry.body, data) == telemetry


def test_a_twin_keeps_the_order_of_its_keys_and_the_kind_of_its_numbers() -> None:
    section = hub.TwinSection(content={"b": 1.0, "a": 1, "c": 4503599627370495}, metadata={})
    twin = hub.Twin(device_id="d", tags={}, desired=section, reported=section)
    columns = service_side_values(twin) | reported_values(twin)
    assert '{"b":1.0,"a":1,"c":4503599627370495}' in str(columns["twin"])


@pytest.mark.parametrize("kind", [dps.SymmetricKeyAttestation, dps.SasCredential])
def test_keys_are_written_in_base64(kind: type[Any]) -> None:
    enrollment = dps.EnrollmentGroup(
        group_id="g",
        attestation=dps.SymmetricKeyAttestation(primary_key=b"\0\xff", secondary_key=b"key"),
        created_at=hub.NEVER,
        updated_at=hub.NEVER,
    )
    assert '"primary_key":"AP8="' in encode_enrollment(enrollment)
    assert "AP8=" not in repr(enrollment)
