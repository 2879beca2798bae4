"""Our engines against mosquitto and paho, over loopback sockets."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from homeport.proto.mqtt import (
    ConnAck,
    Connect,
    Connection,
    Disconnect,
    Event,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    ReturnCode,
    Role,
    SubAck,
    Subscribe,
    Subscription,
    UnsubAck,
    Unsubscribe,
    UnsupportedProtocol,
    Will,
)

PATIENCE = 10.0
HOST = "127.0.0.1"

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
needs_clients = pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed")


# --- our client against a real server ------------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "device", "right"], check=True, timeout=PATIENCE)
    settings = [f"listener {port} {HOST}", "allow_anonymous false", f"password_file {passwords}", "persistence false"]
    if os.getuid() == 0:
        settings.append("user root")  # or it gives up the right to read the test's folder
    config = tmp_path / "mosquitto.conf"
    config.write_text("\n".join(settings) + "\n")
    assert MOSQUITTO is not None
    with subprocess.Popen([MOSQUITTO, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _await_listener(port)
            yield port
        finally:
            process.terminate()


def _await_listener(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


class Client:
    """The smallest loop around a client engine."""

    def __init__(self, port: int) -> None:
        self.engine = Connection(Role.CLIENT)
        self.socket = socket.create_connection((HOST, port), timeout=PATIENCE)
        self.events: list[Event] = []

    def flush(self) -> None:
        self.socket.sendall(self.engine.outgoing())

    def await_events(self, count: int) -> list[Event]:
        self.flush()
        while len(self.events) < count and (data := self.socket.recv(4096)):
            self.events += self.engine.receive(data)
        taken, self.events = self.events[:count], self.events[count:]
        return taken


@pytest.fixture
def client(broker: int) -> Iterator[Client]:
    client = Client(broker)
    with client.socket:
        yield client


@needs_mosquitto
def test_our_client_speaks_with_mosquitto(client: Client) -> None:
    engine = client.engine
    engine.send(
        Connect(
            client_id="d",
            keep_alive=30,
            user_name="device",
            password=b"right",
            will=Will(topic="gone", payload=b"!", qos=1),
        )
    )
    assert client.await_events(1) == [ConnAck()]
    engine.send(
        Subscribe(
            subscriptions=(Subscription(topic_filter="up/+/#", qos=1), Subscription(topic_filter="zero", qos=0)),
        )
    )
    assert client.await_events(1) == [SubAck(packet_id=1, return_codes=(1, 0))]

    payload = bytes(range(256)) * 1024
    assert engine.send(Publish(topic="up/grüße/1", payload=payload, qos=1)) == 2
    events = client.await_events(2)
    assert PubAck(packet_id=2) in events
    echo = next(event for event in events if isinstance(event, Publish))
    assert (echo.topic, echo.payload, echo.qos) == ("up/grüße/1", payload, 1)
    assert echo.packet_id is not None
    engine.send(PubAck(packet_id=echo.packet_id))

    engine.tick(0)
    engine.tick(30)  # puts a PINGREQ out; its answer is heard, not shown
    client.flush()
    engine.receive(client.socket.recv(64))
    assert engine.tick(30.5) == 60

    engine.send(Unsubscribe(topic_filters=("up/+/#",)))
    assert client.await_events(1) == [UnsubAck(packet_id=3)]
    engine.send(Publish(topic="up/a"))
    engine.send(Publish(topic="zero", payload=b"0"))
    assert client.await_events(1) == [Publish(topic="zero", payload=b"0")]
    engine.close()
    client.flush()
    assert client.socket.recv(64) == b""


@needs_mosquitto
def test_our_client_understands_a_refusal(client: Client) -> None:
    client.engine.send(Connect(client_id="d", user_name="device", password=b"wrong"))
    assert client.await_events(1) == [ConnAck(return_code=ReturnCode.NOT_AUTHORIZED)]


@needs_mosquitto
def test_mosquitto_accepts_an_empty_client_id_with_a_clean_session(client: Client) -> None:
    client.engine.send(Connect(client_id="", user_name="device", password=b"right"))
    assert client.await_events(1) == [ConnAck()]


# --- real clients against our server -------------------------------------------------------------------------------


class Server(threading.Thread):
    """The smallest loop around a server engine, for one client; whatever is published to a subscriber comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.listener = socket.create_server((HOST, 0))
        self.listener.settimeout(PATIENCE)
        self.port: int = self.listener.getsockname()[1]
        self.events: list[Event] = []
        self.engine = Connection(Role.SERVER)
        self.greeting: Publish | None = None

    def run(self) -> None:
        with self.listener, self.listener.accept()[0] as stream:
            stream.settimeout(PATIENCE)
            while data := stream.recv(4096):
                for event in self.engine.receive(data):
                    self.events.append(event)
                    self.answer(event)
                stream.sendall(self.engine.outgoing())
                self.engine.tick(0)
                if isinstance(self.events[-1], Disconnect | UnsupportedProtocol):
                    return

    def answer(self, event: Event) -> None:
        send = self.engine.send
        match event:
            case Connect():
                send(ConnAck())
            case UnsupportedProtocol():
                send(ConnAck(return_code=ReturnCode.UNACCEPTABLE_PROTOCOL_LEVEL))
            case Subscribe(packet_id=int(packet_id)):
                send(SubAck(packet_id=packet_id, return_codes=tuple(min(one.qos, 1) for one in event.subscriptions)))
                if self.greeting is not None:
                    send(self.greeting)
            case Unsubscribe(packet_id=int(packet_id)):
                send(UnsubAck(packet_id=packet_id))
            case Publish(qos=1, packet_id=int(packet_id)):
                send(PubAck(packet_id=packet_id))
            case Publish(qos=2, packet_id=int(packet_id)):
                send(PubRec(packet_id=packet_id))
            case PubRel():
                send(PubComp(packet_id=event.packet_id))
            case _:
                pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.join(PATIENCE)
    assert not server.is_alive()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, check=False)


@needs_clients
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mosquitto_pub_publishes_to_our_server(server: Server, qos: int) -> None:
    done = _run(
        *("mosquitto_pub", "-h", HOST, "-p", str(server.port), "-i", "dev1", "-u", "scope/user", "-P", "secret"),
        *("-t", "devices/dev1/messages/events/", "-m", "x" * 5000, "-q", str(qos), "-k", "77"),
        *("--will-topic", "gone", "--will-payload", "bye", "--will-qos", "1", "--will-retain"),
    )
    assert done.returncode == 0, done.stderr
    server.join(PATIENCE)
    connect, publish, *rest = server.events
    assert connect == Connect(
        client_id="dev1",
        keep_alive=77,
        user_name="scope/user",
        password=b"secret",
        will=Will(topic="gone", payload=b"bye", qos=1, retain=True),
    )
    packet_id = 1 if qos else None
    text = b"x" * 5000
    assert publish == Publish(topic="devices/dev1/messages/events/", payload=text, qos=qos, packet_id=packet_id)
    assert rest == ([PubRel(packet_id=1)] if qos == 2 else []) + [Disconnect()]


@needs_clients
@pytest.mark.parametrize(("version", "level"), [("mqttv5", 5), ("mqttv31", 3)])
def test_other_versions_are_told_so(server: Server, version: str, level: int) -> None:
    done = _run("mosquitto_pub", "-h", HOST, "-p", str(server.port), "-V", version, "-t", "a", "-m", "b")
    assert done.returncode != 0
    server.join(PATIENCE)
    assert server.events == [UnsupportedProtocol(name="MQTT" if level == 5 else "MQIsdp", level=level)]


@needs_clients
def test_mosquitto_sub_receives_from_our_server(server: Server) -> None:
    server.greeting = Publish(topic="down/1", payload=b"hello", qos=1)
    done = _run(
        *(
            "mosquitto_sub",
            "-h",
            HOST,
            "-p",
            str(server.port),
            "-t",
            "down/#",
            "-t",
            "other/+",
            "-q",
            "2",
            "-C",
            "1",
            "-v",
        )
    )
    assert done.stdout == "down/1 hello\n"
    server.join(PATIENCE)
    filters = (Subscription(topic_filter="down/#", qos=2), Subscription(topic_filter="other/+", qos=2))
    assert Subscribe(subscriptions=filters, packet_id=1) in server.events
    assert PubAck(packet_id=1) in server.events
    assert server.engine.in_flight == 0


def _within_patience(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_paho_speaks_with_our_server(server: Server) -> None:
    server.greeting = Publish(topic="$dps/registrations/res/202/?$rid=1", payload=b"{}", qos=1)
    received: list[tuple[str, bytes, int]] = []
    acknowledged: list[int] = []
    released: list[int] = []
    client = paho.Client("dev1", clean_session=False, protocol=paho.MQTTv311)
    client.username_pw_set("0ne/registrations/dev1/api-version=2019-03-31", "token")
    client.on_message = lambda _client, _data, message: received.append(
        (message.topic, bytes(message.payload), message.qos)
    )
    client.on_publish = lambda _client, _data, packet_id: acknowledged.append(packet_id)
    client.on_unsubscribe = lambda _client, _data, packet_id: released.append(packet_id)
    client.connect(HOST, server.port, keepalive=60)
    client.loop_start()
    try:
        _within_patience(client.is_connected)
        client.subscribe("$dps/registrations/res/#", qos=1)
        message = client.publish("$dps/registrations/PUT/iotdps-register/?$rid=1", b"{}", qos=1)
        _within_patience(lambda: bool(received and acknowledged))
        client.unsubscribe("$dps/registrations/res/#")
        _within_patience(lambda: bool(released))
        client.disconnect()
    finally:
        client.loop_stop()
    server.join(PATIENCE)
    assert received == [("$dps/registrations/res/202/?$rid=1", b"{}", 1)]
    assert acknowledged == [message.mid]
    assert PubAck(packet_id=1) in server.events
    assert server.events[-1] == Disconnect()
