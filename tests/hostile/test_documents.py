"""Bodies that are not the documents they should be, member by member; sent by callers whose proof holds."""

import base64
import json
from typing import Any

import pytest

from tests.certificates import make_certificate
from tests.hostile.target import Answer, Target, new_key, unique

KEY = new_key()

NO_DOCUMENTS = [
    b"{",
    b"}",
    b"[]",
    b"null",
    b"1",
    b'"text"',
    b"{}{}",
    b'{"registrationId":"a"',
    b'{"registrationId":"a",}',
    b"{'registrationId':'a'}",
    b'{"registrationId":"\\ud800"}',
    b'{"registrationId":"\\x41"}',
    b'{"registrationId":"a\x00b"}',
    b'{"registrationId":"\xff\xfe"}',
    b'{"registrationId":"\xed\xa0\x80"}',
    b"\xff\xfe{\x00}\x00",
    b"\x00" * 500,
    b"NaN",
    b'{"payload":NaN}',
    b'{"payload":1e}',
    b'{"payload":-}',
    b"[" * 90_000,
    b'{"a":' * 18_000,
    b'{"payload":' + b"[" * 40_000 + b"]" * 40_000 + b"}",
    b'{"payload":' + b'{"a":' * 15_000 + b"1" + b"}" * 15_000 + b"}",
]
NOT_TEXT: list[Any] = [1, 1.5, True, [], {}, ["a"], {"a": 1}]
NOT_OBJECTS: list[Any] = [1, True, "text", [], [{}]]


def register(target: Target, registration_id: str, key: str, body: bytes) -> Answer:
    headers = {"Authorization": target.device_token(registration_id, key)}
    return target.ask("PUT", target.register_path(registration_id), body, headers)


@pytest.fixture(scope="module")
def device(target: Target) -> tuple[str, str]:
    return target.enroll("documents")


@pytest.mark.parametrize("body", NO_DOCUMENTS, ids=lambda body: repr(body[:24]))
def test_register_bodies_that_are_no_documents(target: Target, device: tuple[str, str], body: bytes) -> None:
    document = target.assert_refused(register(target, *device, body), 400)
    assert document["errorCode"] in {400000, 400004}
    assert target.why(device[0])[0].tracking_id == document["trackingId"]


def wrong_members() -> list[tuple[str, Any]]:
    """Return for each member of the register body values that it cannot have."""
    keys: list[Any] = [{}, *({"endorsementKey": value} for value in [*NOT_TEXT, None, "", "!", "A" * 9000])]
    good = base64.b64encode(bytes(316)).decode()
    keys += [{"endorsementKey": good, "storageRootKey": value} for value in [*NOT_TEXT, "!", "A" * 9000]]
    keys += [{"endorsementKey": good, "endorsementCertificate": value} for value in [*NOT_TEXT, "!"]]
    chains = [*NOT_OBJECTS, {}, [1], [None], ["!"], ["AAAA"] * 10]
    keys += [
        {"endorsementKey": good, "endorsementCertificate": "AAAA", "endorsementCertificateChain": value}
        for value in chains
        if value != []
    ]
    return (
        [("registrationId", value) for value in [*NOT_TEXT, "another", "", "a" * 200]]
        + [("tpm", value) for value in [*NOT_OBJECTS, *keys]]
        + [("csr", value) for value in NOT_TEXT]
    )


@pytest.mark.parametrize(("member", "value"), wrong_members(), ids=lambda value: repr(value)[:40])
def test_register_members_of_wrong_types(target: Target, device: tuple[str, str], member: str, value: Any) -> None:
    answer = register(target, *device, json.dumps({"registrationId": device[0], member: value}).encode())
    target.assert_refused(answer, 400)


@pytest.mark.parametrize(
    "more",
    [
        {"status": "assigned", "registrationState": {"assignedHub": "evil.example"}, "operationId": "1"},
        {"deviceId": "somebody-else", "isAdmin": True, "__proto__": {"a": 1}, "": 0},
        {"payload": None},
        {"payload": {"deep": [[[[{"a": "x" * 50_000}]]]]}},
        {"payload": 10**300},
        {"tpm": None},
    ],
)
def test_unknown_members_change_nothing(target: Target, device: tuple[str, str], more: dict[str, Any]) -> None:
    answer = register(target, *device, json.dumps({"registrationId": device[0], **more}).encode())
    assert answer.status == 202
    state = answer.document["registrationState"]
    assert (state["deviceId"], state["assignedHub"]) == (device[0], target.host)


def test_a_member_said_twice(target: Target, device: tuple[str, str]) -> None:
    body = f'{{"registrationId":"{device[0]}","registrationId":"another"}}'.encode()
    target.assert_clear(register(target, *device, body))
    state = register(target, *device, b"{}").document["registrationState"]
    assert state["registrationId"] == device[0]


# ---------------------------------------------------------------- administrators


def enrollment(registration_id: str, **members: Any) -> dict[str, Any]:
    attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}
    return {"registrationId": registration_id, "attestation": attestation, **members}


def put(target: Target, path: str, document: Any) -> Answer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = {"Authorization": target.owner_token()}
    return target.ask("PUT", f"{path}?api-version=2021-10-01", body, headers)


@pytest.mark.parametrize("body", NO_DOCUMENTS, ids=lambda body: repr(body[:24]))
def test_bodies_of_administrators_that_are_no_documents(target: Target, body: bytes) -> None:
    for path in ("/enrollments/a", "/enrollmentGroups/a", "/homeport/hubs/a"):
        target.assert_refused(put(target, path, body), 400)
    headers = {"Authorization": target.owner_token()}
    for path in ("/enrollments/query", "/enrollmentGroups/query", "/registrations/a/query"):
        answer = target.ask("POST", f"{path}?api-version=2021-10-01", body, headers)
        if body.startswith((b"{}", b'{"registrationId":"a"', b'{"payload"')):
            target.assert_clear(answer)
        else:
            target.assert_refused(answer, 400)


def bad_attestations() -> list[Any]:
    leaf = make_certificate("hostile").pem
    weak = base64.b64encode(b"short").decode()
    keys = [{"primaryKey": value} for value in [*NOT_TEXT, "!", weak, base64.b64encode(bytes(65)).decode(), "A" * 9000]]
    certificates: list[Any] = [
        {},
        {"clientCertificates": {}},
        {"clientCertificates": {"primary": {}}},
        {"clientCertificates": {"primary": {"certificate": leaf}}, "signingCertificates": {}},
        {"signingCertificates": {"primary": {"certificate": leaf}}},
        {"caReferences": {}},
        {"caReferences": {"primary": "a" * 5000}},
    ]
    certificates += [{"clientCertificates": {"primary": {"certificate": value}}} for value in [*NOT_TEXT, *TEXTS]]
    certificates += [{"clientCertificates": {"primary": {"certificate": leaf}, "secondary": {"certificate": "!"}}}]
    tpm: list[Any] = [{}, *({"endorsementKey": value} for value in [*NOT_TEXT, "", "!", weak, "A" * 9000])]
    return [
        *NOT_OBJECTS,
        None,
        {},
        {"type": None},
        {"type": 1},
        {"type": "none"},
        {"type": "password"},
        {"type": "x509"},
        {"type": "tpm"},
        {"type": "tpm", "symmetricKey": {}},
        {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY}, "tpm": {"endorsementKey": "AAAA"}},
        *({"type": "symmetricKey", "symmetricKey": value} for value in [*NOT_OBJECTS, *keys]),
        *({"type": "x509", "x509": value} for value in [*NOT_OBJECTS, *certificates]),
        *({"type": "tpm", "tpm": value} for value in [*NOT_OBJECTS, *tpm]),
    ]


TEXTS = [
    "!",
    "A" * 70_000,
    base64.b64encode(bytes(100)).decode(),
    base64.b64encode(b"\x30\x82\xff\xff" * 4000).decode(),
    "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    "-----BEGIN CERTIFICATE-----" * 1000,
    make_certificate("hostile").key_pem,
]


@pytest.mark.parametrize("attestation", bad_attestations(), ids=lambda value: repr(value)[:60])
def test_attestations_that_are_none(target: Target, attestation: Any) -> None:
    registration_id = unique("bad")
    document = enrollment(registration_id, attestation=attestation)
    target.assert_refused(put(target, f"/enrollments/{registration_id}", document), 400)
    assert (
        target.ask(
            "GET",
            f"/enrollments/{registration_id}?api-version=2021-10-01",
            headers={"Authorization": target.owner_token()},
        ).document["errorCode"]
        == 404201
    )


WRONG = {
    "registrationId": [*NOT_TEXT, None, "", "another"],
    "deviceId": [*NOT_TEXT, "a" * 129, "a b", "a/b", "ä", "\x00"],
    "iotHubHostName": [*NOT_TEXT, "elsewhere.example", "a" * 90_000],
    "iotHubs": [1, "text", {}, [1], [None], ["elsewhere.example"], ["a"] * 5000],
    "initialTwin": [*NOT_OBJECTS, {"tags": 1}, {"tags": []}, {"properties": 1}, {"properties": {"desired": []}}],
    "optionalDeviceInformation": NOT_OBJECTS,
    "capabilities": [*NOT_OBJECTS, {"iotEdge": "yes"}, {"iotEdge": 1}, {"iotEdge": None}],
    "reprovisionPolicy": [*NOT_OBJECTS, {"updateHubAssignment": 1}, {"migrateDeviceData": "true"}],
    "provisioningStatus": [*NOT_TEXT, "", "maybe", "a" * 5000],
    "allocationPolicy": [*NOT_TEXT, "", "random", "custom"],
    "customAllocationDefinition": [
        *NOT_OBJECTS,
        {},
        {"webhookUrl": "https://a.example"},
        {"webhookUrl": "file:///etc/passwd", "apiVersion": "2021-10-01"},
        {"webhookUrl": "javascript:alert(1)", "apiVersion": "2021-10-01"},
        {"webhookUrl": "https://a.example/" + "a" * 5000, "apiVersion": "2021-10-01"},
        {"webhookUrl": "https://a.example", "apiVersion": "yesterday"},
        {"webhookUrl": 1, "apiVersion": "2021-10-01"},
    ],
    "etag": NOT_TEXT,
}


@pytest.mark.parametrize(
    ("member", "value"),
    [(member, value) for member, values in WRONG.items() for value in values],
    ids=lambda value: repr(value)[:40],
)
def test_enrollment_members_of_wrong_types(target: Target, member: str, value: Any) -> None:
    registration_id = unique("wrong")
    document = enrollment(registration_id) | {member: value}
    refused = target.assert_refused(put(target, f"/enrollments/{registration_id}", document), 400)
    assert refused["errorCode"] in {400000, 400004}
    group = {"enrollmentGroupId": registration_id, "attestation": document["attestation"]} | {member: value}
    answer = put(target, f"/enrollmentGroups/{registration_id}", group)
    target.assert_clear(answer)
    if member not in {"registrationId", "deviceId", "optionalDeviceInformation"}:  # a group has none of these
        target.assert_refused(answer, 400)


def test_unknown_members_of_enrollments(target: Target) -> None:
    registration_id = unique("unknown")
    more = {"registrationState": None, "somethingNew": {"a": [1]}, "createdDateTimeUtc": "never", "": 1}
    answer = put(target, f"/enrollments/{registration_id}", enrollment(registration_id, **more))
    assert answer.status == 200
    assert "somethingNew" not in answer.document
    assert answer.document["createdDateTimeUtc"] != "never"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"hostNames": None, "connectionString": None},
        {"hostNames": []},
        {"hostNames": [1]},
        {"hostNames": ["a b"]},
        {"hostNames": ["-"], "connectionString": "HostName=a"},
        {"hostNames": ["x.example"], "allocationWeight": 0},
        {"hostNames": ["x.example"], "allocationWeight": 10**30},
        {"hostNames": ["x.example"], "allocationWeight": "1"},
        {"hostNames": ["a" * 300]},
        {"connectionString": "nonsense"},
        {"connectionString": "HostName=a.example;SharedAccessKeyName=p;SharedAccessKey=!"},
        {"connectionString": "HostName=http://169.254.169.254/;SharedAccessKeyName=p;SharedAccessKey=" + KEY},
        {"connectionString": ";" * 5000},
        {"connectionString": "HostName=a.example;SharedAccessKeyName=p;SharedAccessKey=" + KEY, "caCertificates": "!"},
    ],
    ids=lambda value: json.dumps(value)[:50],
)
def test_hubs_that_cannot_be(target: Target, document: dict[str, Any]) -> None:
    answer = put(target, f"/homeport/hubs/{unique('bad')}", document)
    target.assert_refused(answer, 400)
    assert KEY not in answer.body.decode()
    assert [hub.name for hub in target.admin.hubs()] == ["hub1"]
