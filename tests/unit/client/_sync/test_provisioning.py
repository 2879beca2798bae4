# Made by scripts/unasync.py: change its twin in _async instead.
"""The administrator's client against exchanges recorded from the hosted service (origin in each file)."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from homeport.client import (
    AttestationMechanism,
    BulkMode,
    ConflictError,
    DeviceCapabilities,
    EnrollmentGroup,
    IndividualEnrollment,
    InitialTwin,
    NotFoundError,
    PreconditionFailedError,
    ReprovisionPolicy,
    UnauthorizedError,
    UnexpectedAnswerError,
)
from homeport.client._sync.provisioning import ProvisioningServiceClient
from homeport.security.sas import decode_key, parse_token, verify_signature
from tests.unit.client.scripted import ScriptedService, Step

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
PATH = "/enrollments/d-1?api-version=2021-10-01"
STORED = {
    "registrationId": "d-1",
    "attestation": {"type": "symmetricKey"},
    "etag": "abc=",
    "provisioningStatus": None,
    "somethingNew": {"of": "tomorrow"},
}
ENROLLMENT = IndividualEnrollment(registration_id="d-1", attestation=AttestationMechanism.for_symmetric_key())


def refused(code: int) -> dict[str, Any]:
    return {"errorCode": code, "trackingId": "t-1", "message": "No.", "timestampUtc": "2026-01-01T00:00:00Z"}


def client(service: ScriptedService, ca_file: Path) -> ProvisioningServiceClient:
    text = f"HostName={service.authority};SharedAccessKeyName=provisioningserviceowner;SharedAccessKey={KEY}"
    return ProvisioningServiceClient.create_from_connection_string(text, ca_file=ca_file)


def steps_of(exchanges: list[Any]) -> list[Step]:
    return [
        Step(
            method=exchange["request"]["method"],
            path=exchange["request"]["path"],
            status=exchange["response"]["status"],
            headers=exchange["response"].get("headers", {}),
            body=exchange["response"].get("body"),
        )
        for exchange in exchanges
    ]


def test_recorded_life_of_an_individual_enrollment(
    recorded: Callable[[str], Any], server_context: ssl.SSLContext, ca_file: Path
) -> None:
    exchanges = recorded("individual-symmetrickey-lifecycle")["exchanges"]
    requests = [(e["request"]["method"], e["request"]["path"].partition("?")[0]) for e in exchanges]
    with ScriptedService(steps_of(exchanges), server_context) as service:
        with client(service, ca_file) as dps:
            registration_id = "sym_enrollment_abf63bb6"
            for method, path in requests:
                match method, path.rpartition("/")[2]:
                    case "PUT", _:
                        written = dps.create_or_update_individual_enrollment(
                            IndividualEnrollment(
                                registration_id=registration_id,
                                device_id="sym_key_device_abf63bb6",
                                attestation=AttestationMechanism.for_symmetric_key(
                                    primary_key="primaryKey", secondary_key="secondaryKey"
                                ),
                                allocation_policy="geoLatency",
                                reprovision_policy=ReprovisionPolicy(),
                                initial_twin=InitialTwin.of(desired={"key": "value"}),
                            )
                        )
                        assert written.etag == "IjBhMDBiNzQyLTAwMDAtMDgwMC0wMDAwLTY0NjgwMWY1MDAwMCI="
                        assert written.created_date_time_utc == datetime(2023, 5, 19, 23, 10, 45, 125625, tzinfo=UTC)
                    case "POST", "query":
                        (found,) = list(dps.query_individual_enrollments())
                        assert found.attestation.symmetric_key is None
                        assert found.device_id == "sym_key_device_abf63bb6"
                    case "POST", "attestationmechanism":
                        mechanism = dps.get_individual_attestation_mechanism(registration_id)
                        assert mechanism.symmetric_key is not None
                        assert mechanism.symmetric_key.primary_key == "primaryKey"
                    case "GET", _:
                        got = dps.get_individual_enrollment(registration_id)
                        assert got.registration_state is not None
                        assert got.registration_state.status == "unassigned"
                    case "DELETE", _:
                        dps.delete_individual_enrollment(registration_id)
        sent = service.requests[0].document
    asked = exchanges[0]["request"]["body"]
    assert sent == {name: value for name, value in asked.items() if value is not None}


def test_recorded_groups(recorded: Callable[[str], Any], server_context: ssl.SSLContext, ca_file: Path) -> None:
    exchange = recorded("enrollment-group-x509")["exchanges"][0]
    with ScriptedService(steps_of([exchange]), server_context) as service:
        with client(service, ca_file) as dps:
            written = dps.create_or_update_enrollment_group(
                EnrollmentGroup(
                    enrollment_group_id="x509_enroll_grp_ead0363a",
                    attestation=AttestationMechanism.for_x509_signing("certificate"),
                    allocation_policy="hashed",
                    provisioning_status="enabled",
                    reprovision_policy=ReprovisionPolicy(),
                )
            )
        sent = service.requests[0].document
    assert sent == {name: value for name, value in exchange["request"]["body"].items() if value is not None}
    assert written.attestation.x509 is not None
    assert written.attestation.x509.signing_certificates is not None
    secondary = written.attestation.x509.signing_certificates.secondary
    assert secondary is not None
    assert secondary.info is not None
    assert secondary.info.serial_number == "3DE5133CD675F204229FDF9F87FACD69C6DA3A66"


def test_recorded_registrations_of_a_group(
    recorded: Callable[[str], Any], server_context: ssl.SSLContext, ca_file: Path
) -> None:
    exchange = recorded("enrollment-group-symmetrickey-and-registrations")["exchanges"][1]
    with ScriptedService(steps_of([exchange]), server_context) as service, client(service, ca_file) as dps:
        assert list(dps.query_registration_states("reg_enroll_grp_4dfe3739")) == []


def test_the_token_is_genuine(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([Step(method="GET", path=PATH, body=STORED)], server_context) as service:
        with client(service, ca_file) as dps:
            dps.get_individual_enrollment("d-1")
        token = parse_token(service.requests[0].headers["authorization"])
    assert token.resource == "localhost"
    assert token.policy == "provisioningserviceowner"
    assert verify_signature(token, decode_key(KEY))


@pytest.mark.parametrize(
    ("own", "given", "sent"),
    [(None, None, None), ("mine", None, "mine"), ("mine", "yours", "yours"), (None, "yours", "yours")],
)
def test_etags(
    own: str | None, given: str | None, sent: str | None, server_context: ssl.SSLContext, ca_file: Path
) -> None:
    enrollment = IndividualEnrollment(registration_id="d-1", attestation=ENROLLMENT.attestation, etag=own)
    with ScriptedService([Step(method="PUT", path=PATH, body=STORED)], server_context) as service:
        with client(service, ca_file) as dps:
            dps.create_or_update_individual_enrollment(enrollment, etag=given)
        assert service.requests[0].headers.get("if-match") == sent


def test_force_writes_over_what_is_there(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([Step(method="PUT", path=PATH, body=STORED)], server_context) as service:
        with client(service, ca_file) as dps:
            dps.create_or_update_individual_enrollment(ENROLLMENT, force=True)
        assert service.requests[0].headers["if-match"] == "*"


def test_force_creates_what_is_missing(server_context: ssl.SSLContext, ca_file: Path) -> None:
    steps = [
        Step(method="PUT", path=PATH, status=404, body=refused(404201)),
        Step(method="PUT", path=PATH, body=STORED),
    ]
    with ScriptedService(steps, server_context) as service:
        with client(service, ca_file) as dps:
            assert (dps.create_or_update_individual_enrollment(ENROLLMENT, force=True)).etag == "abc="
        assert "if-match" not in service.requests[1].headers


@pytest.mark.parametrize(
    ("code", "kind"),
    [(409201, ConflictError), (412000, PreconditionFailedError), (404201, NotFoundError), (401002, UnauthorizedError)],
)
def test_refusals(code: int, kind: type[Exception], server_context: ssl.SSLContext, ca_file: Path) -> None:
    steps = [Step(method="PUT", path=PATH, status=code // 1000, body=refused(code))]
    service = ScriptedService(steps, server_context)
    with service, pytest.raises(kind, match="t-1") as caught, client(service, ca_file) as dps:
        dps.create_or_update_individual_enrollment(ENROLLMENT)
    assert getattr(caught.value, "code", None) == code


def test_pages_are_asked_for_when_they_are_reached(server_context: ssl.SSLContext, ca_file: Path) -> None:
    def page(*names: str, more: str | None) -> Step:
        return Step(
            method="POST",
            path="/enrollments/query?api-version=2021-10-01",
            body=[{**STORED, "registrationId": name} for name in names],
            headers={} if more is None else {"x-ms-continuation": more},
            expects={"query": "SELECT *"},
        )

    steps = [page("a", "b", more="next"), page("c", more=None)]
    with ScriptedService(steps, server_context) as service:
        with client(service, ca_file) as dps:
            found = dps.query_individual_enrollments(page_size=2)
            asked = [(enrollment.registration_id, len(service.requests)) for enrollment in found]
        headers = [request.headers for request in service.requests]
    assert asked == [("a", 1), ("b", 1), ("c", 2)]
    assert [h["x-ms-max-item-count"] for h in headers] == ["2", "2"]
    assert [h.get("x-ms-continuation") for h in headers] == [None, "next"]


def test_an_answer_that_is_no_enrollment(server_context: ssl.SSLContext, ca_file: Path) -> None:
    service = ScriptedService([Step(method="GET", path=PATH, body=["?"])], server_context)
    with service, pytest.raises(UnexpectedAnswerError), client(service, ca_file) as dps:
        dps.get_individual_enrollment("d-1")


def test_a_service_under_another_name(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([Step(method="DELETE", path=PATH, status=204)], server_context) as service:
        text = f"HostName=dps.example;SharedAccessKeyName=p;SharedAccessKey={KEY}"
        endpoint = f"https://{service.authority}/"
        dps = ProvisioningServiceClient.create_from_connection_string(text, endpoint=endpoint, ca_file=ca_file)
        with dps:
            dps.delete_individual_enrollment("d-1", etag="abc=")
        request = service.requests[0]
    assert parse_token(request.headers["authorization"]).resource == "dps.example"
    assert request.headers["if-match"] == "abc="


def test_capabilities_are_written_even_when_they_are_the_default() -> None:
    import msgspec

    enrollment = IndividualEnrollment(
        registration_id="d-1",
        attestation=ENROLLMENT.attestation,
        capabilities=DeviceCapabilities(iot_edge=False),
        reprovision_policy=ReprovisionPolicy(migrate_device_data=True),
    )
    document = msgspec.json.decode(msgspec.json.encode(enrollment))
    assert document["capabilities"] == {"iotEdge": False}
    assert document["reprovisionPolicy"] == {"updateHubAssignment": True, "migrateDeviceData": True}


def test_bulk(server_context: ssl.SSLContext, ca_file: Path) -> None:
    error = {"registrationId": "d-1", "errorCode": 409201, "errorStatus": "Enrollment already exists."}
    steps = [
        Step(
            method="POST",
            path="/enrollments?api-version=2021-10-01",
            body={"errors": [error], "isSuccessful": False},
        ),
        # The newest swagger leaves the errors out when there are none.
        Step(method="POST", path="/enrollmentGroups?api-version=2021-10-01", body={"isSuccessful": True}),
    ]
    group = EnrollmentGroup(enrollment_group_id="g", attestation=AttestationMechanism.for_symmetric_key())
    with ScriptedService(steps, server_context) as service:
        with client(service, ca_file) as operator:
            failed = operator.run_bulk_individual_enrollments([ENROLLMENT], BulkMode.UPDATE_IF_MATCH_ETAG)
            done = operator.run_bulk_enrollment_groups([group], "create")
        bodies = [msgspec.json.decode(request.body) for request in service.requests]
    assert [(each.registration_id, each.error_code) for each in failed.errors] == [("d-1", 409201)]
    assert not failed.is_successful
    assert done.is_successful
    assert not done.errors
    assert [body["mode"] for body in bodies] == ["updateIfMatchETag", "create"]
    assert bodies[1]["enrollmentGroups"][0]["enrollmentGroupId"] == "g"


def test_a_key_that_is_rotated_is_used_from_then_on(server_context: ssl.SSLContext, ca_file: Path) -> None:
    keys = ["AAECAwQFBgcICQoLDA0ODw==", "EBESExQVFhcYGRobHB0eHw=="]
    steps = [Step(method="GET", path=PATH, body=STORED) for _ in keys]
    with ScriptedService(steps, server_context) as service:
        current = [keys[0]]
        operator = ProvisioningServiceClient.create_from_connection_string(
            lambda: f"HostName={service.authority};SharedAccessKeyName=p;SharedAccessKey={current[0]}", ca_file=ca_file
        )
        with operator:
            operator.get_individual_enrollment("d-1")
            current[0] = keys[1]
            operator.get_individual_enrollment("d-1")
        tokens = [parse_token(request.headers["authorization"]) for request in service.requests]
    for token, key in zip(tokens, keys, strict=True):
        assert verify_signature(token, decode_key(key))


def test_another_api_version_may_be_asked_for(server_context: ssl.SSLContext, ca_file: Path) -> None:
    body = STORED | {"namespaceName": "plant", "certificateAuthorityName": "Root", "certificatePolicyName": "short"}
    steps = [Step(method="GET", path="/enrollments/d-1?api-version=2026-11-01", body=body)]
    with ScriptedService(steps, server_context) as service:
        text = f"HostName={service.authority};SharedAccessKeyName=p;SharedAccessKey={KEY}"
        operator = ProvisioningServiceClient.create_from_connection_string(
            text, ca_file=ca_file, api_version="2026-11-01"
        )
        with operator:
            read = operator.get_individual_enrollment("d-1")
    assert (read.namespace_name, read.certificate_policy_name) == ("plant", "short")
