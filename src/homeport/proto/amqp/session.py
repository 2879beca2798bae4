"""A session: the handle by which an application names it, and what both sides know of it."""

from homeport.proto.amqp.state import Standing


class Session:
    """One session, from BEGIN to END. Made by `Connection.new_session` or by a Begun event; equal only to itself.

    Applications read `ours`, `open` and `may_send`; they change nothing.
    """

    __slots__ = ("faulty", "ours", "pending", "standing", "window")

    def __init__(self, *, ours: bool) -> None:
        self.ours = ours
        self.standing = Standing.NEW
        self.faulty = False
        """Whether we ended it because the peer broke a rule; the application knows."""
        self.window = 0
        """Transfer frames that the peer lets us send."""
        self.pending = 0
        """Bytes of transfers that wait for this window."""

    @property
    def open(self) -> bool:
        """Whether both sides have begun it and neither has ended it."""
        return self.standing is Standing.OPEN

    @property
    def may_send(self) -> bool:
        """Whether the peer's window is open and nothing waits for it."""
        return self.window > 0 and not self.pending

    def __repr__(self) -> str:
        return f"<Session {self.standing.value}>"
