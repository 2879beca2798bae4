"""Devices over AMQP: SASL, links and messages of contract dps.md 5, as the official clients have them."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from homeport.dps.frontends.amqp import CREDIT, MAX_LINKS, SESSION_LIFE, DeviceAmqpFrontEnd
from homeport.dps.model import SigningCertificates, TpmAttestation
from homeport.errors import Code, HomeportError
from homeport.net.amqp_handlers import AmqpOpening
from homeport.net.amqp_server import AmqpServer
from homeport.net.sites import Site, Sites
from homeport.proto.amqp import (
    Accepted,
    AmqpValue,
    Attach,
    Attached,
    Begin,
    Closed,
    Data,
    Delivery,
    Described,
    Detached,
    Disposed,
    Error,
    Flow,
    Int,
    Link,
    LinkRole,
    Message,
    Open,
    Opened,
    Properties,
    Rejected,
    SaslChallenge,
    SaslCode,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    SaslResponse,
    Source,
    Target,
    ULong,
    decode_message,
)
from homeport.security.sas import derive_device_key
from homeport.security.tpm import name_of, parse_blob
from homeport.values import replace
from tests.amqp_client import HERE, Client, MemoryStream
from tests.transports.world import GROUP_KEY, KEY, OTHER_KEY, SCOPE, World, new_world, token
from tests.unit.dps.test_attestation import EK, EK_KEY, SRK, SRK_KEY
from tests.unit.security.certificates import issue
from tests.unit.security.tpm_device import open_blob

ADDRESS = f"{SCOPE}/registrations/dev-1"
PROPERTIES = {"com.microsoft:api-version": "2019-03-31"}
JAVA = PROPERTIES | {"com.microsoft:client-version": "com.microsoft.azure.sdk.iot.dps/1.0"}
REGISTER = {"iotdps-operation-type": "iotdps-register"}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world() as fresh:
        await fresh.enroll("dev-1")
        yield fresh


@asynccontextmanager
async def client(
    world: World,
    *,
    mechanisms: tuple[str, ...] = (),
    chain: tuple[bytes, ...] = (),
    others: Sequence[Any] = (),
    websocket: bool = False,
    piece: int | None = None,
) -> AsyncIterator[Client]:
    """Connect to a server that serves the world's devices, and perhaps other front-ends under the same name."""
    site = Site(names=frozenset({"127.0.0.1"}), amqp=(DeviceAmqpFrontEnd(world.responder, world.clock), *others))
    server = AmqpServer(Sites([site]), world.clock)
    peer = replace(HERE, chain=chain, transport="websocket" if websocket else "tls")
    ours, theirs = MemoryStream.pair(peer, piece)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(ours))
        yield Client.over(theirs, mechanisms=mechanisms)
        await theirs.close()


async def plain(device: Client, password: str, address: str = ADDRESS) -> SaslCode:
    return await device.sasl("PLAIN", b"\0" + address.encode() + b"\0" + password.encode())


async def links(
    device: Client,
    address: str = ADDRESS,
    properties: dict[str, Any] | None = None,
) -> Link:
    """Open everything as C#, Node and C do: the receiver first, then the sender; return the sender."""
    await device.open()
    await device.begin()
    device.receiver(address, properties=properties or PROPERTIES)
    await device.attached()
    link = device.sender(address, properties=properties or PROPERTIES)
    await device.attached()
    return link


async def registered(device: Client, link: Link, body: Message | None = None) -> dict[str, Any]:
    device.message(link, body or Message(application_properties=REGISTER, body=Data((b"{}",))))
    assert await device.outcome() == Accepted()
    return document(await device.received())


def document(message: Message) -> dict[str, Any]:
    assert message.data is not None
    parsed: dict[str, Any] = json.loads(message.data)
    return parsed


async def refused(device: Client, link: Link, message: Message) -> tuple[Error, dict[str, Any]]:
    """Send what is rejected; return the error and the JSON in its description."""
    device.message(link, message)
    outcome = await device.outcome()
    assert isinstance(outcome, Rejected), outcome
    assert outcome.error is not None
    return outcome.error, json.loads(outcome.error.description or "")


# ---------------------------------------------------------------- registering


@pytest.mark.parametrize("websocket", [False, True], ids=["amqp", "amqp-ws"])
async def test_a_key_registers_and_polls(world: World, websocket: bool) -> None:
    async with client(world, mechanisms=("PLAIN",), websocket=websocket) as device:
        assert await plain(device, token("dev-1")) is SaslCode.OK
        link = await links(device)
        assert link.credit == CREDIT
        answer = await registered(device, link)
        assert answer["status"] == "assigned"
        assert answer["registrationState"]["assignedHub"] == "alpha.example"
        polled = await registered(
            device,
            link,
            Message(
                application_properties={
                    "iotdps-operation-type": "iotdps-get-operationstatus",
                    "iotdps-operation-id": answer["operationId"],
                }
            ),
        )
        assert polled["operationId"] == answer["operationId"]
        await device.leave()
    (attempt,) = await world.database.attempts.latest("dev-1", limit=9)
    assert attempt.transport == ("amqp-ws" if websocket else "amqp")
    assert attempt.outcome == "assigned"


@pytest.mark.parametrize("piece", [1, 7])
async def test_however_the_stream_is_cut(world: World, piece: int) -> None:
    async with client(world, mechanisms=("PLAIN",), piece=piece) as device:
        assert await plain(device, token("dev-1")) is SaslCode.OK
        assert (await registered(device, await links(device)))["status"] == "assigned"
        await device.leave()


async def test_a_group_key(world: World) -> None:
    await world.enroll_group("fleet")
    key = derive_device_key(GROUP_KEY, "dev-9")
    address = f"{SCOPE}/registrations/dev-9"
    async with client(world, mechanisms=("PLAIN",)) as device:
        assert await plain(device, token("dev-9", key), address) is SaslCode.OK
        answer = await registered(device, await links(device, address))
        assert answer["registrationState"]["symmetricKey"] == {"enrollmentGroupId": "fleet"}
        await device.leave()


async def test_a_certificate_needs_no_sasl(world: World) -> None:
    root = issue("root")
    leaf = root.leaf("dev-2")
    await world.enroll_group("certified", SigningCertificates(primary=root.certificate.der))
    address = f"{SCOPE}/registrations/dev-2"
    async with client(world, chain=(leaf.der,)) as device:
        answer = await registered(device, await links(device, address))
        assert answer["registrationState"]["x509"] == {"enrollmentGroupId": "certified"}
        await device.leave()


@pytest.mark.parametrize(
    "body",
    [
        Message(application_properties=REGISTER, body=Data((b'{"registrationId":', b'"dev-1"}'))),
        Message(application_properties=REGISTER, body=Data((b"",))),
        Message(application_properties=REGISTER, body=AmqpValue('{"payload":{"a":1}}')),
        Message(application_properties=REGISTER, body=AmqpValue("")),
        Message(application_properties=REGISTER | {"iotdps-forceRegistration": False}),
    ],
)
async def test_every_kind_of_body(world: World, body: Message) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        answer = await registered(device, await links(device), body)
        assert answer["status"] == "assigned"
        await device.leave()


@pytest.mark.parametrize("body", [None, AmqpValue(""), AmqpValue("iotdps-get-operationstatus"), Data((b"{}",))])
async def test_polls_of_every_sdk(world: World, body: Any) -> None:
    """Java sends no body section, Node an empty string, C# its own name for the call, C the registration."""
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        link = await links(device)
        operation = (await registered(device, link))["operationId"]
        asked = {"iotdps-operation-type": "iotdps-get-operationstatus", "iotdps-operation-id": operation}
        polled = await registered(device, link, Message(application_properties=asked, body=body))
        assert polled["status"] == "assigned"
        await device.leave()


@pytest.mark.parametrize("correlation_id", ["text", ULong(7), UUID(int=5), b"\x01\x02", None])
async def test_the_correlation_id_comes_back_with_its_type(world: World, correlation_id: Any) -> None:
    properties = None if correlation_id is None else Properties(correlation_id=correlation_id)
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        link = await links(device)
        device.message(link, Message(properties=properties, application_properties=REGISTER))
        answer = await device.until(Delivery)
        assert answer.settled
        message = decode_message(answer.data)
        if correlation_id is None:
            assert message.properties is None
        else:
            assert message.properties is not None
            echoed = message.properties.correlation_id
            assert (type(echoed), echoed) == (type(correlation_id), correlation_id)
        assert isinstance(message.body, Data)
        await device.leave()


async def test_waiting_is_told_in_both_spellings(world: World) -> None:
    world.hub("alpha.example").delay = 0.3
    world.engine._patience = 0.01
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        link = await links(device)
        device.message(link, Message(application_properties=REGISTER))
        answer = await device.received()
        assert document(answer)["status"] == "assigning"
        told = answer.application_properties or {}
        assert {name: (type(value), value) for name, value in told.items()} == {
            "retry-after": (Int, 3),
            "Retry-After": (Int, 3),
        }
        await device.leave()


async def test_answers_are_ascii(world: World) -> None:
    await world.enroll("dev-2", iot_hubs=("münchen.example",))
    address = f"{SCOPE}/registrations/dev-2"
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-2"), address)
        link = await links(device, address)
        device.message(link, Message(application_properties=REGISTER))
        answer = await device.received()
        assert answer.data is not None
        assert answer.data.isascii()
        assert "münchen" in document(answer)["registrationState"]["errorMessage"]
        await device.leave()


# ---------------------------------------------------------------- the manners of the SDKs


@pytest.mark.parametrize(
    "address",
    [
        ADDRESS,
        f"/{ADDRESS}",
        f"amqps://dps.example/{ADDRESS}",
        f"amqps://dps.example:5671/{ADDRESS}",
        f"{SCOPE.upper()}/Registrations/DEV-1",
    ],
)
async def test_addresses_of_every_sdk(world: World, address: str) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        link = await links(device, address)
        assert (await registered(device, link))["status"] == "assigned"
        await device.leave()


async def test_the_c_client(world: World) -> None:
    """Frames without end, placeholders for termini, the receiver first, no correlation id."""
    address = f"amqps://dps.example/{ADDRESS}"
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        opened = await device.open("dps.example")
        assert opened.container_id
        await device.begin()
        receiving = device.engine.new_link(device.session, "recv_link", LinkRole.RECEIVER)
        device.send(
            Attach(
                link=receiving,
                source=Source(address=address),
                target=Target(address="local_endpoint"),
                properties=PROPERTIES,
                max_message_size=65536,
            ),
            Flow(link=receiving, credit=100),
        )
        answer = await device.attached()
        assert (answer.source and answer.source.address) == address
        sending = device.engine.new_link(device.session, "sender_link", LinkRole.SENDER)
        device.send(
            Attach(
                link=sending,
                source=Source(address="remote_endpoint"),
                target=Target(address=address),
                properties=PROPERTIES,
            )
        )
        answer = await device.attached()
        assert (answer.source and answer.source.address) == "remote_endpoint"
        body = Data((b'{"registrationId":"dev-1"}',))
        found = await registered(device, sending, Message(application_properties=REGISTER, body=body))
        assert found["status"] == "assigned"
        await device.leave()


async def test_java_pipelines_everything_and_is_given_a_pause(world: World) -> None:
    root = issue("root")
    leaf = root.leaf("dev-2")
    await world.enroll_group("certified", SigningCertificates(primary=root.certificate.der))
    address = f"/{SCOPE}/registrations/dev-2"
    async with client(world, chain=(leaf.der,)) as device:
        device.engine.send(Open(hostname="dps.example:5671"))
        device.session = device.engine.new_session()
        device.engine.send(Begin(session=device.session))
        device.receiver(address, properties=JAVA)
        link = device.sender(address, properties=JAVA)
        await device.next(Opened)
        await device.attached()
        # Credit came with, or before, what tells Java that it may send.
        assert link.credit == CREDIT or (await device.attached()).link is link
        before = world.clock.now()
        device.message(link, Message(application_properties=REGISTER, body=Data((b"{}",))))
        outcome = await device.until(Disposed)
        assert outcome.state == Accepted()
        assert document(await device.received())["status"] == "assigned"
        assert (world.clock.now() - before).total_seconds() == pytest.approx(0.05)
        await device.leave()
    attempt = (await world.database.attempts.latest("dev-2", limit=1))[0]
    assert attempt.client_version == "com.microsoft.azure.sdk.iot.dps/1.0"


async def test_only_java_is_made_to_wait(world: World) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        link = await links(device, properties=PROPERTIES | {"com.microsoft:client-version": "azure-iot/1.9"})
        before = world.clock.now()
        await registered(device, link)
        assert world.clock.now() == before
        await device.leave()


async def test_an_answer_waits_for_the_clients_credit(world: World) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        await device.open()
        await device.begin()
        receiving = device.receiver(ADDRESS, credit=0, properties=PROPERTIES)
        await device.attached()
        link = device.sender(ADDRESS, properties=PROPERTIES)
        await device.attached()
        device.message(link, Message(application_properties=REGISTER))
        assert await device.outcome() == Accepted()
        device.send(Flow(link=receiving, credit=1))
        assert document(await device.received())["status"] == "assigned"
        await device.leave()


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("password", "reason"),
    [(token("dev-1", b"x" * 32), "signed with neither"), ("nonsense", "token"), (token("dev-2"), "is for")],
)
async def test_a_bad_token_is_outcome_1_and_on_record(world: World, password: str, reason: str) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await device.next(SaslMechanisms)
        said = b"\0" + ADDRESS.encode() + b"\0" + password.encode()
        device.send(SaslInit(mechanism="PLAIN", initial_response=said))
        outcome = await device.next(SaslOutcome)
        assert outcome.code is SaslCode.AUTH
        assert await device.at_end()
    (attempt,) = await world.database.attempts.latest("dev-1", limit=9)
    # For those who look: the error body, in a frame that C takes.
    body = json.loads(outcome.additional_data or b"")
    assert (body["errorCode"], body["trackingId"]) == (401002, attempt.tracking_id)
    assert len(outcome.additional_data or b"") < 450
    assert (attempt.code, attempt.transport) == (401002, "amqp")
    assert reason in attempt.reason


@pytest.mark.parametrize("said", [b"", b"x", b"\0a\0b", b"\0" + ADDRESS.encode(), b"\0" + ADDRESS.encode() + b"*\0t"])
async def test_malformed_plain_is_outcome_1(world: World, said: bytes) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        assert await device.sasl("PLAIN", said) is SaslCode.AUTH
        assert await device.at_end()
    assert await world.database.attempts.latest("dev-1", limit=9) == []


@pytest.mark.parametrize("kind", ["stranger", "no certificate", "unreadable", "no name"])
async def test_a_refused_certificate_gets_open_and_close(world: World, kind: str) -> None:
    chain = {
        "stranger": (issue("root").leaf("dev-1").der,),
        "no certificate": (),
        "unreadable": (b"no certificate",),
        "no name": (issue("root").leaf("not a registration id!").der,),
    }[kind]
    async with client(world, chain=chain) as device:
        device.send(Open(hostname="dps.example"))
        opened = await device.next(Opened)
        closed = await device.next(Closed)
        assert await device.at_end()
    assert closed.error is not None
    assert closed.error.condition == "amqp:unauthorized-access"
    body = json.loads(closed.error.description or "")
    assert body["errorCode"] == 401002
    told = (opened.properties or {})["com.microsoft:open-error"]
    assert isinstance(told, Described)
    assert told.value[:2] == ["amqp:unauthorized-access", closed.error.description]
    attempts = await world.database.attempts.latest("dev-1", limit=9)
    assert len(attempts) == (kind == "stranger")


@pytest.mark.parametrize(
    ("address", "condition", "code"),
    [
        ("$cbs", "amqp:not-found", 404000),
        ("", "amqp:not-found", 404000),
        (None, "amqp:not-found", 404000),
        ("/devices/dev-1/messages/events", "amqp:not-found", 404000),
        (f"{SCOPE}/registrations/dev-2", "amqp:unauthorized-access", 401002),
        ("other/registrations/dev-1", "amqp:unauthorized-access", 401002),
    ],
)
@pytest.mark.parametrize("side", ["sender", "receiver"])
async def test_links_elsewhere_are_refused(
    world: World, address: str | None, condition: str, code: int, side: str
) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        await device.open()
        await device.begin()
        getattr(device, side)(address, properties=PROPERTIES)
        await device.until(Attached)
        detached = await device.until(Detached)
        assert detached.error is not None
        assert detached.error.condition == condition
        assert json.loads(detached.error.description or "")["errorCode"] == code
        await device.leave()


@pytest.mark.parametrize(
    ("message", "condition", "code"),
    [
        (Message(), "com.microsoft:argument-error", 400000),
        (Message(application_properties={"iotdps-operation-type": 5}), "com.microsoft:argument-error", 400000),
        (Message(application_properties=REGISTER, body=Data((b"{",))), "com.microsoft:argument-error", 400000),
        (
            Message(application_properties=REGISTER, body=Data((b'{"registrationId":"dev-2"}',))),
            "com.microsoft:argument-error",
            400004,
        ),
        (
            Message(application_properties={"iotdps-operation-type": "iotdps-get-operationstatus"}),
            "amqp:not-found",
            404000,
        ),
        (
            Message(application_properties={"iotdps-operation-type": "iotdps-get-registration"}),
            "amqp:not-found",
            404203,
        ),
    ],
)
async def test_rejected_requests(world: World, message: Message, condition: str, code: int) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        link = await links(device)
        error, body = await refused(device, link, message)
        assert (error.condition, body["errorCode"]) == (condition, code)
        # Whoever was refused may try again on the same connection.
        assert (await registered(device, link))["status"] == "assigned"
        await device.leave()


async def test_the_record_can_be_looked_up(world: World) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        link = await links(device)
        await registered(device, link)
        asked = Message(application_properties={"iotdps-operation-type": "iotdps-get-registration"})
        assert (await registered(device, link, asked))["assignedHub"] == "alpha.example"
        await device.leave()


async def test_a_missing_api_version_is_a_bad_request(world: World) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        link = await links(device, properties={"other": 1})
        _, body = await refused(device, link, Message(application_properties=REGISTER))
        assert "api-version" in body["message"]
        await device.leave()


async def test_each_request_is_judged_anew(world: World) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1", life=600))
        link = await links(device)
        world.clock.advance(minutes=30)
        error, body = await refused(device, link, Message(application_properties=REGISTER))
        assert (error.condition, body["errorCode"]) == ("amqp:unauthorized-access", 401002)
        await device.leave()


async def test_without_a_link_back_nothing_is_answered(world: World) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        await device.open()
        await device.begin()
        link = device.sender(ADDRESS, properties=PROPERTIES)
        await device.attached()
        error, _ = await refused(device, link, Message(application_properties=REGISTER))
        assert error.condition == "com.microsoft:argument-error"
        await device.leave()
    assert await world.database.registrations.get("dev-1") is None


async def test_an_answer_that_the_client_cannot_take(world: World) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        await device.open()
        await device.begin()
        device.receiver(ADDRESS, properties=PROPERTIES, max_message_size=100)
        await device.attached()
        link = device.sender(ADDRESS, properties=PROPERTIES)
        await device.attached()
        device.message(link, Message(application_properties=REGISTER))
        detached = await device.until(Detached)
        assert detached.error is not None
        assert detached.error.condition == "amqp:link:message-size-exceeded"
        await device.leave()


async def test_throttling_is_told_in_both_spellings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def throttle(*_: object, **__: object) -> None:
        raise HomeportError(Code.THROTTLED, "Too many requests.", retry_after=7)

    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        link = await links(device)
        monkeypatch.setattr(world.engine, "register", throttle)
        error, body = await refused(device, link, Message(application_properties=REGISTER))
        assert (error.condition, body["errorCode"]) == ("com.microsoft:device-container-throttled", 429001)
        assert error.info == {"retry-after": 7, "Retry-After": 7}
        await device.leave()


async def test_links_are_bounded(world: World) -> None:
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1"))
        await device.open()
        for _ in range(MAX_LINKS):
            await device.begin()
            device.sender(ADDRESS)
            await device.attached()
        await device.begin()
        device.sender(ADDRESS)
        await device.until(Attached)
        detached = await device.until(Detached)
        assert detached.error is not None
        assert detached.error.condition == "com.microsoft:device-container-throttled"
        await device.leave()


# ---------------------------------------------------------------- TPM

HELLO = b"\0" + SCOPE.encode() + b"\0dev-1\0" + EK


async def challenged(device: Client, hello: bytes = HELLO, srk: bytes = SRK) -> bytes:
    """Go through SASL as far as the blob, byte for byte."""
    assert (await device.next(SaslMechanisms)).mechanisms == ("PLAIN", "TPM")
    device.send(SaslInit(mechanism="TPM", initial_response=hello))
    assert (await device.next(SaslChallenge)).challenge == b"\0"
    device.send(SaslResponse(response=b"\0" + srk))
    first = (await device.next(SaslChallenge)).challenge
    device.send(SaslResponse(response=b"\0"))
    last = (await device.next(SaslChallenge)).challenge
    assert (first[0], last[0]) == (0x80, 0xC1)
    assert len(first) <= 471
    assert len(last) <= 471
    return first[1:] + last[1:]


def opened_key(blob: bytes) -> bytes:
    return open_blob(parse_blob(blob), EK_KEY, SRK_KEY, name_of(SRK)).key


async def proven(device: Client, blob: bytes, **options: Any) -> SaslCode:
    device.send(SaslResponse(response=b"\0" + token("dev-1", opened_key(blob), **options).encode()))
    return (await device.next(SaslOutcome)).code


@pytest.fixture
async def tpm_world() -> AsyncIterator[World]:
    async with new_world() as fresh:
        await fresh.enroll("dev-1", TpmAttestation(endorsement_key=EK))
        yield fresh


@pytest.mark.parametrize("piece", [None, 1], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("repeats", [False, True], ids=["C# and Java", "C and Node"])
async def test_a_tpm(tpm_world: World, repeats: bool, piece: int | None) -> None:
    keys = {"endorsementKey": base64.b64encode(EK).decode(), "storageRootKey": base64.b64encode(SRK).decode()}
    body = json.dumps({"registrationId": "dev-1", "tpm": keys} if repeats else {}).encode()
    async with client(tpm_world, mechanisms=("TPM",), piece=piece) as device:
        assert await proven(device, await challenged(device)) is SaslCode.OK
        link = await links(device)
        answer = await registered(device, link, Message(application_properties=REGISTER, body=Data((body,))))
        asked = {"iotdps-operation-type": "iotdps-get-operationstatus", "iotdps-operation-id": answer["operationId"]}
        polled = await registered(device, link, Message(application_properties=asked))
        await device.leave()
    keys_told = [
        opened_key(base64.b64decode(each["registrationState"]["tpm"]["authenticationKey"])) for each in (answer, polled)
    ]
    credential = tpm_world.hub("alpha.example").specs["dev-1"].credential
    assert keys_told == [credential.primary_key] * 2  # type: ignore[union-attr]  # a TPM's device has keys
    attempts = await tpm_world.database.attempts.latest("dev-1", limit=9)
    assert [attempt.outcome for attempt in attempts] == ["assigned", "challenged"]
    assert {attempt.transport for attempt in attempts} == {"amqp"}


async def test_the_key_of_the_challenge_lives_with_its_connection_only(tpm_world: World) -> None:
    async with client(tpm_world, mechanisms=("TPM",)) as first, client(tpm_world, mechanisms=("TPM",)) as second:
        blob = await challenged(first)
        other = await challenged(second)
        assert blob != other
        # A later challenge does not disturb the one before; and neither is any good elsewhere.
        assert await proven(first, blob) is SaslCode.OK
        assert await proven(second, blob) is SaslCode.AUTH
        assert (await registered(first, await links(first)))["status"] == "assigned"
        await first.leave()
    assert await tpm_world.database.challenges.get("dev-1", now=tpm_world.clock.now()) is None


async def test_an_ek_in_several_frames(tpm_world: World) -> None:
    """C says what exceeds a frame in segments; each but the last is answered by an empty challenge."""
    whole = HELLO[1:]
    async with client(tpm_world, mechanisms=("TPM",)) as device:
        await device.next(SaslMechanisms)
        device.send(SaslInit(mechanism="TPM", initial_response=b"\x80" + whole[:200]))
        assert (await device.next(SaslChallenge)).challenge == b"\0"
        device.send(SaslResponse(response=b"\xc1" + whole[200:]))
        assert (await device.next(SaslChallenge)).challenge == b"\0"
        device.send(SaslResponse(response=b"\xd0" + SRK))
        first = (await device.next(SaslChallenge)).challenge
        device.send(SaslResponse(response=b"\0"))
        last = (await device.next(SaslChallenge)).challenge
        assert await proven(device, first[1:] + last[1:]) is SaslCode.OK
        await device.open()
        await device.leave()


@pytest.mark.parametrize("enrolled", ["another TPM", "nobody"])
async def test_a_tpm_that_is_not_enrolled_hears_it_as_a_rejection(enrolled: str) -> None:
    async with new_world() as fresh:
        if enrolled == "another TPM":
            await fresh.enroll("dev-1", TpmAttestation(endorsement_key=EK[:-1] + bytes([EK[-1] ^ 1])))
        async with client(fresh, mechanisms=("TPM",)) as device:
            assert await proven(device, await challenged(device)) is SaslCode.OK
            link = await links(device)
            error, body = await refused(device, link, Message(application_properties=REGISTER))
            await device.leave()
    if enrolled == "nobody":
        assert (error.condition, body["errorCode"]) == ("amqp:not-found", 404201)
    else:
        assert (error.condition, body["errorCode"]) == ("amqp:unauthorized-access", 401002)


async def test_a_token_that_the_tpm_did_not_sign(tpm_world: World) -> None:
    for wrong in (token("dev-1", KEY), "nonsense", "", "ä"):
        async with client(tpm_world, mechanisms=("TPM",)) as device:
            await challenged(device)
            device.send(SaslResponse(response=b"\0" + wrong.encode()))
            assert (await device.next(SaslOutcome)).code is SaslCode.AUTH
            assert await device.at_end()
    attempts = await tpm_world.database.attempts.latest("dev-1", limit=99)
    assert "not signed" in attempts[-2].reason


async def test_an_expired_token(tpm_world: World) -> None:
    async with client(tpm_world, mechanisms=("TPM",)) as device:
        assert await proven(device, await challenged(device), life=-3600) is SaslCode.AUTH


async def test_the_tpm_of_the_body_must_be_that_of_the_connection(tpm_world: World) -> None:
    keys = {"endorsementKey": base64.b64encode(SRK).decode()}
    async with client(tpm_world, mechanisms=("TPM",)) as device:
        await proven(device, await challenged(device))
        link = await links(device)
        body = Data((json.dumps({"tpm": keys}).encode(),))
        _, told = await refused(device, link, Message(application_properties=REGISTER, body=body))
        assert told["errorCode"] == 400000
        await device.leave()


async def test_a_tpm_in_the_body_of_another_connection_is_no_challenge(tpm_world: World) -> None:
    await tpm_world.enroll("dev-2", TpmAttestation(endorsement_key=EK))
    root = issue("root")
    await tpm_world.enroll_group("certified", SigningCertificates(primary=root.certificate.der))
    leaf = root.leaf("dev-2")
    keys = {"endorsementKey": base64.b64encode(EK).decode(), "storageRootKey": base64.b64encode(SRK).decode()}
    # The individual enrollment decides, so the certificate is refused while it connects …
    async with client(tpm_world, chain=(leaf.der,)) as device:
        device.send(Open(hostname="dps.example"))
        await device.next(Opened)
        assert (await device.next(Closed)).error is not None
    # … and where a name is shared, a link of a certified device leads no further either.
    leaf = root.leaf("dev-3")
    async with client(tpm_world, chain=(leaf.der,)) as device:
        link = await links(device, f"{SCOPE}/registrations/dev-3")
        await tpm_world.enroll("dev-3", TpmAttestation(endorsement_key=EK))
        body = Data((json.dumps({"tpm": keys}).encode(),))
        error, told = await refused(device, link, Message(application_properties=REGISTER, body=body))
        assert error.condition == "amqp:unauthorized-access"
        assert told["errorCode"] == 401002
        assert "authenticationKey" not in told
        await device.leave()


@pytest.mark.parametrize(
    "hello",
    [
        b"",
        b"\0",
        b"\0" + SCOPE.encode(),
        b"\0" + SCOPE.encode() + b"\0dev-1\0",
        b"\0\xff\0dev-1\0" + EK,
        b"\0" + SCOPE.encode() + b"\0d*v\0" + EK,
        b"\0other\0dev-1\0" + EK,
        b"\0" + SCOPE.encode() + b"\0dev-1\0" + EK[:-1],
        b"\0" + SCOPE.encode() + b"\0dev-1\0" + bytes(5000),
    ],
    ids=["nothing", "control byte", "scope", "no EK", "no text", "bad id", "other scope", "short EK", "long EK"],
)
async def test_malformed_hellos_end_in_outcome_1(tpm_world: World, hello: bytes) -> None:
    async with client(tpm_world, mechanisms=("TPM",)) as device:
        await device.next(SaslMechanisms)
        device.send(SaslInit(mechanism="TPM", initial_response=hello))
        event = await device.hear()
        if isinstance(event, SaslChallenge):
            device.send(SaslResponse(response=b"\0" + SRK))
            event = await device.hear()
        assert isinstance(event, SaslOutcome)
        assert event.code is SaslCode.AUTH
        assert await device.at_end()


# ---------------------------------------------------------------- a shared name


class _Hub:
    """A hub's front-end under the same name: owns `devices/…` and `$cbs`, takes ANONYMOUS."""

    mechanisms = ("ANONYMOUS", "PLAIN")

    def owns(self, opening: AmqpOpening) -> bool | None:
        if opening.identity is not None:
            return "@sas" in opening.identity
        return None if opening.address is None else opening.address == "$cbs"

    async def authenticate(self, *_: object) -> object:
        return "somebody"

    async def connect(self, *_: object) -> Error:
        return Error(condition="x:hub")


async def test_the_first_link_decides_where_a_name_is_shared(world: World) -> None:
    root = issue("root")
    await world.enroll_group("certified", SigningCertificates(primary=root.certificate.der))
    leaf = root.leaf("dev-2")
    async with client(world, chain=(leaf.der,), others=(_Hub(),)) as device:
        link = await links(device, f"{SCOPE}/registrations/dev-2")
        assert (await registered(device, link))["status"] == "assigned"
        await device.leave()
    for chain in ((), (issue("other").leaf("dev-2").der,)):
        async with client(world, chain=chain, others=(_Hub(),)) as device:
            await device.open()
            await device.begin()
            device.receiver(f"{SCOPE}/registrations/dev-2")
            closed = await device.until(Closed)
            assert closed.error is not None
            assert closed.error.condition == "amqp:unauthorized-access"
    async with client(world, others=(_Hub(),)) as device:
        await device.open()
        await device.begin()
        device.sender("$cbs")
        closed = await device.until(Closed)
        assert closed.error is not None
        assert closed.error.condition == "x:hub"


@pytest.mark.parametrize(
    ("opening", "owned"),
    [
        (AmqpOpening(mechanism="TPM"), True),
        (AmqpOpening(mechanism="PLAIN", identity=ADDRESS), True),
        (AmqpOpening(mechanism="PLAIN", identity=f"{SCOPE}/Registrations/x"), True),
        (AmqpOpening(mechanism="PLAIN", identity="service@sas.root.hub1"), False),
        (AmqpOpening(mechanism="PLAIN", identity="dev-1@sas.hub1"), False),
        (AmqpOpening(hostname="localhost"), None),
        (AmqpOpening(hostname="localhost", address=ADDRESS), True),
        (AmqpOpening(hostname="localhost", address="$cbs"), False),
        (AmqpOpening(hostname="localhost", address="/devices/dev-1/messages/events"), False),
        (AmqpOpening(hostname="localhost", address=""), False),
    ],
)
def test_what_is_ours(world: World, opening: AmqpOpening, owned: bool | None) -> None:
    assert DeviceAmqpFrontEnd(world.responder, world.clock).owns(opening) is owned


async def test_who_stays_too_long_is_sent_away(world: World) -> None:
    assert SESSION_LIFE.total_seconds() <= 3600
    async with client(world, mechanisms=("PLAIN",)) as device:
        await plain(device, token("dev-1", OTHER_KEY))
        link = await links(device)
        world.clock.advance(hours=2)
        device.message(link, Message(application_properties=REGISTER))
        closed = await device.until(Closed)
        assert closed.error is not None
        assert closed.error.condition == "amqp:unauthorized-access"
