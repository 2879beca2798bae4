"""What one connection may cost: the bounds that an engine holds its peer to."""

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds of one connection. Those that AMQP knows are announced to the peer in OPEN, BEGIN and ATTACH.

    The worst a peer can make us hold is about `max_frame_size` (bytes of one frame) + `max_partial_bytes`
    + `max_pending_bytes`, and a few hundred bytes for each session, link and unsettled delivery.
    """

    max_frame_size: int = 65536
    """Bytes of a frame that the peer may send once both headers are out; at least 512."""
    max_sasl_frame_size: int = 8192
    """The same for SASL: strangers speak it. The standard's own bound is 512, which tokens outgrow."""
    channel_max: int = 255
    """The highest channel, so one less than the sessions."""
    handle_max: int = 255
    """The highest link handle in a session."""
    max_links: int = 1024
    """Links of all sessions together; more are answered by DETACH with resource-limit-exceeded.

    So is the connection when the peer goes on to twice as many without detaching those.
    """
    max_unsettled: int = 5000
    """Unsettled deliveries per session and direction."""
    max_message_size: int = 1024 * 1024
    """Bytes of one incoming message, where the ATTACH we send names no smaller bound."""
    max_partial_bytes: int = 4 * 1024 * 1024
    """Bytes of all incoming messages of which more frames are to come."""
    max_pending_bytes: int = 4 * 1024 * 1024
    """Bytes of outgoing transfers that wait for the peer's session windows."""
    incoming_window: int = 5000
    """Transfer frames the peer may send on a session ahead of our next FLOW."""
    idle_time_out: float | None = 240.0
    """Seconds within which the peer promises to say something; it is given up after twice as long. None: for ever."""
    min_peer_idle_time_out: float = 0.2
    """The shortest such promise that we give, in seconds; a peer that wants more heartbeats is refused."""
    max_depth: int = 16
    """How deep lists, maps, arrays and described values may stand inside each other."""
    max_elements: int = 16384
    """How many elements all lists, maps and arrays of one performative may have together."""

    def __post_init__(self) -> None:
        if self.max_frame_size < 512 or self.max_sasl_frame_size < 512:
            raise ValueError("AMQP frames may always have 512 bytes")
        if self.incoming_window < 2:
            raise ValueError("the incoming window is topped up when half of it is used")


DEFAULT_LIMITS = Limits()


class Usage:
    """What the sessions of one connection use together."""

    __slots__ = ("links", "partial_bytes", "pending_bytes")

    def __init__(self) -> None:
        self.links = 0
        self.partial_bytes = 0
        self.pending_bytes = 0
