"""Event subscriptions, how their delivery stands, and what was given up."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from homeport.dps.model.journal import Recorded
from homeport.values import hiding, replace

TYPE_PREFIX = "io.homeport."
"""What the type of an event has before the kind of its entry."""
DEFAULT_MAX_ATTEMPTS = 30
"""About two hours, with the waits between them."""


class Filter(Struct, frozen=True, kw_only=True):
    """Which events are wanted: no `types` means all; one that ends in `*` stands for all that begin so."""

    types: tuple[str, ...] = ()
    subject_prefix: str = ""
    """Compared without regard to letter case."""

    def wants(self, recorded: Recorded) -> bool:
        return self.wants_named(TYPE_PREFIX + recorded.kind, recorded.subject)

    def wants_named(self, type_: str, subject: str) -> bool:
        if not subject.lower().startswith(self.subject_prefix.lower()):
            return False
        return not self.types or any(
            type_.startswith(wanted[:-1]) if wanted.endswith("*") else type_ == wanted for wanted in self.types
        )


class Mode(StrEnum):
    """How an event is put into HTTP (CloudEvents HTTP binding 3.1, 3.2)."""

    STRUCTURED = "structured"
    BINARY = "binary"


@hiding("secret")
class Subscription(Struct, frozen=True, kw_only=True):
    """A webhook that is told of events."""

    name: str
    url: str
    """https, or http on the loopback."""
    filter: Filter
    mode: Mode
    secret: str | None
    """Signs each message (Standard Webhooks); None: they are not signed."""
    enabled: bool
    ca_certificates: str | None = None
    """PEM of the authorities trusted for this address, besides the system's."""
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    etag: str
    created_at: datetime


class Standing(Struct, frozen=True, kw_only=True):
    """How a subscription's delivery stands."""

    delivered: int
    """Everything up to this entry was delivered, given up, or is not wanted."""
    dead_letters: int
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_failure: str


class DeadLetter(Struct, frozen=True, kw_only=True):
    """An event that was given up."""

    seq: int
    at: datetime
    attempts: int
    reason: str
    replay: bool
    """Whether it is in line again."""


class Progress(Struct, frozen=True, kw_only=True):
    """What a worker notes now and then. `delivered` as in `Standing`."""

    delivered: int
    success_at: datetime | None = None
    failure_at: datetime | None = None
    failure: str = ""

    def at(self, delivered: int) -> "Progress":
        return self if delivered == self.delivered else replace(self, delivered=delivered)

    def succeeded(self, at: datetime) -> "Progress":
        return replace(self, success_at=at)

    def failed(self, at: datetime, failure: str) -> "Progress":
        return replace(self, failure_at=at, failure=failure)
