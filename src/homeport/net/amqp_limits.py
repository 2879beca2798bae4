"""What one AMQP client may ask of a server."""

from msgspec import Struct, field

from homeport.proto.amqp import Limits

__all__ = ["AmqpLimits"]


class AmqpLimits(Struct, frozen=True, kw_only=True):
    """What one client may ask of us; times in seconds, sizes in bytes."""

    connect_seconds: float = 30.0
    """From the open stream until a front-end has accepted the client; a TPM takes its time to answer."""
    close_seconds: float = 2.0
    """How long the client may take to answer our CLOSE."""
    handled_at_once: int = 64
    """Messages of one client being handled; while so many are, its stream is not read."""
    waiting_bytes: int = 4 * 1024 * 1024
    """What may wait for a client that gives no credit or does not read."""
    finish_seconds: float = 10.0
    """How long messages already received may still be handled after the end of the connection."""
    protocol: Limits = field(default_factory=lambda: Limits(channel_max=1023, handle_max=8191, max_links=8192))
    """Room for a thousand devices on one connection, each with a session, or all on one (contract hub.md 16.7)."""
