"""What devices say, and as little understanding of the answers as will do."""

import base64
import json
import time
from collections.abc import Generator
from dataclasses import replace
from typing import TypeVar
from urllib.parse import quote

from bench.devices import API_VERSION, Device, device_token
from bench.link import Link, Steps
from homeport.client.registration import register_body
from homeport.proto.mqtt import (
    ConnAck,
    Connect,
    Disconnect,
    PubAck,
    Publish,
    ReturnCode,
    SubAck,
    Subscribe,
    Subscription,
    decode,
    encode,
)
from homeport.proto.mqtt.reader import read_header

_ANSWERS = "$dps/registrations/res/"
_SUBSCRIBE = encode(Subscribe(packet_id=1, subscriptions=(Subscription(topic_filter=f"{_ANSWERS}#", qos=1),)))
_DISCONNECT = encode(Disconnect())
_KEEP_ALIVE = 240

PacketT = TypeVar("PacketT", ConnAck, SubAck, PubAck, Publish)


class UnexpectedAnswerError(Exception):
    """The server said something else than the measurement is about; the text is what it said."""


def shake_hands(link: Link) -> Steps:
    """Connect and leave."""
    yield from link.open()
    link.answered = time.perf_counter()
    yield from link.close()


def register_https(link: Link, device: Device, id_scope: str, host: str) -> Steps:
    """Register with one request on a connection of its own (contract dps.md 3)."""
    path = f"/{id_scope}/registrations/{device.name}/register"
    status, answer = yield from _ask(link, device, "PUT", path, host)
    if status != 202 or b'"status":"assigned"' not in answer:
        raise UnexpectedAnswerError(f"{status} {answer.decode(errors='replace')}")
    yield from link.close()


def register_tpm_https(link: Link, device: Device, id_scope: str, host: str) -> Steps:
    """Register with a TPM: its keys; then, with what it signed, the same again (contract dps.md 7.2)."""
    assert device.chip is not None
    path = f"/{id_scope}/registrations/{device.name}/register"
    body = register_body(device.name, None, device.chip.keys)
    yield from link.open()
    status, _, answer = yield from ask(link, device, "PUT", path, host, body=body)
    if status != 401 or b"authenticationKey" not in answer:
        raise UnexpectedAnswerError(f"{status} {answer.decode(errors='replace')}")
    key = device.chip.import_key(base64.b64decode(json.loads(answer)["authenticationKey"]))
    proven = replace(device, token=device_token(id_scope, device.name, key))
    status, _, answer = yield from ask(link, proven, "PUT", path, host, body=body)
    if status != 202 or b'"status":"assigned"' not in answer or b"authenticationKey" not in answer:
        raise UnexpectedAnswerError(f"{status} {answer.decode(errors='replace')}")
    yield from link.close()


def look_up_https(link: Link, device: Device, id_scope: str, host: str) -> Steps:
    """Ask for the record of a device that has none: it is proven genuine, and the answer is 404 (dps.md 3.5)."""
    status, answer = yield from _ask(link, device, "POST", f"/{id_scope}/registrations/{device.name}", host)
    if status != 404 or b"trackingId" not in answer:
        raise UnexpectedAnswerError(f"{status} {answer.decode(errors='replace')}")
    yield from link.close()


def ask_nobody(link: Link, device: Device, host: str) -> Steps:
    """Send a request that no service answers."""
    status, answer = yield from _ask(link, device, "PUT", "/nothing", host)
    if status != 404:
        raise UnexpectedAnswerError(f"{status} {answer.decode(errors='replace')}")
    yield from link.close()


def _ask(link: Link, device: Device, method: str, path: str, host: str) -> Generator[int, None, tuple[int, bytes]]:
    """Connect, send one request as a device does, and return status and body; the connection stays open."""
    yield from link.open()
    status, _, body = yield from ask(link, device, method, path, host)
    return status, body


def ask(
    link: Link, device: Device, method: str, path: str, host: str, *, body: bytes | None = None
) -> Generator[int, None, tuple[int, dict[str, str], bytes]]:
    """Send one request over an open connection and return status, headers (in lower case) and body."""
    if body is None:
        body = json.dumps({"registrationId": device.name}).encode()
    authorization = f"Authorization: {device.token}\r\n" if device.token else ""
    request = (
        f"{method} {path}?api-version={API_VERSION} HTTP/1.1\r\n"
        f"Host: {host}\r\n{authorization}User-Agent: bench\r\nAccept: application/json\r\n"
        f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    yield from link.send(request)
    answer = yield from _http_answer(link)
    link.answered = time.perf_counter()
    return answer


def _http_answer(link: Link) -> Generator[int, None, tuple[int, dict[str, str], bytes]]:
    received = yield from link.receive()
    while b"\r\n\r\n" not in received:
        received += yield from link.receive()
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "content-length" not in headers:
        raise UnexpectedAnswerError(f"an answer without Content-Length: {head.decode(errors='replace')}")
    length = int(headers["content-length"])
    while len(body) < length:
        body += yield from link.receive()
    return int(first[9:12]), headers, body


def register_mqtt(link: Link, device: Device, id_scope: str) -> Steps:
    """Register the way the device SDKs do, waiting for each answer (contract dps.md 4)."""
    body = json.dumps({"registrationId": device.name}).encode()
    request = Publish(topic="$dps/registrations/PUT/iotdps-register/?$rid=1", payload=body, qos=1, packet_id=2)
    packets = yield from _subscribed(link, device, id_scope)
    yield from link.send(encode(request))
    yield from packets.expect(PubAck)
    answer = yield from packets.expect(Publish)
    link.answered = time.perf_counter()
    if not answer.topic.startswith(f"{_ANSWERS}202/") or b'"status":"assigned"' not in answer.payload:
        raise UnexpectedAnswerError(f"{answer.topic} {answer.payload.decode(errors='replace')}")
    thanks = encode(PubAck(packet_id=answer.packet_id)) if answer.packet_id is not None else b""
    yield from link.send(thanks + _DISCONNECT)
    yield from link.close()


def subscribe_mqtt(link: Link, device: Device, id_scope: str) -> Steps:
    """Connect and subscribe as for a registration, and leave without one."""
    yield from _subscribed(link, device, id_scope)
    link.answered = time.perf_counter()
    yield from link.send(_DISCONNECT)
    yield from link.close()


def _subscribed(link: Link, device: Device, id_scope: str) -> Generator[int, None, "MqttPackets"]:
    user = f"{id_scope}/registrations/{device.name}/api-version=2019-03-31&ClientVersion=bench"
    yield from link.open()
    packets = MqttPackets(link)
    yield from link.send(_connect(device.name, user, device.token))
    yield from packets.accepted()
    yield from link.send(_SUBSCRIBE)
    yield from packets.expect(SubAck)
    return packets


def connect_hub(link: Link, name: str, host: str, token: str | None) -> Steps:
    """Open a device's connection to its hub, and leave it open (contract hub.md 13.2)."""
    yield from link.open()
    yield from link.send(_connect(name, f"{host}/{name}/?api-version=2021-04-12", token))
    yield from MqttPackets(link).accepted()
    link.answered = time.perf_counter()


def subscribe_and_leave(link: Link, name: str) -> Steps:
    """Ask a broker to keep all devices' telemetry while away."""
    subscription = Subscription(topic_filter="devices/#", qos=1)
    packets = MqttPackets(link)
    yield from link.open()
    yield from link.send(encode(Connect(client_id=name, clean_session=False)))
    yield from packets.accepted()
    yield from link.send(encode(Subscribe(packet_id=1, subscriptions=(subscription,))))
    yield from packets.expect(SubAck)
    yield from link.send(_DISCONNECT)
    yield from link.close()


def events_topic(name: str) -> str:
    """Return the topic of JSON telemetry (contract hub.md 13.4)."""
    return f"devices/{quote(name)}/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8"


def _connect(client_id: str, user: str, password: str | None) -> bytes:
    secret = password.encode() if password else None
    return encode(Connect(client_id=client_id, user_name=user, password=secret, keep_alive=_KEEP_ALIVE))


class MqttPackets:
    """The server's packets, in their order."""

    __slots__ = ("_link", "_received")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._received = b""

    def expect(self, kind: type[PacketT]) -> Generator[int, None, PacketT]:
        """Return the next packet. Raises UnexpectedAnswerError if it is of another kind."""
        while (header := read_header(self._received, 0)) is None or len(self._received) < sum(header):
            self._received += yield from self._link.receive()
        size = sum(header)
        packet, self._received = decode(self._received[:size]), self._received[size:]
        if not isinstance(packet, kind):
            raise UnexpectedAnswerError(f"{type(packet).__name__} in place of {kind.__name__}")
        return packet

    def accepted(self) -> Steps:
        """Read the answer to CONNECT. Raises UnexpectedAnswerError if it is a refusal."""
        answer = yield from self.expect(ConnAck)
        if answer.return_code is not ReturnCode.ACCEPTED:
            raise UnexpectedAnswerError(f"CONNECT was refused: {answer.return_code.name}")
