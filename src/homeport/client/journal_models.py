"""The audit, events and their subscriptions, and administrators, as Homeport tells them under `/homeport/`."""

from datetime import datetime
from typing import Any

import msgspec

from homeport.security.chain import Head


class _Document(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """Only read, never written."""


class AuditEntry(_Document, kw_only=True, frozen=True):
    """One administrative change or one registration's outcome, with its place in the chain."""

    seq: int
    hash: str
    """Hexadecimal; see `homeport.security.chain` for what it covers."""
    entry: dict[str, Any]
    """`at`, `kind`, `subject`, `by` (`kind`, `name`), `data`; maybe `remoteAddress`, `trackingId`, `etagBefore`,
    `etagAfter`."""

    @property
    def kind(self) -> str:
        return str(self.entry.get("kind", ""))

    @property
    def subject(self) -> str:
        return str(self.entry.get("subject", ""))

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(str(self.entry["at"]))

    @property
    def by(self) -> str:
        """Who did it: the name of a policy, an administrator or a device."""
        return str((self.entry.get("by") or {}).get("name", ""))

    @property
    def role(self) -> str:
        """The role of an administrator, else the kind of caller: `policy`, `device`, `system`."""
        by = self.entry.get("by") or {}
        return str(by.get("role") or by.get("kind", ""))

    @property
    def remote_address(self) -> str:
        """Where it came from; empty for what the server did itself."""
        return str(self.entry.get("remoteAddress", ""))


class AuditHead(_Document, kw_only=True, frozen=True):
    """The signed end of the chain, and what stands before its first kept entry."""

    seq: int
    hash: str
    anchor_seq: int
    anchor_hash: str
    signature: str
    """Base64, Ed25519."""
    public_key: str
    """Base64; the same for the life of a service."""

    def as_head(self) -> Head:
        """Return it as the chain's arithmetic takes it. Raises ValueError."""
        return Head(
            seq=self.seq,
            hash=bytes.fromhex(self.hash),
            anchor_seq=self.anchor_seq,
            anchor_hash=bytes.fromhex(self.anchor_hash),
        )


class AuditVerdict(_Document, kw_only=True, frozen=True):
    """What following the chain has found."""

    ok: bool
    entries: int
    """How many were looked at."""
    head: AuditHead
    broken_at: int | None = None
    """Number of the first entry that does not fit; 0: the head itself."""
    reason: str | None = None


class Administrator(_Document, kw_only=True, frozen=True):
    """Who administers with a token of their own."""

    name: str
    role: str
    """`reader`, `operator` or `owner`."""
    created_date_time_utc: datetime | None = None
    created_by: str | None = None
    renewed_date_time_utc: datetime | None = None
    expires_date_time_utc: datetime | None = None
    last_used_date_time_utc: datetime | None = None


class NewToken(Administrator, kw_only=True, frozen=True):
    """An administrator with the token that was just made; nobody can tell it again."""

    token: str

    def __repr__(self) -> str:
        return f"NewToken(name={self.name!r}, role={self.role!r})"


class Me(_Document, kw_only=True, frozen=True):
    """Who the client is to the service."""

    kind: str
    """`administrator` or `policy`."""
    name: str
    role: str | None = None
    rights: list[str]


class EventSubscription(_Document, kw_only=True, frozen=True):
    """A webhook that is told of events, and how its delivery goes."""

    name: str
    url: str
    """Without what may stand behind a question mark."""
    types: list[str]
    """None: all."""
    subject_prefix: str
    mode: str
    """`structured` or `binary`."""
    enabled: bool
    signed: bool
    max_attempts: int
    etag: str
    created_date_time_utc: datetime
    delivered: int
    """Everything up to this entry was delivered, given up, or is not wanted."""
    behind: int
    dead_letters: int
    last_success_date_time_utc: datetime | None = None
    last_failure_date_time_utc: datetime | None = None
    last_failure: str | None = None
    secret: str | None = None
    """Only in the answer that set it."""

    def __repr__(self) -> str:
        return f"EventSubscription(name={self.name!r}, url={self.url!r})"


class CloudEvent(msgspec.Struct, kw_only=True, frozen=True):
    """A lifecycle event (CloudEvents 1.0)."""

    specversion: str
    id: str
    """Its number in the journal; together with `source` it names the event."""
    source: str
    type: str
    subject: str
    time: datetime
    sequence: str | None = None
    datacontenttype: str | None = None
    data: dict[str, Any]


class DeadLetter(_Document, kw_only=True, frozen=True):
    """An event that a webhook did not take."""

    seq: int
    given_up_date_time_utc: datetime
    attempts: int
    reason: str
    replaying: bool
    event: CloudEvent | None = None
    """None if the journal has dropped it meanwhile."""


class Tried(_Document, kw_only=True, frozen=True):
    """How the test of a webhook ended."""

    delivered: bool
    detail: str


class Replayed(_Document, kw_only=True, frozen=True):
    events: int
