"""The record of why: what was checked when a device called, and how it ended."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from homeport.dps.model.enrollment import EnrollmentRef


class Outcome(StrEnum):
    """How one call of a device ended."""

    ASSIGNED = "assigned"
    ASSIGNING = "assigning"
    FAILED = "failed"
    DISABLED = "disabled"
    CHALLENGED = "challenged"
    REFUSED = "refused"


class Check(Struct, frozen=True, kw_only=True):
    """One thing that was looked at, in order, and what was found."""

    name: str
    passed: bool
    detail: str


class Attempt(Struct, frozen=True, kw_only=True):
    """The record of one attempt to register: enough to say why it ended as it did, never a secret."""

    tracking_id: str
    registration_id: str
    at: datetime
    transport: str
    remote_address: str
    id_scope: str
    api_version: str
    client_version: str | None
    evidence: str
    """What the device offered, in words: `SAS token`, `certificate chain of 3`, `TPM keys`, `nothing`."""
    enrollment: EnrollmentRef | None
    checks: tuple[Check, ...]
    outcome: Outcome
    code: int | None
    """The error code the device got, None when it was not refused."""
    reason: str
    advice: str
    """What to do about it; empty when there is nothing to do."""
    assigned_hub: str | None = None
    duration_ms: float = 0.0
