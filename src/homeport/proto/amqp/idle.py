"""Idle time-outs (2.4.5): when we must be heard, and when the peer is given up."""

from math import inf

from homeport.proto.amqp.errors import Condition, IdleTimeoutError
from homeport.proto.amqp.frames import HEARTBEAT, Outbox


class Idle:
    """The clockwork of one connection. All times are of the caller's clock, in seconds."""

    __slots__ = ("_heard_at", "_outbox", "_patience", "_promise", "_spoke_at", "heard")

    def __init__(self, outbox: Outbox, time_out: float | None) -> None:
        """`time_out` is what we announce; the peer is given twice as long, as the standard advises."""
        self._outbox = outbox
        self._patience = inf if time_out is None else 2 * time_out
        self._promise = inf
        self._heard_at = self._spoke_at = 0.0
        self.heard = False
        """Whether bytes have come since the last tick."""

    def peer_allows(self, time_out: float | None) -> None:
        """Learn the peer's idle time-out: heartbeats go out after half of it."""
        self._promise = inf if time_out is None else time_out / 2
        self.heard = self._outbox.spoke = True

    def tick(self, now: float, *, running: bool) -> float | None:
        """Put a heartbeat out if it is time; return when to call again. Raises IdleTimeoutError for a silent peer."""
        if self.heard:
            self.heard = False
            self._heard_at = now
        if self._outbox.spoke:
            self._outbox.spoke = False
            self._spoke_at = now
        if not running:
            return None
        if now >= self._heard_at + self._patience:
            raise IdleTimeoutError("the peer is silent", Condition.RESOURCE_LIMIT_EXCEEDED)
        if now >= self._spoke_at + self._promise:
            self._outbox.put(HEARTBEAT)
            self._outbox.spoke = False
            self._spoke_at = now
        due = min(self._heard_at + self._patience, self._spoke_at + self._promise)
        return None if due == inf else due
