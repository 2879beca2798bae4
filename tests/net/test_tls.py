"""The TLS transport against Python's own ssl, on both event loops."""

import asyncio
import dataclasses
import socket
import ssl
import struct
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL

from homeport.net.arrivals import DEFAULT_ARRIVALS, ArrivalLimits, Arrivals
from homeport.net.certificates import CertificateError, ServerCertificates
from homeport.net.listener import Listener, ListenerLimits, Spawn
from homeport.net.stream import ByteStream, ConnectionClosedError, Peer
from homeport.net.tls import TlsLimits
from homeport.net.tls_stream import TlsStream
from homeport.values import replace
from tests.net.certs import Identity, issue
from tests.net.clients import speak_and_half_close
from tests.net.conftest import ClientContext

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Echo:
    """Sends back what it gets, and notes who came."""

    def __init__(self, serve: Callable[[ByteStream], Any] | None = None) -> None:
        self.peers: list[Peer] = []
        self.serve = serve or self.echo

    def protocol(self, spawn: Spawn) -> asyncio.Protocol:
        return TlsStream(lambda stream: spawn(self._serve(stream)))

    async def _serve(self, stream: ByteStream) -> None:
        self.peers.append(stream.peer)
        await self.serve(stream)

    async def echo(self, stream: ByteStream) -> None:
        while data := await stream.read():
            stream.write(data)
            await stream.drain()
        await stream.close()

    async def finish(self, grace: float) -> None:
        pass


def listen(service: Echo, certificates: ServerCertificates, grace: float = 0.2, **limits: Any) -> Listener:
    tls = {k: limits.pop(k) for k in tuple(limits) if k in TlsLimits.__struct_fields__}
    arrivals = {k: limits.pop(k) for k in tuple(limits) if k in ArrivalLimits.__struct_fields__}
    return Listener(
        service,
        certificates,
        port=0,
        addresses=["127.0.0.1"],
        limits=ListenerLimits(tls=TlsLimits(**tls)),
        arrivals=Arrivals(replace(DEFAULT_ARRIVALS, **arrivals), now=time.monotonic),
        grace=grace,
        **limits,
    )


async def connect(
    listener: Listener, context: ssl.SSLContext, name: str = "localhost"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = listener.addresses[0]
    return await asyncio.open_connection(host, port, ssl=context, server_hostname=name)


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes = b"hello") -> bytes:
    writer.write(data)
    await writer.drain()
    return await reader.readexactly(len(data))


def root() -> Identity:
    return issue("A root", ca=True)


IDENTITIES = {
    "none": lambda: None,
    "self-signed": lambda: issue("device"),
    "self-signed RSA": lambda: issue("device", key=rsa.generate_private_key(65537, 2048)),
    "P-384": lambda: issue("device", key=ec.generate_private_key(ec.SECP384R1())),
    "expired": lambda: issue("device", days=-5),
    "unknown CA, issuer sent": lambda: issue("device", root()),
    "unknown CA, two issuers sent": lambda: issue("device", issue("Intermediate", root(), ca=True)),
    "unknown CA, issuer not sent": lambda: dataclasses.replace(issue("device", root()), issuers=()),
    "issued by a certificate that is no CA": lambda: issue("device", issue("not a CA")),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", IDENTITIES)
async def test_any_client_certificate_is_taken_and_shown_whole(
    kind: str, version: ssl.TLSVersion, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    identity = IDENTITIES[kind]()
    echo = Echo()
    async with listen(echo, certificates) as listener:
        reader, writer = await connect(listener, client_context(identity, version=version))
        assert await say(reader, writer) == b"hello"
        sockname = writer.get_extra_info("sockname")
        assert writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
        writer.close()
    (peer,) = echo.peers
    assert peer.chain == (identity.der if identity else ())
    assert peer.server_name == "localhost"
    assert peer.remote == sockname
    assert peer.local == ("127.0.0.1", peer.local.port)
    assert peer.transport == "tls"


async def test_the_client_must_own_the_key(certificates: ServerCertificates) -> None:
    """A CertificateVerify spoilt on its way proves nothing."""
    identity = issue("device")
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.use_certificate(identity.certificate)
    context.use_privatekey(identity.key)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    echo = Echo()
    spoilt = False
    async with listen(echo, certificates) as listener:
        reader, writer = await asyncio.open_connection(*listener.addresses[0])
        while True:
            with suppress(SSL.WantReadError):
                client.do_handshake()
            for record in records(client.bio_read(65536)):
                payload = bytearray(record)
                if payload[0] == 22 and payload[5] == 15:  # CertificateVerify
                    payload[-3] ^= 1
                    spoilt = True
                writer.write(bytes(payload))
            data = await asyncio.wait_for(reader.read(65536), 5)
            if not data or data[0] == 21:  # an alert
                break
            client.bio_write(data)
        writer.close()
    assert spoilt
    assert echo.peers == []


def records(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = 5 + struct.unpack(">H", data[3:5])[0]
        found.append(data[:size])
        data = data[size:]
    return found


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_resumed_session_keeps_chain_and_name(
    version: ssl.TLSVersion, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    identity = issue("device", issue("Intermediate", root(), ca=True))
    echo = Echo()
    context = client_context(identity, version=version)

    def visit(address: tuple[str, int], session: ssl.SSLSession | None) -> tuple[ssl.SSLSession, bool]:
        with (
            socket.create_connection(address, timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as secure,
        ):
            secure.sendall(b"hello")
            assert secure.recv(5) == b"hello"
            assert secure.session is not None
            return secure.session, bool(secure.session_reused)

    async with listen(echo, certificates) as listener:
        address = listener.addresses[0]
        session, reused = await asyncio.to_thread(visit, address, None)
        assert not reused
        _, reused = await asyncio.to_thread(visit, address, session)
        assert reused
    first, second = echo.peers
    assert second.chain == first.chain == identity.der
    assert second.server_name == first.server_name == "localhost"


async def test_alpn_offers_http_1_1_where_told_and_never_h2(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    async with listen(Echo(), certificates, alpn=(b"http/1.1",)) as listener:
        for offer, chosen in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None), (None, None)):
            reader, writer = await connect(listener, client_context(alpn=offer))
            assert await say(reader, writer) == b"hello"
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
            writer.close()
    async with listen(Echo(), certificates) as listener:
        reader, writer = await connect(listener, client_context(alpn=["mqtt"]))
        assert await say(reader, writer) == b"hello"
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() is None
        writer.close()


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"])
async def test_the_suites_of_the_contract(
    suite: str, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    context = client_context(version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(suite)
    async with listen(Echo(), certificates) as listener:
        reader, writer = await connect(listener, context)
        assert await say(reader, writer) == b"hello"
        writer.close()


async def test_old_versions_are_refused(certificates: ServerCertificates, client_context: ClientContext) -> None:
    context = client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    echo = Echo()
    async with listen(echo, certificates) as listener:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect(listener, context)
    assert echo.peers == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_too_many_certificates_end_the_handshake(
    version: ssl.TLSVersion, certificates: ServerCertificates, client_context: ClientContext
) -> None:
    identity = root()
    for depth in range(3):
        identity = issue(f"Intermediate {depth}", identity, ca=True)
    echo = Echo()
    async with listen(echo, certificates, chain_certificates=3) as listener:
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await say(*await connect(listener, client_context(identity, version=version)))
    assert echo.peers == []


async def test_too_large_certificates_end_the_handshake(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    echo = Echo()
    async with listen(echo, certificates, chain_bytes=5000) as listener:
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await say(*await connect(listener, client_context(issue("device", padding=6000))))
        reader, writer = await connect(listener, client_context(issue("device")))
        assert await say(reader, writer) == b"hello"
        writer.close()
    assert len(echo.peers) == 1


async def test_an_endless_handshake_is_cut(certificates: ServerCertificates) -> None:
    """A ClientHello that announces 100,000 bytes gets no more than the limit."""
    async with listen(Echo(), certificates, handshake_bytes=5000) as listener:
        reader, writer = await asyncio.open_connection(*listener.addresses[0])
        hello = b"\x01" + (100_000).to_bytes(3, "big") + bytes(996)
        sent = 0
        with suppress(ConnectionError):
            while sent < 50_000 and not reader.at_eof():
                writer.write(b"\x16\x03\x01" + (1000).to_bytes(2, "big") + hello)
                await writer.drain()
                sent += 1000
                hello = bytes(1000)
                with suppress(TimeoutError):
                    assert await asyncio.wait_for(reader.read(), 0.01) == b""
        assert 4000 <= sent < 15_000
        writer.close()


async def test_a_handshake_that_takes_too_long_is_cut(certificates: ServerCertificates) -> None:
    async with listen(Echo(), certificates, handshake_seconds=0.1) as listener:
        for opening in (b"", b"\x16\x03\x01"):
            reader, writer = await asyncio.open_connection(*listener.addresses[0])
            writer.write(opening)
            with suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
        assert listener.connections == 0


async def test_garbage_instead_of_a_handshake(certificates: ServerCertificates) -> None:
    echo = Echo()
    async with listen(echo, certificates) as listener:
        reader, writer = await asyncio.open_connection(*listener.addresses[0])
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer == b"" or answer[0] == 21  # a TLS alert at most
        writer.close()
    assert echo.peers == []


async def test_large_transfer_both_ways(certificates: ServerCertificates, client_context: ClientContext) -> None:
    data = bytes(range(256)) * 20_000
    async with listen(Echo(), certificates) as listener:
        reader, writer = await connect(listener, client_context())
        answer, _ = await asyncio.gather(reader.readexactly(len(data)), feed(writer, data))
        assert answer == data
        writer.close()


async def feed(writer: asyncio.StreamWriter, data: bytes) -> None:
    for start in range(0, len(data), 50_000):
        writer.write(data[start : start + 50_000])
        await writer.drain()


async def test_a_slow_reader_holds_the_writer_back(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    """What a client does not fetch waits in bounded buffers: the writer is stopped long before 50 MB."""
    written = 0
    stopped = asyncio.Event()
    total = 50_000_000

    async def pour(stream: ByteStream) -> None:
        nonlocal written
        while written < total:
            stream.write(bytes(100_000))
            written += 100_000
            try:
                async with asyncio.timeout(0.5):
                    await stream.drain()
            except TimeoutError:
                stopped.set()
                await stream.drain()
        await stream.close()

    def fetch(address: tuple[str, int], go: Callable[[], Any]) -> int:
        # A blocking client: uvloop's TLS client loses what it holds while paused when the end comes.
        with (
            socket.create_connection(address, timeout=20) as plain,
            client_context().wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            go()
            received = 0
            while data := secure.recv(1 << 20):
                received += len(data)
            return received

    async with listen(Echo(pour), certificates, close_seconds=30) as listener:
        loop = asyncio.get_running_loop()
        fetched = asyncio.to_thread(
            fetch,
            listener.addresses[0],
            lambda: asyncio.run_coroutine_threadsafe(stopped.wait(), loop).result(20),
        )
        async with asyncio.TaskGroup() as tasks:
            fetching = tasks.create_task(fetched)
            await asyncio.wait_for(stopped.wait(), 20)
            assert written < total / 2
        assert fetching.result() == total


async def test_a_slow_server_holds_the_client_back(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    go = asyncio.Event()
    received = 0

    async def later(stream: ByteStream) -> None:
        nonlocal received
        await go.wait()
        while data := await stream.read():
            assert len(data) < 2_000_000
            received += len(data)
        await stream.close()

    total = 50_000_000
    async with listen(Echo(later), certificates, grace=10) as listener:
        _, writer = await connect(listener, client_context())
        sent = 0
        with suppress(TimeoutError):
            while sent < total:
                writer.write(bytes(100_000))
                sent += 100_000
                async with asyncio.timeout(0.5):
                    await writer.drain()
        assert sent < total / 2
        go.set()
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert received == sent


async def test_half_close_lets_the_answer_through(certificates: ServerCertificates) -> None:
    """After close_notify the client may still read (RFC 8446, section 6.1)."""

    async def answer_at_the_end(stream: ByteStream) -> None:
        heard = b""
        while data := await stream.read():
            heard += data
        await asyncio.sleep(0.05)
        stream.write(b"you said " + heard)
        await stream.close()

    async with listen(Echo(answer_at_the_end), certificates) as listener:
        heard = await speak_and_half_close(listener.addresses[0], b"hello")
        assert heard == b"you said hello"


async def test_close_is_orderly_even_with_unread_input(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    """The last words arrive although the client keeps talking: no reset overtakes them."""

    async def refuse(stream: ByteStream) -> None:
        await stream.read()
        stream.write(b"no")
        await stream.close()

    async with listen(Echo(refuse), certificates) as listener:
        for _ in range(10):
            reader, writer = await connect(listener, client_context())
            writer.write(bytes(200_000))
            assert await reader.readexactly(2) == b"no"
            assert await reader.read() == b""
            writer.close()


async def test_a_client_that_never_closes_is_dropped(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    closed = asyncio.Event()

    async def leave(stream: ByteStream) -> None:
        await stream.close()
        with pytest.raises(ConnectionClosedError):
            await stream.drain()
        stream.write(b"too late")
        assert await stream.read() == b""
        closed.set()

    async with listen(Echo(leave), certificates, close_seconds=0.1) as listener:
        address, context = listener.addresses[0], client_context()
        plain = await asyncio.to_thread(socket.create_connection, address)
        secure = await asyncio.to_thread(context.wrap_socket, plain, server_hostname="localhost")
        await asyncio.wait_for(closed.wait(), 5)
        assert listener.connections == 0
        secure.close()


async def test_reset_reads_as_the_end(certificates: ServerCertificates, client_context: ClientContext) -> None:
    ended = asyncio.Event()

    async def wait(stream: ByteStream) -> None:
        assert await stream.read() == b"hello"
        stream.write(b"hello")
        assert await stream.read() == b""
        ended.set()

    async with listen(Echo(wait), certificates) as listener:
        reader, writer = await connect(listener, client_context())
        assert await say(reader, writer) == b"hello"
        writer.transport.abort()
        await asyncio.wait_for(ended.wait(), 5)


async def test_certificate_can_be_replaced_while_serving(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    successor = issue("localhost")
    async with listen(Echo(), certificates) as listener:
        old = await connect(listener, client_context())
        assert await say(*old) == b"hello"
        certificates.replace(successor.chain_pem, successor.key_pem)
        new = await connect(listener, client_context(trust=successor))
        assert await say(*new) == b"hello"
        assert await say(*old) == b"hello"
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(listener, client_context())
        with pytest.raises(CertificateError, match="together"):
            certificates.replace(successor.chain_pem, issue("other").key_pem)
        again = await connect(listener, client_context(trust=successor))
        for _, writer in (old, new, again):
            writer.close()


async def test_no_server_name_and_a_strange_one(
    certificates: ServerCertificates, client_context: ClientContext
) -> None:
    echo = Echo()
    context = client_context()
    context.check_hostname = False
    async with listen(echo, certificates) as listener:
        for name in ("127.0.0.1", "LocalHost", "hub.example."):
            reader, writer = await connect(listener, context, name)
            assert await say(reader, writer) == b"hello"
            writer.close()
    assert [peer.server_name for peer in echo.peers] == [None, "localhost", "hub.example"]


async def test_renegotiation_is_refused(certificates: ServerCertificates) -> None:
    """TLS 1.2 would let a client ask for handshakes without end."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    async with listen(Echo(), certificates) as listener:
        reader, writer = await asyncio.open_connection(*listener.addresses[0])

        async def exchange() -> None:
            with suppress(SSL.WantReadError):
                writer.write(client.bio_read(65536))
            data = await asyncio.wait_for(reader.read(65536), 5)
            assert data
            client.bio_write(data)

        while True:
            try:
                client.do_handshake()
                break
            except SSL.WantReadError:
                await exchange()
        client.send(b"hello")
        await exchange()
        assert client.recv(10) == b"hello"
        client.renegotiate()
        with suppress(SSL.WantReadError):
            client.do_handshake()
        await exchange()
        with pytest.raises(SSL.Error, match="no renegotiation"):
            client.do_handshake()
        assert client.total_renegotiations() <= 1
        writer.close()
