"""The PROXY protocol, versions 1 and 2: a load balancer that passes TCP through says who is behind it.

https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt; section numbers are of that text. The header is taken only
from networks the operator trusts, and from them it must come: guessing would let anybody claim any address.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, cast

from homeport.net.stream import Address

__all__ = ["Introduced", "NotAHeaderError", "Preamble", "is_trusted", "read_header"]

_log = logging.getLogger(__name__)

_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V1: Final = b"PROXY "
_V1_MOST: Final = 107  # section 2.1
_V2_MOST: Final = 16 + 2048
"""Addresses and what else a proxy may want to tell (TLVs, which are skipped)."""
_SECONDS: Final = 5.0


class NotAHeaderError(ValueError):
    """What came is no header of the PROXY protocol."""


class Introduced(NamedTuple):
    """A whole header. `source` is None when the proxy speaks for itself, as in its health checks."""

    source: Address | None
    size: int


def read_header(data: bytes) -> Introduced | None:
    """Read the header at the beginning of `data`; None if more must come. Raises NotAHeaderError."""
    if data.startswith(_SIGNATURE):
        return _read_v2(data)
    if data.startswith(_V1):
        return _read_v1(data)
    if _SIGNATURE.startswith(data) or _V1.startswith(data):
        return None
    raise NotAHeaderError("it begins with something else")


def _read_v1(data: bytes) -> Introduced | None:
    line, end, _ = data[:_V1_MOST].partition(b"\r\n")
    if not end:
        if len(data) >= _V1_MOST:
            raise NotAHeaderError("the line does not end")
        return None
    size = len(line) + 2
    match line.split(b" "):
        case [_, b"UNKNOWN", *_]:
            return Introduced(None, size)
        case [_, b"TCP4" | b"TCP6" as family, source, _, port, _]:
            return Introduced(_address(source, port, 4 if family == b"TCP4" else 6), size)
        case _:
            raise NotAHeaderError("the line has other fields")


def _address(host: bytes, port: bytes, version: int) -> Address:
    try:
        parsed = ipaddress.ip_address(host.decode("ascii"))
    except ValueError:
        raise NotAHeaderError("the source is no address") from None
    if parsed.version != version or not port.isdigit() or int(port) > 65535:
        raise NotAHeaderError("the source is no address of its family")
    return Address(_text(parsed), int(port))


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Spell an address; an IPv4 client of an IPv6 socket is an IPv4 client."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _read_v2(data: bytes) -> Introduced | None:
    if len(data) < 16:
        return None
    command, family = data[12], data[13]
    length = int.from_bytes(data[14:16])
    if command not in {0x20, 0x21} or 16 + length > _V2_MOST:
        raise NotAHeaderError("another version, command or size")
    if len(data) < 16 + length:
        return None
    body, size = data[16 : 16 + length], 16 + length
    if command == 0x20:
        return Introduced(None, size)
    match family:
        case 0x11 if length >= 12:
            source, port = ipaddress.ip_address(body[:4]), body[8:10]
        case 0x21 if length >= 36:
            source, port = ipaddress.ip_address(body[:16]), body[32:34]
        case 0x00:
            return Introduced(None, size)
        case _:
            raise NotAHeaderError("the source is no TCP address")
    return Introduced(Address(_text(source), int.from_bytes(port)), size)


def is_trusted(address: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    """Tell whether the other end of a socket is one of the operator's load balancers."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


class Preamble(asyncio.Protocol):
    """The first bytes of a connection from a trusted proxy; then `make` gets the client's address and takes over."""

    def __init__(self, make: Callable[[Address | None], asyncio.Protocol], trusted: Callable[[str], bool]) -> None:
        self._make = make
        self._trusted = trusted
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._trusted(Address.of(transport.get_extra_info("peername")).host):
            self._hand_over(None, b"")
            return
        self._timer = asyncio.get_running_loop().call_later(_SECONDS, self._refuse, "no PROXY header in time")

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            introduced = read_header(self._received)
        except NotAHeaderError as error:
            self._refuse(f"no PROXY header: {error}")
            return
        if introduced is not None:
            self._hand_over(introduced.source, self._received[introduced.size :])

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._timer is not None:
            self._timer.cancel()

    def _hand_over(self, source: Address | None, rest: bytes) -> None:
        transport = self._transport
        assert transport is not None
        if self._timer is not None:
            self._timer.cancel()
        upper = self._make(source)
        transport.set_protocol(upper)
        upper.connection_made(transport)
        if rest:
            upper.data_received(rest)

    def _refuse(self, why: str) -> None:
        assert self._transport is not None
        _log.debug("Refused a connection of the load balancer: %s", why)
        self._transport.abort()
