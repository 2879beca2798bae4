"""Below everything else: what is no TLS, what never becomes TLS, and hundreds of connections that want nothing."""

import contextlib
import os
import socket
import ssl
import struct

import pytest
from OpenSSL import SSL

from tests.hostile.target import HTTPS, MQTT, Target

MANY = 400
PORTS = pytest.mark.parametrize("port", [HTTPS, MQTT])

GARBAGE = {
    "plain HTTP": b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "plain MQTT": bytes.fromhex("100c00044d5154540402000000 00"),
    "zeros": bytes(5000),
    "noise": os.urandom(5000),
    "SSLv2 hello": bytes.fromhex("802e0100020015000000100100800200800300800400800500800600400700c0") + bytes(16),
    "TLS of another kind": b"\x17\x03\x03\x40\x00" + bytes(0x4000),
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "an empty record": b"\x16\x03\x03\x00\x00" * 1000,
    "a record beyond its size": b"\x16\x03\x01\xff\xff" + bytes(0xFFFF),
    "a hello that says it is huge": b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(0x3FFC),
    "a hello of nothing": b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
    "heartbleed": b"\x18\x03\x02\x00\x03\x01\x40\x00",
}


def heard(connection: socket.socket) -> bytes:
    """Return what the server says until it closes. Raises TimeoutError if it does not."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while received := connection.recv(65536):
            data += received
    return data


@PORTS
@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_instead_of_tls(target: Target, port: int, data: bytes) -> None:
    with target.connect_tcp(port) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        # At most a TLS alert, never an answer.
        answer = heard(connection)
    assert len(answer) < 100
    assert answer[:1] in {b"", b"\x15"}


@PORTS
def test_a_handshake_of_endless_size(target: Target, port: int) -> None:
    """Ten megabytes of a handshake message that is announced to go on: cut off by size, not only by time."""
    fragment = b"\x16\x03\x01\x40\x00" + bytes(0x4000)
    with target.connect_tcp(port) as connection:
        sent = 0
        with contextlib.suppress(OSError):
            connection.sendall(b"\x16\x03\x01\x00\x04\x01\xff\xff\xff")
            while sent < 10 * 1024 * 1024:
                connection.sendall(fragment)
                sent += len(fragment)
    assert sent < 10 * 1024 * 1024


@PORTS
@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated")
def test_old_versions_are_not_spoken(target: Target, port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)version|handshake|reset|eof|protocol"):
        target.connect(port, context).close()


@PORTS
def test_weak_ciphers_are_not_spoken(target: Target, port: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    for suites in ("NULL", "aNULL", "RC4", "3DES", "kRSA"):
        try:
            context.set_ciphers(f"{suites}:@SECLEVEL=0")
        except ssl.SSLError:
            continue  # this OpenSSL has none of them
        with pytest.raises(OSError, match=r"(?i)handshake|reset|eof|cipher"):
            target.connect(port, context).close()


def test_renegotiation_is_refused(target: Target) -> None:
    context = SSL.Context(SSL.TLSv1_2_METHOD)
    with target.connect_tcp() as plain:
        plain.settimeout(None)  # pyOpenSSL's own needs a blocking socket
        client = SSL.Connection(context, plain)
        client.set_tlsext_host_name(target.host.encode())
        client.set_connect_state()
        client.do_handshake()
        client.renegotiate()
        with pytest.raises(SSL.Error, match="no renegotiation"):
            client.send(f"GET /enrollments/x HTTP/1.1\r\nHost: {target.host}\r\n\r\n".encode())


@PORTS
def test_hundreds_of_half_open_connections(target: Target, port: int) -> None:
    """They hold nobody else up, and leave in every way there is."""
    connections = [target.connect_tcp(port) for _ in range(MANY)]
    try:
        target.register_a_normal_device()
        for number, connection in enumerate(connections):
            if number % 4 == 1:
                connection.sendall(b"\x16")
            if number % 4 == 2:
                connection.shutdown(socket.SHUT_WR)
            if number % 4 == 3:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
        target.register_a_normal_device()
    finally:
        for connection in connections:
            connection.close()


@PORTS
def test_hundreds_that_shake_hands_and_leave(target: Target, port: int) -> None:
    context = target.context()
    for number in range(MANY // 2):
        connection = target.connect(port, context)
        if number % 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    target.register_a_normal_device()


def test_bytes_altered_on_the_way(target: Target) -> None:
    with target.connect_tcp() as plain:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = target.context().wrap_bio(incoming, outgoing, server_hostname=target.host)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        tls.write(b"GET /enrollments/x HTTP/1.1\r\nHost: h\r\n\r\n")
        record = bytearray(outgoing.read())
        record[-1] ^= 1
        plain.sendall(record)
        incoming.write(heard(plain))
        with contextlib.suppress(ssl.SSLError):
            assert b"HTTP" not in tls.read(65536)


def test_server_names_that_are_none(target: Target) -> None:
    context = target.context()
    context.check_hostname = False
    for name in ("a" * 63 + ".example", "xn--nxasmq6b.example", "localhost", "other.example", "127.0.0.1"):
        with (
            target.connect_tcp() as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
        ):
            connection.sendall(f"GET /enrollments/x HTTP/1.1\r\nHost: {target.host}\r\n\r\n".encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
