"""Documents of the audit, of events and their subscriptions, and of administrators, under `/homeport/`.

The counterpart of `homeport.client.journal_models`.
"""

from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct


class AuditEntry(WireStruct, frozen=True, kw_only=True):
    """An entry of the journal with its place in the chain; `hash` is hexadecimal."""

    seq: int
    hash: str
    entry: dict[str, Any]


class AuditHead(WireStruct, frozen=True, kw_only=True):
    """The end and the beginning of the chain, signed. Hashes are hexadecimal, key and signature Base64."""

    seq: int
    hash: str
    anchor_seq: int
    anchor_hash: str
    signature: str
    public_key: str


class AuditVerdict(WireStruct, frozen=True, kw_only=True):
    """What following the chain has found."""

    ok: bool
    entries: int
    head: AuditHead
    broken_at: int | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class Administrator(WireStruct, frozen=True, kw_only=True):
    """An administrator; `token` is told once, in the answer that made it."""

    name: str
    role: str
    created_date_time_utc: str | UnsetType = UNSET
    created_by: str | UnsetType = UNSET
    renewed_date_time_utc: str | UnsetType = UNSET
    expires_date_time_utc: str | UnsetType = UNSET
    last_used_date_time_utc: str | UnsetType = UNSET
    token: str | UnsetType = UNSET


class AdministratorCreation(WireStruct, frozen=True, kw_only=True):
    """Body of PUT."""

    role: str
    expires_date_time_utc: str | UnsetType | None = UNSET


class AdministratorChange(WireStruct, frozen=True, kw_only=True):
    """Body of PATCH, and of POST for a fresh token: what is absent stays as it is."""

    role: str | UnsetType | None = UNSET
    expires_date_time_utc: str | UnsetType | None = UNSET


class Me(WireStruct, frozen=True, kw_only=True):
    """Who the caller is to the service."""

    kind: str
    name: str
    role: str | UnsetType = UNSET
    rights: list[str]


class SubscriptionRequest(WireStruct, frozen=True, kw_only=True):
    """Body of PUT. `secret` absent keeps the stored one, or makes one for a new subscription; null means none."""

    url: str
    types: tuple[str, ...] = ()
    subject_prefix: str = ""
    mode: str = "structured"
    secret: str | UnsetType | None = UNSET
    enabled: bool = True
    ca_certificates: str | UnsetType | None = UNSET
    max_attempts: int | UnsetType = UNSET


class Subscription(WireStruct, frozen=True, kw_only=True):
    """An event subscription and how its delivery goes; `secret` is told once, in the answer that made it."""

    name: str
    url: str
    types: list[str]
    subject_prefix: str
    mode: str
    enabled: bool
    signed: bool
    max_attempts: int
    etag: str
    created_date_time_utc: str
    delivered: int
    behind: int
    dead_letters: int
    last_success_date_time_utc: str | UnsetType = UNSET
    last_failure_date_time_utc: str | UnsetType = UNSET
    last_failure: str | UnsetType = UNSET
    secret: str | UnsetType = UNSET


class DeadLetter(WireStruct, frozen=True, kw_only=True):
    """An event that was given up. `event` is absent if the journal has dropped it meanwhile."""

    seq: int
    given_up_date_time_utc: str
    attempts: int
    reason: str
    replaying: bool
    event: dict[str, Any] | UnsetType = UNSET


class Replay(WireStruct, frozen=True, kw_only=True):
    """Body of a replay: from behind an entry, or (absent) what was given up."""

    after: int | UnsetType | None = UNSET


class Replayed(WireStruct, frozen=True, kw_only=True):
    events: int


class Tried(WireStruct, frozen=True, kw_only=True):
    """How the test of a subscription's webhook ended."""

    delivered: bool
    detail: str


administrator_creation = Decoder(AdministratorCreation)
administrator_change = Decoder(AdministratorChange)
subscription_request = Decoder(SubscriptionRequest)
replay = Decoder(Replay)
