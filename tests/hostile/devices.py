"""MQTT devices that mean no good: connected with or without a right to it, and sending what they like."""

import contextlib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from homeport.proto.mqtt import (
    ConnAck,
    Connect,
    Event,
    PingReq,
    PingResp,
    Publish,
    Subscribe,
    Subscription,
    Will,
    decode,
    encode,
)
from homeport.proto.mqtt.reader import read_header
from tests.hostile.target import MQTT, SECONDS, Target

ACCEPTED = ConnAck()
REGISTER = "$dps/registrations/PUT/iotdps-register/?$rid="
TWIN = "$iothub/twin/res/#"


def say(topic: str, payload: bytes = b"", *, qos: int = 0, packet_id: int | None = None) -> bytes:
    """Write a PUBLISH."""
    return encode(Publish(topic=topic, payload=payload, qos=qos, packet_id=packet_id))


def subscribe(packet_id: int, *filters: str, qos: int = 0) -> bytes:
    """Write a SUBSCRIBE."""
    wanted = tuple(Subscription(topic_filter=each, qos=qos) for each in filters)
    return encode(Subscribe(subscriptions=wanted, packet_id=packet_id))


def telemetry(device_id: str) -> str:
    return f"devices/{device_id}/messages/events/"


class Packets:
    """The packets that arrive on a connection."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self._connection = connection
        self._buffer = b""

    def next(self) -> Event | None:
        """Return the next packet, None when the server has closed the connection. Raises TimeoutError."""
        while True:
            header = read_header(self._buffer, 0) if self._buffer else None
            if header is not None and len(self._buffer) >= sum(header):
                packet, self._buffer = self._buffer[: sum(header)], self._buffer[sum(header) :]
                return decode(packet)
            if not self._receive(SECONDS):
                assert not self._buffer, "closed in the middle of a packet"
                return None

    def rest(self) -> list[Event]:
        """Return all that comes until the server closes the connection. Raises TimeoutError if it does not."""
        packets = []
        while (packet := self.next()) is not None:
            packets.append(packet)
        return packets

    def _receive(self, seconds: float) -> bool:
        self._connection.settimeout(seconds)
        try:
            data = self._connection.recv(65536)
        except TimeoutError:
            raise
        except OSError:  # reset: closed, too
            data = b""
        self._buffer += data
        return bool(data)


class Client:
    """A connection and what arrives on it."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self.connection = connection
        self.packets = Packets(connection)

    def send(self, *data: bytes) -> None:
        with contextlib.suppress(OSError):  # the server may have closed it already
            self.connection.sendall(b"".join(data))

    def assert_closed(self) -> None:
        """The server ends the connection and says nothing more."""
        assert self.packets.rest() == []

    def assert_alive(self) -> None:
        self.send(encode(PingReq()))
        assert self.packets.next() == PingResp()


@contextmanager
def stranger(target: Target) -> Iterator[Client]:
    with target.connect(MQTT) as connection:
        yield Client(connection)


@contextmanager
def registering(target: Target, registration_id: str, key: str) -> Iterator[Client]:
    """A device that has connected to the provisioning service."""
    token = target.device_token(registration_id, key)
    user_name = f"{target.id_scope}/registrations/{registration_id}/api-version=2021-06-01"
    with stranger(target) as client:
        client.send(encode(Connect(client_id=registration_id, user_name=user_name, password=token.encode())))
        assert client.packets.next() == ACCEPTED
        yield client


def hub_connect(target: Target, device: tuple[str, str], *, clean: bool = True, will: Will | None = None) -> bytes:
    return encode(
        Connect(
            client_id=device[0],
            user_name=f"{target.host}/{device[0]}/?api-version=2021-04-12",
            password=target.hub_device_token(*device).encode(),
            clean_session=clean,
            will=will,
        )
    )


@contextmanager
def at_home(target: Target, device: tuple[str, str]) -> Iterator[Client]:
    """A device that has connected to its hub."""
    with stranger(target) as client:
        client.send(hub_connect(target, device))
        assert client.packets.next() == ACCEPTED
        yield client


def enrolled(target: Target, prefix: str) -> tuple[str, str]:
    """Make a device that has registered, so that the hub knows it."""
    device = target.enroll(prefix)
    headers = {"Authorization": target.device_token(*device)}
    assert target.ask("PUT", target.register_path(device[0]), b"{}", headers).status == 202
    return device
