"""What TLS's bytes and OpenSSL's answers mean. Never here: who reads and writes."""

from typing import Final

from OpenSSL import SSL, crypto

from homeport.net.tls_limits import TlsLimits

__all__ = ["RECORD", "Records", "client_certificates", "is_hello", "reason", "server_name"]

RECORD: Final = 16 * 1024
"""The largest record's content, in bytes (RFC 8446 section 5.1)."""
_HEADER: Final = 5
_HANDSHAKE: Final = 22


def is_hello(data: bytes) -> bool:
    """Tell whether the first TLS record is complete, or what came can be none (RFC 8446 section 5.1)."""
    if data[0] != _HANDSHAKE:
        return True
    return len(data) >= _HEADER and len(data) >= _HEADER + min(int.from_bytes(data[3:5]), RECORD)


class Records:
    """Counts the records in what a client sends: so often OpenSSL can be asked for their content."""

    __slots__ = ("_header", "_missing")

    def __init__(self) -> None:
        self._header = b""  # as much of the next one's as has come
        self._missing = 0  # bytes of the one that has begun

    @property
    def between(self) -> bool:
        """Tell whether what came ends with a record."""
        return not self._missing and not self._header

    def feed(self, data: bytes) -> int:
        """Return how many records these bytes complete (RFC 8446 section 5.1)."""
        if self._header:
            data, self._header = self._header + data, b""
        end, size = self._missing, len(data)
        complete = int(0 < end <= size)
        while end < size:
            if size - end < _HEADER:
                self._header, end = data[end:], size
                break
            end += _HEADER + int.from_bytes(data[end + 3 : end + 5])
            complete += end <= size
        self._missing = end - size
        return complete


def client_certificates(tls: SSL.Connection, limits: TlsLimits) -> tuple[bytes, ...] | None:
    """Return what the client has sent, leaf first, in DER; None if it exceeds the limits."""
    leaf = tls.get_peer_certificate()
    if leaf is None:
        return ()
    # On the server's side OpenSSL keeps the leaf apart from the rest of the chain.
    certificates = [leaf, *(tls.get_peer_cert_chain() or ())]
    if len(certificates) > limits.chain_certificates:
        return None
    chain = tuple(crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in certificates)
    return chain if sum(map(len, chain)) <= limits.chain_bytes else None


def server_name(name: bytes | None) -> str | None:
    """Return the name a client asked for (SNI) in lower case; None for none, or one that is no ASCII."""
    if not name or not name.isascii():
        return None
    return name.decode("ascii").rstrip(".").lower() or None


def reason(fault: SSL.Error) -> str:
    """Return OpenSSL's own words for a fault."""
    match fault.args:
        case (list() as entries,) if entries:
            return str(entries[0][-1])
        case (_, str(text)):
            return text
        case _:
            return type(fault).__name__
