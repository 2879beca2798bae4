"""What a connection looks like to a protocol loop: bytes in both directions, and who is at the other end.

Never here: a protocol, a certificate's meaning.
"""

from typing import Any, Literal, NamedTuple, Protocol

from msgspec import Struct

__all__ = ["Address", "ByteStream", "ConnectionClosedError", "Peer", "TransportName"]

TransportName = Literal["tls", "websocket"]


class Address(NamedTuple):
    """An IP address in text form and a port."""

    host: str
    port: int

    @classmethod
    def of(cls, name: Any) -> "Address":
        """Read what a socket calls an address; an IPv4 client of an IPv6 socket is an IPv4 client."""
        return cls(name[0].removeprefix("::ffff:"), name[1]) if name else cls("", 0)


class Peer(Struct, frozen=True, kw_only=True):
    """The other end of one connection, as the transport saw it.

    `remote` is the client's address, `local` the one of ours it connected to. `server_name` is the name the
    client asked for in the TLS handshake (SNI, lower case), or None. `chain` holds the client's certificates
    in DER, the leaf first, in the order sent; it is empty when none was presented. The client has proven that
    it owns the leaf's private key; nothing else about the chain has been judged.
    """

    remote: Address
    local: Address
    server_name: str | None = None
    chain: tuple[bytes, ...] = ()
    transport: TransportName = "tls"


class ConnectionClosedError(ConnectionError):
    """The connection has ended; what was to be written cannot arrive any more."""


class ByteStream(Protocol):
    """An established connection. One reader; any number of writers on the event loop."""

    @property
    def peer(self) -> Peer:
        """The other end."""
        ...

    async def read(self) -> bytes:
        """Return what has arrived, at least one byte, waiting for it if need be; `b""` at the end.

        The end is orderly or not: a reset connection reads as ended too.
        """
        ...

    def write(self, data: bytes) -> None:
        """Queue bytes to be sent; after the end of the connection they are dropped."""
        ...

    @property
    def unsent(self) -> int:
        """How many bytes were written that the network has not taken yet."""
        ...

    async def drain(self) -> None:
        """Wait until the queue is short enough to write more.

        Raises ConnectionClosedError when the connection has ended.
        """
        ...

    async def close(self) -> None:
        """Send what is queued, end the connection in order, and wait until it is gone; bounded in time."""
        ...

    def abort(self) -> None:
        """Drop what is queued and end the connection without a word, as if the network had failed."""
        ...
