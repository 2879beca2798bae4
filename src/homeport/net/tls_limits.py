"""What a TLS connection may cost before its client has proven anything. Never here: who may connect."""

from msgspec import Struct

__all__ = ["TlsLimits"]


class TlsLimits(Struct, frozen=True, kw_only=True):
    """What a connection may cost before its client has proven anything; times in seconds, sizes in bytes."""

    queue_seconds: float = 20.0
    """How long a connection may wait while others shake hands."""
    handshake_seconds: float = 10.0
    handshake_bytes: int = 64 * 1024
    chain_certificates: int = 10
    chain_bytes: int = 32 * 1024
    close_seconds: float = 5.0
    """How long a closing connection may take to flush and to hear the client's end."""
