"""What TLS's bytes and OpenSSL's answers mean. Pure; never here: a connection."""

from typing import Final

from OpenSSL import SSL

__all__ = ["RECORD", "is_hello", "reason", "server_name"]

RECORD: Final = 16 * 1024
"""The largest record's content, in bytes (RFC 8446 section 5.1)."""
_HEADER: Final = 5
_HANDSHAKE: Final = 22


def is_hello(data: bytes) -> bool:
    """Tell whether the first TLS record is complete, or what came can be none (RFC 8446 section 5.1)."""
    if data[0] != _HANDSHAKE:
        return True
    return len(data) >= _HEADER and len(data) >= _HEADER + min(int.from_bytes(data[3:5]), RECORD)


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
