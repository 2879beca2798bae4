"""A link: the handle by which an application names it, and what both sides know of it."""

from typing import TYPE_CHECKING, Any

from homeport.proto.amqp.composites import ReceiverSettleMode, SenderSettleMode
from homeport.proto.amqp.state import LinkRole, Standing

if TYPE_CHECKING:
    from homeport.proto.amqp.session import Session


class Link:
    """One link, from ATTACH to DETACH. Made by `Connection.new_link` or by an Attached event; equal only to itself.

    Applications read `name`, `role` (ours), `session`, `ours`, `credit`, `open` and `may_send`; they change nothing.
    """

    __slots__ = (
        "allowance",
        "credit",
        "delivery_count",
        "drain",
        "faulty",
        "handle",
        "initial_delivery_count",
        "max_message_size",
        "name",
        "ours",
        "partial",
        "peer_handle",
        "peer_max_message_size",
        "queued",
        "rcv_settle_mode",
        "role",
        "session",
        "snd_settle_mode",
        "standing",
    )

    def __init__(self, session: "Session", name: str, role: LinkRole, *, ours: bool) -> None:
        self.session = session
        self.name = name
        self.role = role
        self.ours = ours
        self.standing = Standing.NEW
        self.faulty = False
        """Whether we detached it because the peer broke a rule; the application knows."""
        self.handle: int | None = None
        self.peer_handle: int | None = None
        self.snd_settle_mode = SenderSettleMode.MIXED
        self.rcv_settle_mode = ReceiverSettleMode.FIRST
        self.max_message_size = 0
        self.peer_max_message_size = 0
        self.credit = 0
        self.allowance = 0
        """Deliveries that may still come: more than `credit` when we lowered that while some were on their way."""
        self.queued = 0
        """Deliveries that count as sent, but wait whole for the session's window."""
        self.delivery_count = self.initial_delivery_count = 0
        self.drain = False
        self.partial: Partial | None = None

    @property
    def open(self) -> bool:
        """Whether both sides have attached it and neither has detached it."""
        return self.standing is Standing.OPEN and self.session.open

    @property
    def may_send(self) -> bool:
        """Whether a Transfer would leave at once: open, with credit, and the session's window open."""
        return self.credit > 0 and self.role is LinkRole.SENDER and self.open and self.session.may_send

    def __repr__(self) -> str:
        return f"<Link {self.role.value} {self.standing.value}>"


class Partial:
    """The beginning of a delivery of which more frames are to come."""

    __slots__ = ("data", "delivery_id", "message_format", "settled", "state", "tag")

    def __init__(self, delivery_id: int, tag: bytes, message_format: int) -> None:
        self.delivery_id = delivery_id
        self.tag = tag
        self.message_format = message_format
        self.settled = False
        self.state: Any = None
        self.data = bytearray()
