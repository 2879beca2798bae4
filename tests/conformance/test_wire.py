"""The provisioning contract to the letter, in plain HTTP: statuses, headers, bodies, and every client's spelling."""

import base64
import hashlib
import hmac
import json
import os
import re
import ssl
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import unique

pytestmark = pytest.mark.conformance

DEVICE_VERSION = "2021-06-01"
SERVICE_VERSION = "2021-10-01"
JSON = "application/json; charset=utf-8"
MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{7}Z")


def signed(resource: str, key: str, *, order: str = "sr,sig,se", name: str | None = None, life: int = 3600) -> str:
    """Write a token as contract dps.md 2.1 has it, without the product's help; `resource` stands as it is."""
    expiry = int(time.time()) + life
    signature = hmac.digest(base64.b64decode(key), f"{resource}\n{expiry}".encode(), hashlib.sha256)
    fields = {
        "sr": resource,
        "sig": quote(base64.b64encode(signature), safe=""),
        "se": str(expiry),
        "skn": name or "",
    }
    return "SharedAccessSignature " + "&".join(f"{field}={fields[field]}" for field in order.split(","))


@pytest.fixture(scope="module")
def https(service: Service) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=service.values["HOMEPORT_CA_FILE"])
    with httpx.Client(base_url=f"https://{service.host}", verify=context, trust_env=False) as client:
        yield client


class Administrator:
    """Speaks the service API with the owner's policy, or with another key."""

    def __init__(self, service: Service, https: httpx.Client) -> None:
        parts = dict(part.split("=", 1) for part in service.values["HOMEPORT_DPS_CONNECTION_STRING"].split(";") if part)
        self._host, self._policy = parts["HostName"], parts["SharedAccessKeyName"]
        self._key, self._https = parts["SharedAccessKey"], https

    def ask(self, method: str, path: str, *, version: str | None = SERVICE_VERSION, **more: Any) -> httpx.Response:
        token = signed(self._host, self._key, order="sr,sig,se,skn", name=self._policy)
        headers = {"Authorization": token, **more.pop("headers", {})}
        parameters = {} if version is None else {"api-version": version}
        return self._https.request(method, path, headers=headers, params=parameters, **more)

    def enroll(self, registration_id: str, key: str) -> dict[str, Any]:
        document = {
            "registrationId": registration_id,
            "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": key, "secondaryKey": key}},
        }
        answer = self.ask("PUT", f"/enrollments/{quote(registration_id, safe='')}", json=document)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


@pytest.fixture
def owner(service: Service, https: httpx.Client) -> Administrator:
    return Administrator(service, https)


class Device:
    """A device with a key, and the paths it asks for."""

    def __init__(self, service: Service, https: httpx.Client, registration_id: str, key: str) -> None:
        self.id, self.key, self._https = registration_id, key, https
        self.resource = f"{service.id_scope}/registrations/{registration_id}"
        self.path = f"/{service.id_scope}/registrations/{registration_id}"

    def ask(
        self, method: str, path: str, *, token: str | None = None, version: str | None = DEVICE_VERSION, **more: Any
    ) -> httpx.Response:
        headers = {"Authorization": token or signed(quote(self.resource, safe=""), self.key), **more.pop("headers", {})}
        target = path if version is None else f"{path}?api-version={version}"
        return self._https.request(method, target, headers=headers, **more)

    def register(self, **more: Any) -> httpx.Response:
        body = more.pop("body", {"registrationId": self.id})
        return self.ask("PUT", more.pop("path", f"{self.path}/register"), json=body, **more)


@pytest.fixture
def device(service: Service, https: httpx.Client, owner: Administrator, device_key: str) -> Device:
    registration_id = unique("wire")
    owner.enroll(registration_id, device_key)
    return Device(service, https, registration_id, device_key)


def assert_error(answer: httpx.Response, status: int, code: int) -> dict[str, Any]:
    """The body of contract dps.md 3.6, and nothing but it."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, JSON), answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"errorCode", "trackingId", "message", "timestampUtc"}
    assert body["errorCode"] == code
    assert uuid.UUID(body["trackingId"])
    assert body["trackingId"] == answer.headers["x-ms-request-id"]
    assert answer.headers["x-ms-error-code"] == str(code)
    assert body["message"]
    assert MOMENT.fullmatch(body["timestampUtc"])
    assert "retry-after" not in answer.headers
    return body


# ---------------------------------------------------------------- register and what follows


def test_the_answer_to_register(service: Service, device: Device) -> None:
    answer = device.register()
    assert answer.status_code == 202
    assert answer.headers["content-type"] == JSON
    assert answer.headers["location"] == f"https://{service.host}{device.path}/register"
    assert answer.headers["retry-after"] in {"2", "3", "4", "5"}
    assert uuid.UUID(answer.headers["x-ms-request-id"])
    assert answer.headers["strict-transport-security"]
    assert "x-ms-error-code" not in answer.headers
    body = answer.json()
    assert set(body) == {"operationId", "status", "registrationState"}
    state = body["registrationState"]
    assert body["status"] == state["status"] == "assigned"
    assert state["substatus"] == "initialAssignment"
    assert (state["registrationId"], state["deviceId"]) == (device.id, device.id)
    assert state["assignedHub"] in {"127.0.53.1", "127.0.53.2", "127.0.53.3"}
    for moment in (state["createdDateTimeUtc"], state["lastUpdatedDateTimeUtc"]):
        assert MOMENT.fullmatch(moment)
        assert abs((datetime.fromisoformat(moment[:26]).replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()) < 600
    etag = base64.b64decode(state["etag"]).decode()
    assert (etag[0], etag[-1], bool(uuid.UUID(etag[1:-1]))) == ('"', '"', True)
    # Java breaks on a payload that is no object; members without a value are left out.
    assert not {"payload", "tpm", "x509", "errorCode", "errorMessage"} & set(state)


def test_the_operation_stays_queryable_with_the_same_result(device: Device) -> None:
    registered = device.register().json()
    path = f"{device.path}/operations/{registered['operationId']}"
    bodies: tuple[dict[str, Any], ...] = ({}, {"json": {}}, {"content": b" "})
    for more in bodies:
        answer = device.ask("GET", path, **more)
        assert answer.status_code == 200
        assert answer.json() == registered
        assert "retry-after" not in answer.headers
    assert_error(device.ask("GET", f"{device.path}/operations/{'5.' + str(uuid.uuid4())}"), 404, 404000)


def test_a_get_with_a_body_keeps_the_connection_in_step(service: Service, device: Device) -> None:
    operation = device.register().json()["operationId"]
    context = ssl.create_default_context(cafile=service.values["HOMEPORT_CA_FILE"])
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    with httpx.Client(base_url=f"https://{service.host}", verify=context, trust_env=False, limits=limits) as one:
        again = Device(service, one, device.id, device.key)
        for _ in range(3):
            # Node's spelling: two bytes of body, which mean nothing.
            answer = again.ask("GET", f"{device.path}/operations/{operation}", json={})
            assert answer.json()["status"] == "assigned"


def test_the_status_lookup_is_flat(device: Device) -> None:
    assert_error(device.ask("POST", device.path, json={"registrationId": device.id}), 404, 404203)
    registered = device.register().json()
    answer = device.ask("POST", device.path, json={"registrationId": device.id})
    assert (answer.status_code, answer.json()) == (200, registered["registrationState"])


def test_registering_again(device: Device) -> None:
    first = device.register().json()
    second = device.register(path=f"{device.path}/register?forceRegistration=true&x=", version=None)
    assert_error(second, 400, 400000)  # and with its api-version:
    again = device.ask(
        "PUT", f"{device.path}/register?forceRegistration=true&api-version={DEVICE_VERSION}", version=None
    ).json()
    assert again["operationId"] != first["operationId"]
    assert again["registrationState"]["substatus"] == "reprovisionedToInitialAssignment"
    assert again["registrationState"]["assignedHub"] == first["registrationState"]["assignedHub"]
    assert again["registrationState"]["createdDateTimeUtc"] == first["registrationState"]["createdDateTimeUtc"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"{}", {}),
        (b'{"payload":null,"registrationId":"%s"}', {}),
        (b'{"payload":"a Java string"}', {}),
        (b'{"registrationId":"%s","payload":{"modelId":"dtmi:a:b;1"},"somethingNew":[1,{"a":2}]}', {}),
        (b'{"registrationId":"%s"}', {"Content-Encoding": "utf-8"}),
        (b'{"registrationId":"%s"}', {"Content-Type": "text/plain"}),
        (b'\xef\xbb\xbf{"registrationId":"%s"}', {}),
        (b'{"registrationId":"%s"}', {"UserAgent": "prov_device_client/1.0"}),
        (b'{"registrationId":"%s"}', {"Expect": "100-continue"}),
    ],
    ids=["empty", "no-id", "python", "java", "unknown", "encoding", "text", "bom", "c-agent", "expect"],
)
def test_bodies_and_headers_that_are_accepted(device: Device, body: bytes, headers: dict[str, str]) -> None:
    body = body.replace(b"%s", device.id.encode())
    answer = device.ask("PUT", f"{device.path}/register", content=body, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (202, "assigned")


def test_paths_in_other_spellings(service: Service, device: Device) -> None:
    scope = service.id_scope
    for path in (
        f"/{scope}/registrations/{device.id}/register/",
        f"/{scope.lower()}/Registrations/{device.id.upper()}/REGISTER",
        f"/{scope}/registrations/{device.id.replace('-', '%2D')}/register",
    ):
        assert device.register(path=path, headers={"Host": f"{service.host}:443"}).status_code == 202


def test_a_colon_in_the_id_raw_and_escaped(
    service: Service, https: httpx.Client, owner: Administrator, device_key: str
) -> None:
    registration_id = f"{unique('wire')}:a.b_c-d"
    owner.enroll(registration_id, device_key)
    device = Device(service, https, registration_id, device_key)
    raw = device.register().json()
    escaped = device.register(path=f"/{service.id_scope}/registrations/{quote(registration_id, safe='')}/register")
    assert escaped.json()["registrationState"]["deviceId"] == raw["registrationState"]["deviceId"] == registration_id
    for path in (registration_id, quote(registration_id, safe="")):
        assert owner.ask("GET", f"/enrollments/{path}").json()["registrationId"] == registration_id


def test_every_clients_spelling_of_a_token(device: Device) -> None:
    raw, upper, named = device.resource, quote(device.resource, safe=""), "registration"
    lower = re.sub(r"%..", lambda escape: escape[0].lower(), upper)
    tokens = {
        "C": signed(lower, device.key, order="sr,sig,se,skn", name=named),
        "C#": signed(upper, device.key, order="sr,sig,se,skn", name=named),
        "Java": signed(raw, device.key, order="sr,sig,se,skn", name=""),
        "Node": signed(raw, device.key, order="sr,sig,skn,se", name=named),
        "Python": signed(upper, device.key, order="sr,sig,se"),
        "IoT Edge": signed(
            quote(raw.lower(), safe=""), device.key, order="sr,sig,se,skn", name="registration", life=30
        ),
    }
    answers = {client: device.register(token=token).status_code for client, token in tokens.items()}
    assert answers == dict.fromkeys(tokens, 202)
    # Java writes the header's name in lower case, C and .NET escape the signature in lower case.
    small = signed(raw, device.key, order="sig,se,sr").replace("%2B", "%2b").replace("%3D", "%3d").replace("%2F", "%2f")
    answer = device.ask("PUT", f"{device.path}/register", headers={"authorization": small}, token=small, json={})
    assert answer.status_code == 202


def test_clock_skew_is_tolerated_and_more_is_not(device: Device) -> None:
    assert device.register(token=signed(device.resource, device.key, life=-240)).status_code == 202
    assert_error(device.register(token=signed(device.resource, device.key, life=-600)), 401, 401002)


# ---------------------------------------------------------------- refusals


def test_refusals_of_devices(service: Service, https: httpx.Client, device: Device) -> None:
    other = base64.b64encode(os.urandom(32)).decode()
    wrong = assert_error(device.register(token=signed(device.resource, other)), 401, 401002)
    assert wrong["message"] == "Unauthorized"
    stranger = Device(service, https, unique("nobody"), device.key)
    assert assert_error(stranger.register(), 401, 401002)["message"] == "Unauthorized"
    elsewhere = Device(service, https, device.id, device.key)
    elsewhere.path = f"/0ne00FFFFFF/registrations/{device.id}"
    assert_error(elsewhere.register(), 401, 401000)
    nothing = https.put(f"{device.path}/register?api-version={DEVICE_VERSION}", json={})
    assert_error(nothing, 401, 401002)
    assert_error(device.register(body={"registrationId": "another"}), 400, 400004)
    assert_error(device.register(version="2021"), 400, 400000)
    assert_error(device.ask("PUT", f"{device.path}/register", version=None), 400, 400000)
    assert_error(device.ask("PUT", f"{device.path}/register", content=b"{"), 400, 400000)
    assert_error(device.ask("GET", f"{device.path}/register"), 405, 405000)
    assert_error(device.ask("PUT", f"/{service.id_scope}/registrations/"), 405, 405000)
    assert_error(device.ask("PUT", f"{device.path}/nonsense"), 404, 404000)


def test_a_tpm_that_nobody_enrolled(service: Service, https: httpx.Client) -> None:
    """The order of contract dps.md 7.2: 404201 before any proof."""
    keys = {"endorsementKey": base64.b64encode(b"\x00" * 316).decode()}
    path = f"/{service.id_scope}/registrations/{unique('tpm')}/register?api-version={DEVICE_VERSION}"
    assert_error(https.put(path, json={"tpm": keys}), 404, 404201)


# ---------------------------------------------------------------- the service API


def test_etags(owner: Administrator, device_key: str) -> None:
    registration_id = unique("wire-etag")
    path = f"/enrollments/{registration_id}"
    assert_error(owner.ask("GET", path), 404, 404201)
    created = owner.enroll(registration_id, device_key)
    document = {**created, "provisioningStatus": "disabled"}
    assert_error(owner.ask("PUT", path, json=document), 409, 409201)
    assert_error(owner.ask("PUT", path, json=document, headers={"If-Match": "c3RhbGU="}), 412, 412000)
    etag = created["etag"]
    for spelling in ("{}", '"{}"', "*", '"*"'):
        answer = owner.ask("PUT", path, json=document, headers={"If-Match": spelling.format(etag)})
        assert answer.status_code == 200
        assert answer.json()["etag"] != etag
        etag = answer.json()["etag"]
    missing = {**document, "registrationId": f"{registration_id}-2"}
    assert_error(owner.ask("PUT", f"{path}-2", json=missing, headers={"If-Match": "*"}), 404, 404201)
    assert_error(owner.ask("DELETE", path, headers={"If-Match": "c3RhbGU="}), 412, 412000)
    deleted = owner.ask("DELETE", path, headers={"If-Match": etag})
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert_error(owner.ask("DELETE", path), 404, 404201)
    assert_error(owner.ask("GET", f"/enrollmentGroups/{registration_id}"), 404, 404202)
    assert_error(owner.ask("GET", f"/registrations/{registration_id}"), 404, 404203)


def test_queries(owner: Administrator, device_key: str) -> None:
    for _ in range(3):
        owner.enroll(unique("wire-query"), device_key)
    first = owner.ask("POST", "/enrollments/query", json={"query": "SELECT *"}, headers={"x-ms-max-item-count": "2"})
    assert (first.status_code, first.headers["x-ms-item-type"], len(first.json())) == (200, "Enrollment", 2)
    assert "registrationState" not in first.json()[0]
    assert "symmetricKey" not in first.json()[0]["attestation"]
    token = first.headers["x-ms-continuation"]
    following = owner.ask(
        "POST",
        "/Enrollments/Query/",
        json={"query": "select * from enrollments"},
        headers={"x-ms-continuation": token, "x-ms-max-item-count": "1000"},
    )
    assert following.status_code == 200
    # C# and Node take an empty value for "more": on the last page the header is absent.
    assert "x-ms-continuation" not in following.headers
    ids = [item["registrationId"] for item in first.json() + following.json()]
    assert len(ids) == len(set(ids))
    groups = owner.ask("POST", "/enrollmentgroups/query", json={"query": ""})
    assert (groups.status_code, groups.headers["x-ms-item-type"]) == (200, "EnrollmentGroup")
    states = owner.ask("POST", "/registrations/any-group/query")
    assert (states.status_code, states.headers["x-ms-item-type"], states.json()) == (200, "DeviceRegistration", [])
    assert_error(owner.ask("POST", "/enrollments/query", json={"query": "SELECT a"}), 400, 400005)


def test_documents(owner: Administrator, device_key: str) -> None:
    registration_id = unique("wire-doc")
    written = owner.enroll(registration_id, device_key)
    assert written["provisioningStatus"] == "enabled"
    assert MOMENT.fullmatch(written["createdDateTimeUtc"])
    assert written["attestation"]["symmetricKey"]["primaryKey"] == device_key
    read = owner.ask("GET", f"/ENROLLMENTS/{registration_id.upper()}/").json()
    assert read["attestation"] == {"type": "symmetricKey"}
    assert read["registrationState"] == {"registrationId": registration_id, "status": "unassigned"}
    mechanism = owner.ask("POST", f"/enrollments/{registration_id}/AttestationMechanism", content=b"{}")
    assert mechanism.json() == {
        "type": "symmetricKey",
        "symmetricKey": {"primaryKey": device_key, "secondaryKey": device_key},
    }
    generated = owner.ask(
        "PUT",
        f"/enrollments/{registration_id}-2",
        json={
            "registrationId": f"{registration_id}-2",
            "attestation": {"type": "SymmetricKey", "symmetricKey": None},
            "provisioningStatus": None,
            "deviceId": None,
            "iotHubs": None,
        },
    ).json()
    assert len(base64.b64decode(generated["attestation"]["symmetricKey"]["primaryKey"])) == 64
    assert generated["provisioningStatus"] is None
    assert not {"deviceId", "iotHubs", "registrationState"} & set(generated)


def test_refusals_of_administrators(service: Service, https: httpx.Client, owner: Administrator) -> None:
    assert_error(owner.ask("GET", "/enrollments/any", version=None), 400, 400000)
    assert_error(owner.ask("PATCH", "/enrollments/any"), 405, 405000)
    assert_error(owner.ask("GET", "/enrollments/any/nonsense"), 404, 404000)
    assert_error(owner.ask("PUT", "/enrollments/one", json={"registrationId": "two"}), 400, 400000)
    unsigned = f"/enrollments/any?api-version={SERVICE_VERSION}"
    assert_error(https.get(unsigned), 401, 401002)
    assert_error(https.get(unsigned, headers={"Authorization": "Bearer a.b.c"}), 401, 401002)
    key = base64.b64encode(os.urandom(32)).decode()
    for resource, name in ((service.host, "provisioningserviceowner"), (service.host, "nobody"), (service.host, "")):
        token = signed(resource, key, order="sr,sig,se,skn", name=name)
        body = assert_error(https.get(unsigned, headers={"Authorization": token}), 401, 401002)
        assert json.dumps(body).count(key) == 0


def test_the_hosts_name_in_every_spelling(service: Service, https: httpx.Client, owner: Administrator) -> None:
    host = service.host
    for resource in (host, quote(f"https://{host}", safe=""), f"{host}:443", f"https%3a%2f%2f{host}"):
        token = signed(resource, owner._key, order="sr,sig,skn,se", name="provisioningserviceowner")
        answer = https.get(f"/enrollments/any?api-version={SERVICE_VERSION}", headers={"Authorization": token})
        assert_error(answer, 404, 404201)
