"""What only Homeport tells: attempts and why they ended as they did, linked hubs. Documents under `/homeport/`."""

from datetime import datetime
from typing import Literal

import msgspec

from homeport.client.models import RegistrationState


class _Document(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """Only read, never written."""


class Check(_Document, kw_only=True, frozen=True):
    """One thing that was looked at, in order, and what was found."""

    name: str
    passed: bool
    detail: str


class Attempt(_Document, kw_only=True, frozen=True):
    """The record of one attempt to register."""

    tracking_id: str
    registration_id: str
    at: datetime
    transport: str
    """`https`, `mqtt`, `mqtt-ws`, `amqp` or `amqp-ws`."""
    remote_address: str
    id_scope: str
    api_version: str
    client_version: str | None = None
    evidence: str
    """What the device offered, in words."""
    group_id: str | None = None
    """The enrollment group it came in through; None for an individual enrollment, or when it met none."""
    checks: list[Check]
    outcome: str
    """`assigned`, `assigning`, `failed`, `disabled`, `challenged` or `refused`."""
    code: int | None = None
    """The error code the device got."""
    reason: str
    advice: str
    """What to do about it; empty when there is nothing to do."""
    assigned_hub: str | None = None
    duration_ms: float = 0.0


class Registration(RegistrationState, kw_only=True):
    """A registration state, with the enrollment it came through."""

    enrollment_group_id: str | None = None
    """None for an individual enrollment."""
    attestation: str | None = None
    """`tpm`, `x509` or `symmetricKey`."""


class HubHealth(_Document, kw_only=True, frozen=True):
    """How the link to a hub was when the server last looked at it."""

    state: str
    """`healthy`, `unreachable`, `unauthorized` or `refusing`."""
    detail: str = ""
    checked_date_time_utc: datetime


class IpFilterRule(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """One rule of the IP filter; the first that matches an address decides."""

    name: str
    action: Literal["allow", "deny"]
    network: str
    """An address, a network in CIDR form, or `any`."""
    target: Literal["devices", "service", "portal", "all"] = "all"


class IpFilter(_Document, kw_only=True, frozen=True):
    """All rules in their order."""

    rules: list[IpFilterRule]
    etag: str | None = None


class IpFilterDecision(_Document, kw_only=True, frozen=True):
    """What the rules do with an address at one target."""

    target: str
    allowed: bool
    rule: str | None = None
    """The one that decided; None if none matches."""


class LinkedHub(_Document, kw_only=True, frozen=True):
    """A hub that devices may be assigned to."""

    name: str
    host_name: str
    allocation_weight: int
    apply_allocation_policy: bool
    draining: bool = False
    """Takes no new devices; those that live there keep it."""
    max_devices: int | None = None
    """Takes no new devices once so many are assigned to it."""
    region: str | None = None
    devices: int = 0
    """Devices assigned to it, or on their way."""
    health: HubHealth | None = None
    """None until the server has looked."""
    local: bool
    """Served by this Homeport itself."""
    created_date_time_utc: datetime | None = None
