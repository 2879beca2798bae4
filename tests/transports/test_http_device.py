"""Devices over HTTPS: the envelope of contract dps.md 3, by the requests the official clients send."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from homeport.dps.frontends.http_device import DeviceFrontEnd
from homeport.dps.model import ProvisioningStatus, SigningCertificates, TpmAttestation
from homeport.security.tpm import name_of, parse_blob
from tests.transports.serving import Server, serving
from tests.transports.world import KEY, SCOPE, World, new_world, token
from tests.unit.dps.test_attestation import EK, EK_KEY, SRK, SRK_KEY
from tests.unit.security.certificates import issue
from tests.unit.security.tpm_device import open_blob

VERSION = "?api-version=2019-03-31"
REGISTER = f"/{SCOPE}/registrations/dev-1/register{VERSION}"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world() as fresh:
        yield fresh


@pytest.fixture
async def server(world: World) -> AsyncIterator[Server]:
    async with serving(DeviceFrontEnd(world.responder)) as running:
        yield running


def authorized(registration_id: str = "dev-1", key: bytes = KEY) -> dict[str, str]:
    return {"Authorization": token(registration_id, key)}


async def test_register_answers_202_with_the_final_result(world: World, server: Server) -> None:
    await world.enroll("dev-1")
    answer = await server.ask("PUT", REGISTER, {"registrationId": "dev-1"}, authorized())
    assert answer.status == 202
    document = answer.document
    state = document["registrationState"]
    assert document["status"] == state["status"] == "assigned"
    assert document["operationId"].startswith("5.")
    assert (state["assignedHub"], state["deviceId"], state["substatus"]) == (
        "alpha.example",
        "dev-1",
        "initialAssignment",
    )
    assert state["createdDateTimeUtc"] == "2024-06-01T12:00:00.0000000Z"
    assert json.loads(base64.b64decode(state["etag"]))
    assert "payload" not in state
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["retry-after"] == "3"
    assert answer.headers["location"].endswith(f"/{SCOPE}/registrations/dev-1/register")
    assert "max-age" in answer.headers["strict-transport-security"]
    found = await world.database.attempts.find(answer.headers["x-ms-request-id"])
    assert found is not None
    assert (found.transport, found.remote_address) == ("https", "192.0.2.7")


async def test_the_operation_is_polled_with_200_and_a_body_on_get_is_read(world: World, server: Server) -> None:
    await world.enroll("dev-1")
    first = (await server.ask("PUT", REGISTER, {}, authorized())).document
    path = f"/{SCOPE}/registrations/dev-1/operations/{first['operationId']}{VERSION}"
    for _ in range(2):
        polled = await server.ask("GET", path, {}, authorized())
        assert polled.status == 200
        assert polled.document == first
        assert "retry-after" not in polled.headers


@pytest.mark.parametrize(
    "spelling", ["a:b-1", "a%3ab-1", "a%3Ab-1", "A%3aB-1"], ids=["raw", "lower", "upper", "other case"]
)
async def test_ids_arrive_in_every_clients_encoding(world: World, server: Server, spelling: str) -> None:
    await world.enroll("a:b-1")
    answer = await server.ask(
        "PUT", f"/{SCOPE.lower()}/registrations/{spelling}/register/{VERSION}", None, authorized("a:b-1")
    )
    assert answer.status == 202


async def test_the_status_lookup_is_flat(world: World, server: Server) -> None:
    await world.enroll("dev-1")
    path = f"/{SCOPE}/registrations/dev-1{VERSION}"
    assert (await server.ask("POST", path, {}, authorized())).status == 404
    await server.ask("PUT", REGISTER, {}, authorized())
    answer = await server.ask("POST", path, {"registrationId": "DEV-1"}, authorized())
    assert answer.status == 200
    assert answer.document["assignedHub"] == "alpha.example"
    assert "operationId" not in answer.document


async def test_a_slow_hub_is_answered_with_assigning_and_the_registration_id(world: World, server: Server) -> None:
    world.engine._patience = 0.01
    world.hub("alpha.example").delay = 0.2
    await world.enroll("dev-1")
    answer = await server.ask("PUT", REGISTER, {}, authorized())
    assert answer.status == 202
    operation = answer.document["operationId"]
    assert answer.document == {
        "operationId": operation,
        "status": "assigning",
        "registrationState": {"registrationId": "dev-1", "status": "assigning"},
    }
    poll = await server.ask("GET", f"/{SCOPE}/registrations/dev-1/operations/{operation}{VERSION}", None, authorized())
    assert poll.status == 202
    assert 2 <= int(poll.headers["retry-after"]) <= 5


async def test_failed_and_disabled_are_answers_not_errors(world: World, server: Server) -> None:
    await world.enroll("dev-1", iot_hubs=("gone.example",))
    answer = await server.ask("PUT", REGISTER, {}, authorized())
    assert answer.status == 202
    assert answer.document["registrationState"]["errorCode"] == 400208
    assert "gone.example" in answer.document["registrationState"]["errorMessage"]
    await world.enroll("dev-2", provisioning_status=ProvisioningStatus.DISABLED)
    answer = await server.ask("PUT", f"/{SCOPE}/registrations/dev-2/register{VERSION}", {}, authorized("dev-2"))
    assert answer.document["status"] == answer.document["registrationState"]["status"] == "disabled"


async def test_a_chain_comes_in_through_a_group(world: World, server: Server) -> None:
    root = issue("Root")
    leaf = root.leaf("dev-1")
    await world.enroll_group("fleet", SigningCertificates(primary=root.certificate.der))
    server.chain = (leaf.der,)
    answer = await server.ask("PUT", REGISTER, {"registrationId": "dev-1", "payload": None})
    assert answer.document["registrationState"]["x509"] == {"enrollmentGroupId": "fleet"}


async def test_a_tpm_registers_in_two_requests(world: World, server: Server) -> None:
    await world.enroll("dev-1", TpmAttestation(endorsement_key=EK))
    body = {
        "registrationId": "dev-1",
        "tpm": {"endorsementKey": base64.b64encode(EK).decode(), "storageRootKey": base64.b64encode(SRK).decode()},
    }
    challenge = await server.ask("PUT", REGISTER, body)
    assert challenge.status == 401
    assert set(challenge.document) == {
        "message",
        "authenticationKey",
        "unencryptedAuthenticationKey",
        "keyName",
    }
    key = _unwrap(challenge.document["authenticationKey"])
    final = await server.ask("PUT", REGISTER, {"registrationId": "dev-1"}, authorized(key=key))
    assert final.status == 202
    hub_key = _unwrap(final.document["registrationState"]["tpm"]["authenticationKey"])
    credential = world.hub("alpha.example").specs["dev-1"].credential
    assert getattr(credential, "primary_key", None) == hub_key
    path = f"/{SCOPE}/registrations/dev-1/operations/{final.document['operationId']}{VERSION}"
    polled = await server.ask("GET", path, {}, authorized(key=key))
    assert polled.document == final.document, "every poll has the same hub key"
    world.clock.advance(hours=2)
    late = {"Authorization": token("dev-1", key, now=world.clock.now() + timedelta(0))}
    assert (await server.ask("GET", path, {}, late)).status == 401, "the challenge is forgotten"


def _unwrap(text: str) -> bytes:
    return open_blob(parse_blob(base64.b64decode(text)), EK_KEY, SRK_KEY, name_of(SRK)).key


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "code"),
    [
        ("PUT", f"/{SCOPE}/registrations/dev-1/register", b"", 400, 400000),
        ("PUT", f"/{SCOPE}/registrations/dev-1/register?api-version=latest", b"", 400, 400000),
        ("PUT", f"/{SCOPE}/registrations/dev_1_/register{VERSION}", b"", 400, 400004),
        ("PUT", f"/{SCOPE}/registrations/{'x' * 129}/register{VERSION}", b"", 400, 400004),
        ("PUT", f"/{SCOPE}/registrations/d%C3%A9v/register{VERSION}", b"", 400, 400004),
        ("PUT", REGISTER, b'{"registrationId":"dev-2"}', 400, 400004),
        ("PUT", REGISTER, b"{", 400, 400000),
        ("PUT", REGISTER, b'{"registrationId":7}', 400, 400000),
        ("PUT", REGISTER, b'{"payload":' + b"[" * 5000 + b"]" * 5000 + b"}", 400, 400000),
        ("PUT", REGISTER, b'{"payload":"\xff"}', 400, 400000),
        ("PUT", REGISTER, b'{"tpm":{"endorsementKey":"%%%"}}', 400, 400000),
        ("PUT", REGISTER, b" " * (96 * 1024 + 1), 413, 413000),
        ("PUT", f"/{SCOPE}/registrations/dev-1/register?api-version=2026-11-01", b'{"csr":"MII="}', 400, 400000),
        ("PUT", f"/0neOTHER/registrations/dev-1/register{VERSION}", b"", 401, 401000),
        ("PUT", f"/{SCOPE}/registrations/dev-9/register{VERSION}", b"", 401, 401002),
        ("GET", f"/{SCOPE}/registrations/dev-1/operations/5.0.0{VERSION}", None, 404, 404000),
        ("GET", REGISTER, None, 405, 405000),
        ("PUT", f"/{SCOPE}/registrations/{VERSION}", b"", 405, 405000),
        ("POST", f"/{SCOPE}/registrations/dev-1/requestSoftwareUpdates{VERSION}", b"", 404, 404000),
        ("PUT", f"{REGISTER}&{'&'.join(f'a{n}=1' for n in range(50))}", b"", 400, 400000),
    ],
)
async def test_bad_requests_get_the_contracts_error_body(  # the columns of the table
    world: World, server: Server, method: str, target: str, body: bytes | None, status: int, code: int
) -> None:
    await world.enroll("dev-1")
    answer = await server.ask(method, target, body, authorized())
    assert answer.status == status
    document = answer.document
    assert document["errorCode"] == code
    assert document["trackingId"] == answer.headers["x-ms-request-id"]
    assert document["timestampUtc"].endswith("0Z")
    assert document["message"]
    assert answer.headers["x-ms-error-code"] == str(code)


async def test_what_a_device_said_wrongly_is_on_record_too(world: World, server: Server) -> None:
    await world.enroll("dev-1")
    answer = await server.ask("PUT", REGISTER, b'{"registrationId":"dev-2"}', authorized())
    found = await world.database.attempts.find(answer.headers["x-ms-request-id"])
    assert found is not None
    assert found.code == 400004
    assert "another one" in found.reason


async def test_a_fault_tells_nothing_but_its_tracking_id(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(world.database.enrollments, "get_individual", broken)
    answer = await server.ask("PUT", REGISTER, {}, authorized())
    assert answer.status == 500
    assert answer.document["errorCode"] == 500000
    assert b"secret detail" not in answer.body


def test_the_address_space_is_the_devices_alone(world: World) -> None:
    front_end = DeviceFrontEnd(world.responder)
    owned = [f"/{SCOPE}/registrations/x", f"/{SCOPE}/Registrations", "/other/registrations/x/y/z"]
    foreign = ["/", "/registrations/registrations/query", "/enrollments/registrations", "/homeport/registrations", "/x"]
    assert all(front_end.owns("PUT", path) for path in owned)
    assert not any(front_end.owns("PUT", path) for path in foreign)
