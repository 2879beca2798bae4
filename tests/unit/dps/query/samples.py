"""Enrollments, groups and registrations of many kinds, and texts of conditions over them, for properties."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from homeport.dps.model import (
    AllocationPolicy,
    Assignment,
    AttestationKind,
    CaReferences,
    EnrollmentGroup,
    EnrollmentRef,
    Failure,
    IndividualEnrollment,
    Operation,
    ProvisioningStatus,
    Registration,
    RegistrationStatus,
    ReprovisionPolicy,
    Step,
    Substatus,
    SymmetricKeyAttestation,
    TpmAttestation,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
HUBS = ("Hub1.example", "hub2.example")
GROUPS = (None, "Plant", "line-2")

ids = st.text("aAbB1-", min_size=1, max_size=3).map(lambda text: f"{text}x")
times = st.integers(0, 6).map(lambda hours: START + timedelta(hours=hours, microseconds=hours * 7))
tags = st.dictionaries(
    st.sampled_from(["site", "n", "deep"]),
    st.one_of(
        st.sampled_from(["north", "south", "North", ""]),
        st.integers(-2, 2),
        st.booleans(),
        st.none(),
        st.just([1]),
        st.just({"level": 2}),
    ),
    max_size=3,
)
attestations = st.sampled_from(
    [
        SymmetricKeyAttestation(primary_key=b"p" * 16, secondary_key=b"s" * 16),
        TpmAttestation(endorsement_key=b"ek"),
        CaReferences(primary="Root-1", secondary=None),
    ]
)
common: dict[str, Any] = {
    "attestation": attestations,
    "etag": st.just("e"),
    "provisioning_status": st.sampled_from([None, *ProvisioningStatus]),
    "reprovision_policy": st.sampled_from([None, ReprovisionPolicy(migrate_device_data=False)]),
    "allocation_policy": st.sampled_from([None, *AllocationPolicy]),
    "iot_hubs": st.sampled_from([None, (), HUBS[:1], HUBS]),
    "initial_twin": st.one_of(st.none(), tags.map(lambda found: {"tags": found})),
    "iot_edge": st.sampled_from([None, True, False]),
    "created_at": times,
    "updated_at": times,
}
individuals = st.builds(
    IndividualEnrollment, registration_id=ids, device_id=st.sampled_from([None, "Pump", "pump"]), **common
)
groups = st.builds(EnrollmentGroup, group_id=ids, **common)


def _registration(
    registration_id: str, group: str | None, status: RegistrationStatus, hub: str | None, at: datetime, payload: Any
) -> Registration:
    failed = status is RegistrationStatus.FAILED
    return Registration(
        registration_id=registration_id,
        enrollment=EnrollmentRef(group_id=group),
        attestation=AttestationKind.TPM,
        status=status,
        substatus=Substatus.INITIAL_ASSIGNMENT if status is RegistrationStatus.ASSIGNED else None,
        assignment=None if hub is None else Assignment(hub=hub, device_id=registration_id),
        failure=Failure(code=400208, message="No hub.") if failed else None,
        payload=None if payload is None else json.dumps(payload).encode(),
        operation=Operation(id="op", status=status, step=Step.DONE, deadline=START),
        etag="e",
        created_at=START,
        updated_at=at,
    )


registrations = st.builds(
    _registration,
    ids,
    st.sampled_from(GROUPS),
    st.sampled_from([status for status in RegistrationStatus if status is not RegistrationStatus.UNASSIGNED]),
    st.sampled_from([None, *HUBS]),
    times,
    st.sampled_from([None, {"model": "m1"}]),
)

# ---------------------------------------------------------------- texts

_OPERATORS = st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">="])
_NAMES = [
    "'ax'",
    "'A-x'",
    "'b1x'",
    "'tpm'",
    "'SymmetricKey'",
    "'x509'",
    "'disabled'",
    "'enabled'",
    "'failed'",
    "'assigned'",
    "'unassigned'",
    "'HUB1.example'",
    "'hub2.example'",
    "'plant'",
    "'hashed'",
    "'root-1'",
]
_TIMES = [f"'{(START + timedelta(hours=hours, microseconds=hours * 7)).isoformat()}'" for hours in range(7)]
_FREE = ["'north'", "'North'", "0", "1", "-1.5", "2e0", "true", "FALSE"]


def _tests(names: list[str], free: list[str], moments: list[str], flags: list[str], lists: list[str]) -> Any:
    starts = st.sampled_from(["'a'", "'A'", "'b1'", "'%'", "'a%'", "'_x'", "'%x'", "'a_x'", "'%1%x'"])

    def over(fields: list[str], values: Any) -> Any:
        return st.builds("{} {} {}".format, st.sampled_from(fields), _OPERATORS, values)

    every = [*names, *free, *moments, *flags]
    return st.one_of(
        over(names, st.sampled_from(_NAMES)),
        over(free, st.sampled_from(_FREE)),
        over(moments, st.sampled_from(_TIMES)),
        st.builds("{} = {}".format, st.sampled_from(flags), st.sampled_from(["true", "false"]))
        if flags
        else st.nothing(),
        st.builds(
            "{}({}, {})".format,
            st.sampled_from(["STARTSWITH", "endswith", "Contains"]),
            st.sampled_from([*names, *free]),
            starts,
        ),
        st.builds("{} {}LIKE {}".format, st.sampled_from(names), st.sampled_from(["", "NOT "]), starts),
        st.builds(
            "{} {}IN ({})".format,
            st.sampled_from(names),
            st.sampled_from(["", "NOT "]),
            st.lists(st.sampled_from(_NAMES), min_size=1, max_size=4).map(", ".join),
        ),
        st.builds("{} IS {}NULL".format, st.sampled_from(every), st.sampled_from(["", "NOT "])),
        st.builds("IS_DEFINED({})".format, st.sampled_from(every)),
        st.builds("'hub1.EXAMPLE' IN {}".format, st.sampled_from(lists)) if lists else st.nothing(),
    )


def _conditions(tests: Any) -> Any:
    return st.recursive(
        tests,
        lambda inner: st.one_of(
            st.builds("({} AND {})".format, inner, inner),
            st.builds("({} or {})".format, inner, inner),
            st.builds("NOT ({})".format, inner),
        ),
        max_leaves=6,
    )


_TIMES_OF_ENROLLMENT = ["createdDateTimeUtc", "lastUpdatedDateTimeUtc"]
_TAGS = ["initialTwin.tags.site", "initialTwin.tags['n']", "initialTwin.tags.deep.level"]
_BOOLEANS = ["capabilities.iotEdge", "reprovisionPolicy.migrateDeviceData"]
_OF_ENROLLMENT = ["attestation.type", "provisioningStatus", "allocationPolicy", "attestation.x509.caReferences.primary"]

individual_conditions = _conditions(
    _tests(
        ["registrationId", *_OF_ENROLLMENT, "deviceId", "registrationState.status", "registrationState.assignedHub"],
        _TAGS,
        [*_TIMES_OF_ENROLLMENT, "registrationState.lastUpdatedDateTimeUtc"],
        _BOOLEANS,
        ["iotHubs"],
    )
)
group_conditions = _conditions(
    _tests(["enrollmentGroupId", *_OF_ENROLLMENT], _TAGS, _TIMES_OF_ENROLLMENT, _BOOLEANS, ["iotHubs"])
)
registration_conditions = _conditions(
    _tests(
        ["registrationId", "status", "assignedHub", "enrollmentGroupId", "registrationState.status", "substatus"],
        ["payload.model"],
        _TIMES_OF_ENROLLMENT,
        [],
        [],
    )
)


def orders(id_field: str) -> Any:
    return st.one_of(
        st.just(""),
        st.builds(
            " ORDER BY {} {}".format,
            st.sampled_from([id_field, "lastUpdatedDateTimeUtc"]),
            st.sampled_from(["", "ASC", "desc"]),
        ),
    )
