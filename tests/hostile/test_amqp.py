"""AMQP that breaks the protocol, and clients that are not who they say: refused or ended, and no harm to others."""

import base64
import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from homeport.dps.frontends.amqp import MAX_LINKS
from homeport.proto.amqp import (
    Accepted,
    Attach,
    Begin,
    Begun,
    Data,
    Delivery,
    Detached,
    Disposed,
    Flow,
    LinkRole,
    Message,
    Rejected,
    SaslChallenge,
    SaslCode,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    SaslResponse,
    Source,
    Transfer,
    encode_message,
)
from homeport.proto.amqp import Target as Terminus
from tests.hostile.amqp_clients import (
    HEADER,
    SASL_HEADER,
    VERSION,
    address,
    admitted,
    receiver,
    sender,
    stranger,
)
from tests.hostile.target import AMQP, Target, unique
from tests.hostile.test_websocket import BINARY, TEXT, Socket, frame

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "tpm-vector-01.json").read_text())
EK, SRK = (base64.b64decode(VECTOR[name]) for name in ("endorsementKey", "storageRootKey"))
REGISTER = {"iotdps-operation-type": "iotdps-register"}


def raw(body: bytes, *, kind: int = 0, channel: int = 0, size: int | None = None, doff: int = 2) -> bytes:
    """Write a frame with whatever header is asked for."""
    length = 8 + len(body) if size is None else size
    return length.to_bytes(4) + bytes([doff, kind]) + channel.to_bytes(2) + body


OPEN = raw(b"\x00\x53\x10\xc0\x04\x01\xa1\x01x")
BEGIN = raw(b"\x00\x53\x11\xc0\x0c\x04\x40\x52\x00\x70\x00\x00\x10\x00\x52\xff")


@pytest.fixture(scope="module")
def device(target: Target) -> tuple[str, str]:
    return target.enroll("amqp")


# ---------------------------------------------------------------- the protocol


@pytest.mark.parametrize(
    "opening",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"AMQP\x00\x00\x09\x01",
        b"AMQP\x01\x01\x00\x00",
        b"AMQP\x02\x01\x00\x00",
        b"AMQP\x09\x01\x00\x00",
        b"AMQP\x00\x02\x00\x00",
        b"AMQX\x00\x01\x00\x00",
        b"\x00" * 8,
        b"\x10\x20\x00\x04MQTT\x04\x02",
    ],
    ids=repr,
)
def test_other_headers(target: Target, opening: bytes) -> None:
    with stranger(target) as client:
        client.send(opening)
        assert client.rest() in {b"", HEADER, SASL_HEADER}


@pytest.mark.parametrize(
    "said",
    [
        raw(b"", size=0),
        raw(b"", size=7),
        raw(b"", doff=0),
        raw(b"", doff=1),
        raw(b"", doff=255),
        raw(b"", size=0xFFFF_FFFF),
        raw(b"", size=0x0010_0000),
        raw(b"", kind=1),
        raw(b"", kind=7),
        raw(b"\x00\x53\x10"),
        raw(b"\x00\x53\x10\x45"),
        raw(b"\x00\x53\x10\xc0\xff\xff"),
        raw(b"\x00\x53\x10\xd0\xff\xff\xff\xff\xff\xff\xff\xff"),
        raw(b"\x00\x53\x99\x45"),
        raw(b"\x45"),
        raw(b"\xff" * 100),
        raw(b"\x00" * 400),
        BEGIN,
        OPEN + OPEN,
    ],
    ids=lambda said: said[:20].hex(),
)
def test_malformed_frames(target: Target, device: tuple[str, str], said: bytes) -> None:
    with stranger(target) as client:
        client.send(HEADER, said)
        client.rest()
    with admitted(target, *device) as proven:
        proven.send(said)
        with contextlib.suppress(Exception):  # our engine may dislike what its own words have led to
            proven.closed()
        proven.rest()


@pytest.mark.parametrize(
    "said",
    [
        raw(b"", kind=1, size=0xFFFF_FFFF),
        raw(b"", kind=1, size=0x0001_0000),
        raw(b"", kind=0),
        raw(b"\x00\x53\x43\xc0\x04\x01\xa0\x01x", kind=1),  # a response before init
        raw(b"\x00\x53\x40\x45", kind=1),  # mechanisms are the server's to say
        raw(b"\x00\x53\x44\xc0\x03\x01\x50\x00", kind=1),  # and so is the outcome
        raw(b"\x00\x53\x41\x45", kind=1),  # an init without mechanism
        raw(b"\x00\x53\x41\xc0\x08\x01\xa3\x05NOPE!", kind=1),
        raw(b"\x00\x53\x41\xc0\x08\x01\xa3\x05PLAIN", kind=1),
        HEADER,
        SASL_HEADER,
        OPEN,
    ],
    ids=lambda said: said[:20].hex(),
)
def test_malformed_sasl(target: Target, said: bytes) -> None:
    with stranger(target) as client:
        client.send(SASL_HEADER, said)
        # The offer, and perhaps an outcome that is not good; never the header of AMQP proper.
        assert HEADER not in client.rest()


def test_noise_in_every_state(target: Target, device: tuple[str, str]) -> None:
    for _ in range(30):
        noise = os.urandom(300)
        for beginning in (b"", HEADER, SASL_HEADER, HEADER + OPEN):
            with stranger(target) as client:
                client.send(beginning + noise)
                client.connection.shutdown(socket.SHUT_WR)
                client.rest()
    with admitted(target, *device) as client:
        client.send(os.urandom(2000))
        client.connection.shutdown(socket.SHUT_WR)
        client.rest()


@pytest.mark.parametrize("where", ["transfer", "flow", "detach", "end"])
def test_frames_out_of_order(target: Target, device: tuple[str, str], where: str) -> None:
    said = {
        "transfer": raw(b"\x00\x53\x14\xc0\x0a\x05\x43\x43\xa0\x01x\x43\x42" + b"\x00" * 3),
        "flow": raw(b"\x00\x53\x13\xc0\x0f\x05\x43\x52\x64\x43\x52\x64\x52\x07" + b"\x00" * 4),
        "detach": raw(b"\x00\x53\x16\xc0\x03\x01\x52\x09"),
        "end": raw(b"\x00\x53\x17\x45", channel=200),
    }[where]
    with admitted(target, *device) as client:
        client.send(said)
        client.connection.shutdown(socket.SHUT_WR)
        client.rest()


# ---------------------------------------------------------------- too much


def test_a_flood_of_sessions(target: Target, device: tuple[str, str]) -> None:
    with admitted(target, *device) as client:
        begun = 0
        with contextlib.suppress(Exception):  # the engine on our side keeps to what was announced
            for _ in range(2000):
                client.say(Begin(session=client.engine.new_session()))
                begun += 1
        while begun and isinstance(client.hear(), Begun):
            begun -= 1
            if begun < 1750:
                break
        # More channels than were announced.
        client.send(raw(BEGIN[8:], channel=60000))
        client.rest()


def test_a_flood_of_links(target: Target, device: tuple[str, str]) -> None:
    count = 200
    with admitted(target, *device) as client:
        for number in range(count):
            link = client.engine.new_link(client.session, f"link-{number}", LinkRole.SENDER)
            there = Terminus(address=address(target, device[0]))
            client.say(Attach(link=link, source=Source(), target=there, properties=VERSION))
        for _ in range(count - MAX_LINKS):
            client.until(Detached)


def test_messages_without_end(target: Target, device: tuple[str, str]) -> None:
    """Transfers of which more is to come, for ever: cut off when the message is larger than was announced."""
    with admitted(target, *device) as client:
        link = sender(client, target, device[0])
        link.peer_max_message_size = 0  # our engine would keep to what was announced
        large = Message(application_properties=REGISTER, body=Data((bytes(2_000_000),)))
        client.say(Transfer(link=link, data=encode_message(large)))
        detached = client.until(Detached)
        assert detached.error is not None
        assert detached.error.condition == "amqp:link:message-size-exceeded"


def test_a_thousand_requests_in_one_go(target: Target) -> None:
    device = target.enroll("amqp-eager")
    count = 300
    with admitted(target, *device) as client:
        answers = receiver(client, target, device[0])
        client.say(Flow(link=answers, credit=count))
        link = sender(client, target, device[0])
        for _ in range(count):
            client.say(Transfer(link=link, data=encode_message(Message(application_properties=REGISTER))))
        answered = 0
        while answered < count:  # served, or told to come back later
            answered += isinstance(client.hear(), Disposed)


def test_answers_that_nobody_fetches(target: Target) -> None:
    """No credit, and then nobody who reads: what waits is bounded, and the server says so."""
    device = target.enroll("amqp-deaf")
    with admitted(target, *device) as client:
        receiver(client, target, device[0])
        link = sender(client, target, device[0])
        request = encode_message(Message(application_properties=REGISTER, body=Data((b"",))))
        before = target.resident_mb()
        for _ in range(3000):
            while not link.credit:
                event = client.hear()
                if event is None:
                    break
            if not link.open or not link.credit:
                break
            client.say(Transfer(link=link, data=request))
        assert target.resident_mb() - before < 60


def test_empty_frames(target: Target, device: tuple[str, str]) -> None:
    with admitted(target, *device) as client:
        client.send(raw(b"") * 100_000)
        receiver(client, target, device[0])


def test_deep_values(target: Target, device: tuple[str, str]) -> None:
    deep = b"\x00\x53\x74\xc1"
    nested = b"\xd0" + b"\x00\x00\x10\x00\x00\x00\x00\x01"
    with admitted(target, *device) as client:
        link = sender(client, target, device[0])
        for data in (b"\x00\x53\x77" + nested * 5000, deep + b"\xff" * 10, b"\x00" * 10_000, b""):
            client.say(Transfer(link=link, data=data))
            if client.hear() is None or not link.open:
                break
        client.rest()


@pytest.mark.parametrize(
    "properties",
    [
        {"iotdps-operation-type": "x" * 100_000},
        {"iotdps-operation-type": "iotdps-get-operationstatus", "iotdps-operation-id": "x" * 100_000},
        {f"p{number}": number for number in range(5000)},
        REGISTER | {"iotdps-operation-type": None},
        {"": ""},
    ],
    ids=["long type", "long id", "many", "null", "empty"],
)
def test_odd_properties(target: Target, device: tuple[str, str], properties: dict[str, Any]) -> None:
    with admitted(target, *device) as client:
        receiver(client, target, device[0])
        link = sender(client, target, device[0])
        client.say(Transfer(link=link, data=encode_message(Message(application_properties=properties))))
        assert isinstance(client.until(Disposed).state, Rejected)


# ---------------------------------------------------------------- who is it


def test_one_device_cannot_speak_for_another(target: Target, device: tuple[str, str]) -> None:
    victim = target.enroll("amqp-victim")
    with admitted(target, *device) as client:
        for there in (
            address(target, victim[0]),
            "$cbs",
            "/devices/x/messages/events",
            "x" * 5000,
            "é/registrations/x",
        ):
            link = client.engine.new_link(client.session, unique("link"), LinkRole.SENDER)
            client.say(Attach(link=link, source=Source(), target=Terminus(address=there), properties=VERSION))
            detached = client.until(Detached)
            assert detached.error is not None
            body = json.loads(detached.error.description or "")
            assert body["errorCode"] in {401002, 404000}
    assert target.why(victim[0]) == []


def test_a_token_of_another(target: Target, device: tuple[str, str]) -> None:
    victim = target.enroll("amqp-robbed")
    with stranger(target, sasl=True) as client:
        client.until(SaslMechanisms)
        said = f"\0{address(target, victim[0])}\0{target.device_token(*device)}".encode()
        client.say(SaslInit(mechanism="PLAIN", initial_response=said))
        assert client.until(SaslOutcome).code is SaslCode.AUTH
        assert client.hear() is None
    assert target.why(victim[0])[0].code == 401002


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\0",
        b"\0\0",
        b"\0\0\0\0",
        b"\0" + b"x" * 7000 + b"\0y",
        b"\0\xff\xfe\0\xff",
        b"\0%s/registrations/%s\0" % (b"x" * 3000, b"y" * 3000),
    ],
    ids=lambda response: f"{len(response)} bytes {response[:6].hex()}",
)
@pytest.mark.parametrize("mechanism", ["PLAIN", "TPM", "ANONYMOUS", "X" * 60])
def test_odd_credentials(target: Target, mechanism: str, response: bytes) -> None:
    with stranger(target, sasl=True) as client:
        client.until(SaslMechanisms)
        with contextlib.suppress(Exception):  # the engine on our side knows what was not offered
            client.say(SaslInit(mechanism=mechanism, initial_response=response))
            event = client.hear()
            assert event is None or (isinstance(event, SaslOutcome) and event.code is not SaslCode.OK)
            return
        client.send(raw(b"\x00\x53\x41\xc0\x08\x01\xa3\x05NOPE!", kind=1))
        client.rest()


def test_a_tpm_that_never_comes_to_the_point(target: Target) -> None:
    """Segments without end are counted, sizes are bounded, and silence is ended by the time limit of all."""
    with stranger(target, sasl=True) as client:
        client.until(SaslMechanisms)
        client.say(SaslInit(mechanism="TPM", initial_response=b"\x80" + b"x" * 100))
        asked = 0
        while isinstance(event := client.hear(), SaslChallenge):
            asked += 1
            client.say(SaslResponse(response=b"\x80" + b"x" * 100))
        assert isinstance(event, SaslOutcome)
        assert event.code is SaslCode.AUTH
        assert asked < 8


def test_challenges_by_the_hundred(target: Target) -> None:
    """Anybody may ask for a challenge; what each costs is gone with its connection."""
    before = target.resident_mb()
    for _ in range(150):
        with stranger(target, sasl=True) as client:
            client.until(SaslMechanisms)
            hello = f"\0{target.id_scope}\0{unique('nobody')}\0".encode() + EK
            client.say(SaslInit(mechanism="TPM", initial_response=hello))
            client.until(SaslChallenge)
            client.say(SaslResponse(response=b"\0" + SRK))
            assert client.until(SaslChallenge).challenge[0] == 0x80
    assert target.resident_mb() - before < 30


def test_a_wrong_key_in_a_tpms_clothes(target: Target) -> None:
    for ek, srk in ((os.urandom(316), os.urandom(284)), (EK, EK)):
        with stranger(target, sasl=True) as client:
            client.until(SaslMechanisms)
            hello = f"\0{target.id_scope}\0{unique('nobody')}\0".encode() + ek
            client.say(SaslInit(mechanism="TPM", initial_response=hello))
            client.until(SaslChallenge)
            client.say(SaslResponse(response=b"\0" + srk))
            event = client.hear()
            if isinstance(event, SaslChallenge):  # sound keys, of whatever sort
                client.say(SaslResponse(response=b"\0"))
                client.until(SaslChallenge)
                client.say(SaslResponse(response=b"\0nothing"))
                event = client.hear()
            assert isinstance(event, SaslOutcome)
            assert event.code is SaslCode.AUTH


def test_who_reads_slowly_is_waited_for(target: Target) -> None:
    device = target.enroll("amqp-calm")
    with admitted(target, *device) as client:
        answers = receiver(client, target, device[0])
        link = sender(client, target, device[0])
        client.say(Transfer(link=link, data=encode_message(Message(application_properties=REGISTER))))
        assert client.until(Disposed).state == Accepted()
        time.sleep(0.5)
        client.say(Flow(link=answers, credit=1))
        client.until(Delivery)


# ---------------------------------------------------------------- WebSocket


@pytest.mark.parametrize(
    "said",
    [
        frame(TEXT, HEADER),
        frame(BINARY, b"GET / HTTP/1.1\r\n\r\n"),
        frame(BINARY, HEADER + raw(b"", size=0xFFFF_FFFF)),
        b"".join(frame(BINARY, bytes([byte])) for byte in SASL_HEADER + raw(b"\xff" * 50, kind=1)),
    ],
    ids=["text", "HTTP", "huge", "byte by byte"],
)
def test_over_a_websocket(target: Target, said: bytes) -> None:
    with Socket(target, "AMQPWSB10") as opened:
        opened.send(said)
        assert opened.close_code() in {1000, 1003}


def test_the_port_takes_no_plain_amqp(target: Target) -> None:
    with target.connect_tcp(AMQP) as connection:
        connection.sendall(HEADER + OPEN)
        heard = b""
        with contextlib.suppress(OSError):
            while data := connection.recv(4096):
                heard += data
        assert HEADER not in heard
