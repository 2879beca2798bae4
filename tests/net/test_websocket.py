"""MQTT over WebSocket: raw handshakes and frames, and paho."""

import asyncio
import base64
import os
import ssl
from contextlib import suppress

import pytest

from homeport.net.certificates import ServerCertificates
from homeport.proto.mqtt import Connect, Disconnect, Publish, encode
from tests.amqp_client import Client
from tests.net.amqp_echo import EchoFrontEnd as AmqpEchoFrontEnd
from tests.net.certs import issue
from tests.net.conftest import ClientContext
from tests.net.mqtt_echo import EchoFrontEnd
from tests.net.serving import Mirror, http_server, listening
from tests.net.test_mqtt_server import talk_with_paho


class RawWebSocket:
    """A client's side of RFC 6455, as small as can be."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def ask(
        cls,
        address: tuple[str, int],
        context: ssl.SSLContext,
        path: str = "/$iothub/websocket",
        subprotocol: str | None = "mqtt",
        upgrade: str = "websocket",
        version: str = "13",
    ) -> "tuple[RawWebSocket, int, str]":
        """Return the socket, the status and the head of the answer."""
        reader, writer = await asyncio.open_connection(*address, ssl=context, server_hostname="localhost")
        fields = [
            f"GET {path} HTTP/1.1",
            "Host: localhost:443",
            f"Upgrade: {upgrade}",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            f"Sec-WebSocket-Version: {version}",
        ]
        if subprotocol is not None:
            fields.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        writer.write("\r\n".join([*fields, "", ""]).encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
        return cls(reader, writer), int(head.split()[1]), head

    def send(self, payload: bytes, opcode: int = 2, final: bool = True) -> None:
        mask = os.urandom(4)
        size = len(payload)
        header = bytes([opcode | (0x80 if final else 0)])
        if size < 126:
            header += bytes([0x80 | size])
        elif size < 65536:
            header += bytes([0x80 | 126]) + size.to_bytes(2, "big")
        else:
            header += bytes([0x80 | 127]) + size.to_bytes(8, "big")
        self.writer.write(header + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))

    async def receive(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame."""
        first, second = await asyncio.wait_for(self.reader.readexactly(2), 5)
        assert first & 0x80, "the server never fragments"
        assert not second & 0x80, "the server never masks"
        size = second
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8), "big")
        return first & 0x0F, await self.reader.readexactly(size)


CONNECT = encode(Connect(client_id="a", user_name="user"))
CONNACK = b"\x20\x02\x00\x00"


@pytest.mark.parametrize(
    "path",
    ["/$iothub/websocket", "/%24iothub/websocket?iothub-no-client-cert=true", "/", "/mqtt", "/$iothub/websocket/"],
)
@pytest.mark.parametrize("offer", ["mqtt", "MQTT", "mqttv3.1, MQTT"])
async def test_paths_and_spellings(
    path: str, offer: str, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    identity = issue("device")
    async with listening(http_server(mqtt=(front_end,)), certificates) as address:
        socket, status, head = await RawWebSocket.ask(address, client_context(identity), path, offer)
        assert status == 101
        assert f"Sec-WebSocket-Protocol: {offer.rsplit(maxsplit=1)[-1]}\r\n" in head
        assert "aiohttp" not in head
        socket.send(CONNECT)
        assert await socket.receive() == (2, CONNACK)
        socket.writer.close()
    (peer,) = front_end.peers
    assert (peer.transport, peer.server_name, peer.chain) == ("websocket", "localhost", identity.der)


@pytest.mark.parametrize(
    "path",
    [
        "/$iothub/websocket",
        "/%24iothub/websocket?iothub-no-client-cert=true",
        "/",
        "/$servicebus/websocket",
        "/$servicebus/websocket/",
    ],
)
@pytest.mark.parametrize("offer", ["AMQPWSB10", "amqpwsb10", "soap, AMQPWSB10"])
async def test_amqp_inside(
    path: str, offer: str, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = AmqpEchoFrontEnd()
    identity = issue("device")
    async with listening(http_server(amqp=(front_end,)), certificates) as address:
        socket, status, head = await RawWebSocket.ask(address, client_context(identity), path, offer)
        assert status == 101
        assert f"Sec-WebSocket-Protocol: {offer.rsplit(maxsplit=1)[-1]}\r\n" in head

        async def read() -> bytes:
            return (await socket.receive())[1]

        client = Client(read, socket.send)
        opened = await client.open()
        assert opened.container_id == "homeport"
        await client.leave()
        socket.writer.close()
    (peer,) = front_end.peers
    assert (peer.transport, peer.server_name, peer.chain) == ("websocket", "localhost", identity.der)


@pytest.mark.parametrize(
    ("path", "offer", "version", "expected"),
    [
        ("/$iothub/websocket", None, "13", 400),
        ("/$iothub/websocket", "AMQPWSB11", "13", 400),
        ("/$iothub/websocket", "mqtt", "12", 400),
        ("/nobody", "mqtt", "13", 404),
    ],
)
async def test_refused_handshakes(
    path: str,
    offer: str | None,
    version: str,
    expected: int,
    certificates: ServerCertificates,
    client_context: ClientContext,
) -> None:
    front_end = EchoFrontEnd()
    async with listening(http_server(Mirror(), mqtt=(front_end,)), certificates) as address:
        socket, status, _ = await RawWebSocket.ask(address, client_context(), path, offer, version=version)
        assert status == expected
        socket.writer.close()
    assert front_end.peers == []


async def test_other_paths_stay_with_the_front_ends(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    mirror = Mirror()
    async with listening(http_server(mirror), certificates) as address:
        socket, status, _ = await RawWebSocket.ask(address, client_context(), "/live")
        assert status == 200
        socket.writer.close()
    assert len(mirror.peers) == 1


async def test_messages_are_only_pieces_of_the_stream(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(http_server(mqtt=(front_end,)), certificates) as address:
        socket, _, _ = await RawWebSocket.ask(address, client_context())
        for byte in CONNECT:
            socket.send(bytes([byte]))
        socket.send(b"")
        assert await socket.receive() == (2, CONNACK)
        publishes = b"".join(encode(Publish(topic="a", payload=bytes(n))) for n in (1, 200, 70_000))
        socket.send(publishes[:100], final=False)
        socket.send(b"still here?", opcode=9)  # a ping between the fragments
        socket.send(publishes[100:], opcode=0)
        assert await socket.receive() == (10, b"still here?")
        expected = b"".join(encode(Publish(topic="a/back", payload=bytes(n))) for n in (1, 200, 70_000))
        heard = b""
        while len(heard) < len(expected):
            opcode, payload = await socket.receive()
            assert opcode == 2
            heard += payload
        assert heard == expected
        socket.send(encode(Disconnect()))
        assert (await socket.receive())[0] == 8
        socket.send((1000).to_bytes(2, "big"), opcode=8)
        assert await asyncio.wait_for(socket.reader.read(), 5) == b""
        socket.writer.close()
    assert front_end.sessions[0].ends == [True]


async def test_text_is_refused(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(http_server(mqtt=(front_end,)), certificates) as address:
        socket, _, _ = await RawWebSocket.ask(address, client_context())
        socket.send(CONNECT)
        assert await socket.receive() == (2, CONNACK)
        socket.send(b"hello", opcode=1)
        opcode, payload = await socket.receive()
        assert (opcode, payload[:2]) == (8, (1003).to_bytes(2, "big"))
        socket.send(payload, opcode=8)
        socket.writer.close()
        await front_end.sessions[0].ended.wait()
    assert front_end.sessions[0].ends == [False]


async def test_too_large_a_message(certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    server = http_server(mqtt=(front_end,), websocket_message_bytes=1000)
    async with listening(server, certificates) as address:
        socket, _, _ = await RawWebSocket.ask(address, client_context())
        socket.send(CONNECT)
        assert await socket.receive() == (2, CONNACK)
        socket.send(bytes(2000))
        opcode, payload = await socket.receive()
        assert (opcode, payload[:2]) == (8, (1009).to_bytes(2, "big"))
        socket.writer.close()
        await front_end.sessions[0].ended.wait()


@pytest.mark.parametrize("how", ["close frame", "reset"])
async def test_the_clients_end(how: str, certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(http_server(mqtt=(front_end,)), certificates) as address:
        socket, _, _ = await RawWebSocket.ask(address, client_context())
        socket.send(CONNECT)
        assert await socket.receive() == (2, CONNACK)
        if how == "reset":
            socket.writer.transport.abort()
        else:
            socket.send((1000).to_bytes(2, "big"), opcode=8)
            assert (await socket.receive())[0] == 8
            socket.writer.close()
        await asyncio.wait_for(front_end.sessions[0].ended.wait(), 5)
    assert front_end.sessions[0].ends == [False]


async def test_a_cut_connection_has_no_close_frame(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(http_server(mqtt=(front_end,)), certificates) as address:
        socket, _, _ = await RawWebSocket.ask(address, client_context())
        socket.send(CONNECT)
        assert await socket.receive() == (2, CONNACK)
        front_end.sessions[0].link.abort()
        with suppress(ConnectionError):
            assert await asyncio.wait_for(socket.reader.read(), 5) == b""
        await asyncio.wait_for(front_end.sessions[0].ended.wait(), 5)
    assert front_end.sessions[0].ends == [False]


async def test_shutdown_closes_with_a_close_frame(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()

    async def answer_close(socket: RawWebSocket) -> None:
        assert (await socket.receive())[0] == 8
        socket.send((1000).to_bytes(2, "big"), opcode=8)
        socket.writer.close()

    async with asyncio.TaskGroup() as tasks:
        async with listening(http_server(mqtt=(front_end,)), certificates, grace=5) as address:
            socket, _, _ = await RawWebSocket.ask(address, client_context())
            socket.send(CONNECT)
            assert await socket.receive() == (2, CONNACK)
            tasks.create_task(answer_close(socket))
        assert front_end.sessions[0].ends == [False]


async def test_a_client_that_does_not_read_is_dropped(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    front_end = EchoFrontEnd()
    async with listening(http_server(mqtt=(front_end,)), certificates, close_seconds=0.2) as address:
        socket, _, _ = await RawWebSocket.ask(address, client_context())
        socket.send(CONNECT)
        assert await socket.receive() == (2, CONNACK)
        session = front_end.sessions[0]
        for _ in range(10_000):
            _ = session.link.publish("flood", bytes(10_000))
            await asyncio.sleep(0)
            if session.ended.is_set():
                break
        else:
            pytest.fail("still open after 100 MB")
        socket.writer.transport.abort()


@pytest.mark.parametrize("path", ["/$iothub/websocket", "/mqtt"])
async def test_paho(path: str, certificates: ServerCertificates, client_context: ClientContext) -> None:
    front_end = EchoFrontEnd()
    async with listening(http_server(mqtt=(front_end,)), certificates) as address:
        context = client_context(issue("device"))
        heard = await asyncio.to_thread(talk_with_paho, address, context, "websockets", path)
    assert sorted(heard) == sorted(b"%d" % number + bytes(1000 * number) for number in range(20))
    assert front_end.sessions[0].ends == [True]
