"""TLS over memory buffers: asks for a client certificate, takes any, proves possession of its key, never judges it.

Never here: listening, and what is said inside the tunnel.
"""

import asyncio
import logging
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Final, Protocol, cast

from OpenSSL import SSL

from homeport.net.stream import Address, Peer
from homeport.net.tls_limits import TlsLimits
from homeport.net.tls_reading import RECORD, Records, client_certificates, is_hello, reason, server_name

__all__ = ["Owner", "TlsConnection", "TlsLimits"]

_log = logging.getLogger(__name__)

_RECORD_OVERHEAD: Final = 128  # header, nonce, padding and tag of any suite we offer, rounded up
_MAX_DISCARDED: Final = 1024 * 1024

Buffer = bytes | bytearray | memoryview


class Owner(Protocol):
    """Who accepts connections: told of each step in the life of one."""

    limits: TlsLimits

    def arrived(self, connection: "TlsConnection") -> None:
        """Learn of a connection, and call `abort` if it is not wanted."""
        ...

    def knocked(self, connection: "TlsConnection") -> None:
        """Call `begin`, now or later: the client's first message is here, and no more is read until then."""
        ...

    def context(self) -> SSL.Context:
        """Give the TLS context for a handshake that begins now."""
        ...

    def established(self, connection: "TlsConnection") -> asyncio.Protocol:
        """Give the protocol to speak over the connection, whose handshake is complete."""
        ...

    def left(self, connection: "TlsConnection") -> None:
        """Forget a connection; the last call."""
        ...


class _Stage(IntEnum):
    WAITING = 0
    HANDSHAKE = 1
    OPEN = 2
    CLOSING = 3
    CLOSED = 4


class TlsConnection(asyncio.Protocol, asyncio.Transport):
    """One TLS connection: a Protocol to the socket below it, a Transport to the protocol above it.

    The protocol above starts once the handshake is complete, which with TLS 1.3 includes the client's
    certificate. Back-pressure goes straight through: pausing here pauses the socket, and a full socket pauses
    the writer above.
    """

    __slots__ = (
        "_early",
        "_ended",
        "_knocked",
        "_lower",
        "_owner",
        "_received",
        "_records",
        "_remote",
        "_stage",
        "_timer",
        "_tls",
        "_upper",
        "_writing_paused",
        "peer",
    )

    peer: Peer
    """The other end; there from `established` on."""

    def __init__(self, owner: Owner, remote: Address | None = None) -> None:
        """Belong to a listener. `remote` is the client's address when the socket's other end is a load balancer."""
        self._owner = owner
        self._remote = remote
        self._stage = _Stage.WAITING
        self._lower: asyncio.Transport | None = None
        self._upper: asyncio.Protocol | None = None
        self._tls: SSL.Connection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._early = b""  # the client's first message; a handshake costs nothing before that is complete
        self._knocked = False
        self._records = Records()
        self._received = 0  # bytes that bought nothing: in the handshake, and after our close
        self._ended = False  # the client has said that it will not send any more
        self._writing_paused = False

    # --- the socket's side --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lower = cast("asyncio.Transport", transport)  # uvloop's own is no subclass
        self._owner.arrived(self)
        if self._stage is _Stage.WAITING:
            self._after(self._owner.limits.handshake_seconds, "it did not say what it wants")

    @property
    def remote(self) -> Address:
        """The client's address; there from `arrived` on."""
        if self._remote is None:
            assert self._lower is not None
            self._remote = Address.of(self._lower.get_extra_info("peername"))
        return self._remote

    def begin(self) -> None:
        """Start the handshake."""
        if self._stage is not _Stage.WAITING or self._lower is None:
            return
        self._stage = _Stage.HANDSHAKE
        self._after(self._owner.limits.handshake_seconds, "the handshake took too long")
        self._tls = SSL.Connection(self._owner.context(), None)
        self._tls.set_accept_state()
        self._lower.resume_reading()
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        if self._tls is None:
            self._early += data
            if self._lower is not None and not self._knocked and is_hello(self._early):
                self._knocked = True
                self._lower.pause_reading()
                self._after(self._owner.limits.queue_seconds, "too many handshakes were before it")
                self._owner.knocked(self)
            return
        largest = min(len(data), RECORD) if self._records.between else RECORD
        complete = self._records.feed(data)
        if self._stage is _Stage.OPEN:
            self._tls.bio_write(data)
            self._decrypt(complete or -1, largest)
            return
        self._received += len(data)
        if self._stage is _Stage.HANDSHAKE:
            self._tls.bio_write(data)
            self._shake_hands()
        elif self._received > _MAX_DISCARDED:
            self.abort()

    def eof_received(self) -> bool:
        if self._stage is not _Stage.OPEN:
            if self._lower is not None:
                self._lower.close()
            return True
        if not self._ended:
            # No close_notify came before: the client is gone, and not just done with speaking.
            self._end_of_input()
            self.close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._stage = _Stage.CLOSED
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        upper, self._upper = self._upper, None
        self._lower = self._tls = None
        try:
            if upper is not None:
                upper.connection_lost(exc)
        finally:
            self._owner.left(self)

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self._upper is not None:
            self._upper.pause_writing()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._upper is not None:
            self._upper.resume_writing()

    # --- TLS ----------------------------------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        tls = self._tls
        assert tls is not None
        try:
            tls.do_handshake()
        except SSL.WantReadError:
            self._flush()
            # Only now: the flight that completes a handshake may bring any amount of what follows it.
            if self._received > self._owner.limits.handshake_bytes:
                self._give_up("the handshake is too large")
            return
        except SSL.Error as fault:
            self._flush()  # the alert
            self._give_up(f"the handshake failed: {reason(fault)}")
            return
        self._flush()
        chain = client_certificates(tls, self._owner.limits)
        if chain is None:
            self._give_up("the certificate chain is too large")
            return
        assert self._lower is not None
        self.peer = Peer(
            remote=self.remote,
            local=Address.of(self._lower.get_extra_info("sockname")),
            server_name=server_name(tls.get_servername()),
            chain=chain,
        )
        self._stage = _Stage.OPEN
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        upper = self._upper = self._owner.established(self)
        upper.connection_made(self)
        if self._writing_paused and self._upper is upper:
            upper.pause_writing()
        if self._stage is _Stage.OPEN:
            self._decrypt()  # what came in the same flight as the client's Finished

    def _decrypt(self, records: int = -1, largest: int = RECORD) -> None:
        """Hand on the content of so many records of at most so many bytes; below 0: of all there are."""
        tls = self._tls
        assert tls is not None
        chunks: list[bytes] = []
        ended = broken = False
        try:
            while records:  # to ask once more costs as much as a record
                chunks.append(tls.recv(largest))
                records -= 1
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            ended = True
        except SSL.Error as fault:
            _log.debug("TLS from %s broke: %s", self.peer.remote.host, reason(fault))
            broken = True
        if chunks and self._upper is not None:
            self._upper.data_received(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        else:
            self._flush()  # records for OpenSSL itself may want an answer: a key update, a refused renegotiation
        if broken:
            self._flush()
            self.abort()
        elif ended and not self._ended:
            self._end_of_input()

    def _end_of_input(self) -> None:
        """Tell the protocol above; it may go on writing if it says so."""
        self._ended = True
        if self._stage is _Stage.OPEN and self._upper is not None and not self._upper.eof_received():
            self.close()

    def _flush(self, expected: int = RECORD) -> None:
        if self._tls is None or self._lower is None:
            return
        try:
            while True:
                data = self._tls.bio_read(expected)
                self._lower.write(data)
                if len(data) < expected:
                    return
        except SSL.WantReadError:
            return

    def _give_up(self, why: str) -> None:
        if self._lower is not None:
            _log.debug("Refused %s: %s", self.remote.host, why)
            self._stage = _Stage.CLOSING
            self._lower.close()

    def _after(self, seconds: float, why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._too_late, why)

    def _too_late(self, why: str) -> None:
        self._timer = None
        if self._lower is not None:
            _log.debug("Cut off %s: %s", self.remote.host, why)
            self.abort()

    # --- the side of the protocol above -------------------------------------------------------------------------

    def write(self, data: Buffer) -> None:
        if self._stage is not _Stage.OPEN or not data:
            return
        assert self._tls is not None
        try:
            self._tls.sendall(data)
        except SSL.Error as fault:
            _log.debug("TLS to %s broke: %s", self.peer.remote.host, reason(fault))
            self.abort()
            return
        size = len(data)
        self._flush(size + (size // RECORD + 1) * _RECORD_OVERHEAD)

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Flush and say close_notify, then wait a little for the client's end.

        A socket closed with unread input resets the connection, and the reset may overtake our last words.
        """
        if self._stage is _Stage.WAITING or self._stage is _Stage.HANDSHAKE:
            self.abort()
        if self._stage is not _Stage.OPEN:
            return
        self._stage = _Stage.CLOSING
        self._received = 0
        assert self._tls is not None
        assert self._lower is not None
        try:
            self._tls.shutdown()
        except SSL.Error:
            self.abort()
            return
        self._flush()
        self._after(self._owner.limits.close_seconds, "closing took too long")
        if self._ended or self._lower.is_closing():
            self._lower.close()
            return
        try:
            self._lower.write_eof()
        except OSError:
            # The client went away without a word a moment ago.
            self.abort()
        else:
            self._lower.resume_reading()

    def abort(self) -> None:
        if self._stage is not _Stage.CLOSED:
            self._stage = _Stage.CLOSING
        if self._lower is not None:
            self._lower.abort()

    def is_closing(self) -> bool:
        return self._stage > _Stage.OPEN or self._lower is None or self._lower.is_closing()

    def can_write_eof(self) -> bool:
        return False

    def write_eof(self) -> None:
        raise NotImplementedError("a TLS connection is closed in both directions by close()")

    def pause_reading(self) -> None:
        if self._stage is _Stage.OPEN and self._lower is not None:
            self._lower.pause_reading()

    def resume_reading(self) -> None:
        if self._stage is _Stage.OPEN and self._lower is not None:
            self._lower.resume_reading()

    def is_reading(self) -> bool:
        return self._lower is not None and self._lower.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._lower is not None:
            self._lower.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return 0 if self._lower is None else self._lower.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return (0, 0) if self._lower is None else self._lower.get_write_buffer_limits()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._upper or self

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._upper = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As of the socket below, and `peer`; `sslcontext` is there to say that the connection is secure."""
        if name == "peer":
            return self.peer
        if name == "sslcontext":
            return default if self._tls is None else self._tls.get_context()
        return default if self._lower is None else self._lower.get_extra_info(name, default)
