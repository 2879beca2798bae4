"""One TLS client connection on a non-blocking socket, driven by generators that yield what they wait for.

As little Python per byte as possible: the generator shares its processors with the server it measures.
"""

import errno
import os
import select
import socket
import time
from collections.abc import Generator
from dataclasses import dataclass, field

from OpenSSL import SSL, crypto

from tests.certificates import Certified

Steps = Generator[int, None, None]
"""A conversation; yields select.EPOLLIN or EPOLLOUT and goes on when that holds."""

Place = tuple[str, int]

_CHUNK = 64 * 1024
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: the port is chosen when it is known where to


class PeerEndedError(Exception):
    """The server ended the connection."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a device shows in the handshake."""

    certificate: crypto.X509
    key: crypto.PKey = field(repr=False)

    @classmethod
    def of(cls, certified: Certified) -> "Credential":
        return cls(
            crypto.X509.from_cryptography(certified.certificate), crypto.PKey.from_cryptography_key(certified.key)
        )


def client_context(tls: str, intermediate: Certified | None = None) -> SSL.Context:
    """Return a context for many devices; they share the certificate that issued theirs.

    `tls` is "1.2" or "1.3". The server's certificate is not verified, which spares the client's processor and
    changes nothing for the server; sessions are not kept, so that every handshake is a full one.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    version = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}[tls]
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if intermediate is not None:
        context.add_extra_chain_cert(intermediate.certificate)
    return context


class Link:
    """A connection from its first packet on."""

    __slots__ = ("answered", "began", "socket", "tls")

    def __init__(
        self,
        place: Place,
        context: SSL.Context,
        credential: Credential | None = None,
        *,
        source: str | None = None,
    ) -> None:
        """Begin to connect; `began` and `answered` are on the clock of time.perf_counter.

        `source` is the address to come from.
        """
        self.began = self.answered = time.perf_counter()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            self.socket.bind((source, 0))
        started = self.socket.connect_ex(place)
        if started not in (0, errno.EINPROGRESS):
            self.socket.close()
            raise OSError(started, os.strerror(started))
        self.tls = SSL.Connection(context, self.socket)
        self.tls.set_connect_state()
        if credential is not None:
            self.tls.use_certificate(credential.certificate)
            self.tls.use_privatekey(credential.key)

    def open(self) -> Steps:
        """Connect and shake hands."""
        yield select.EPOLLOUT
        failed = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise OSError(failed, os.strerror(failed))
        while True:
            try:
                self.tls.do_handshake()
            except SSL.WantReadError:
                yield select.EPOLLIN
            except SSL.WantWriteError:
                yield select.EPOLLOUT
            except SSL.SysCallError as fault:
                raise PeerEndedError("the server ended the connection in the handshake") from fault
            else:
                return

    def send(self, data: bytes) -> Steps:
        while True:
            try:
                sent = self.tls.send(data)
            except SSL.WantWriteError:
                yield select.EPOLLOUT
            except SSL.WantReadError:
                yield select.EPOLLIN
            else:
                if sent == len(data):
                    return
                data = data[sent:]

    def receive(self) -> Generator[int, None, bytes]:
        """Return what has arrived, waiting for it. Raises PeerEndedError."""
        while True:
            try:
                return self.tls.recv(_CHUNK)
            except SSL.WantReadError:
                yield select.EPOLLIN
            except (SSL.ZeroReturnError, SSL.SysCallError) as fault:
                raise PeerEndedError("the server ended the connection") from fault

    def close(self) -> Steps:
        """Say goodbye and wait until the server has said it too, so that all its work is done."""
        self.tls.shutdown()
        try:
            while True:
                yield from self.receive()
        except PeerEndedError:
            pass
        finally:
            self.socket.close()
