"""What only Homeport tells and takes, under `/homeport/`: attempts and their reasons, all registrations, linked hubs.

The counterpart of `homeport.client.admin_models`.
"""

from msgspec import UNSET, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct
from homeport.wire.dps_service import DeviceRegistrationState


class Check(WireStruct, frozen=True, kw_only=True):
    name: str
    passed: bool
    detail: str


class Attempt(WireStruct, frozen=True, kw_only=True):
    """One attempt to register, and why it ended as it did."""

    tracking_id: str
    registration_id: str
    at: str
    transport: str
    remote_address: str
    id_scope: str
    api_version: str
    client_version: str | UnsetType = UNSET
    evidence: str
    group_id: str | UnsetType = UNSET
    checks: list[Check]
    outcome: str
    code: int | UnsetType = UNSET
    reason: str
    advice: str
    assigned_hub: str | UnsetType = UNSET
    duration_ms: float


class Registration(DeviceRegistrationState, frozen=True, kw_only=True):
    """A registration state, and how the device came in."""

    enrollment_group_id: str | UnsetType = UNSET
    attestation: str


class HubHealth(WireStruct, frozen=True, kw_only=True):
    """How a link was when it was last looked at."""

    state: str
    detail: str
    checked_date_time_utc: str


class LinkedHub(WireStruct, frozen=True, kw_only=True):
    """A hub devices may be assigned to; its connection string is never told."""

    name: str
    host_name: str
    allocation_weight: int
    apply_allocation_policy: bool
    draining: bool
    max_devices: int | UnsetType = UNSET
    region: str | UnsetType = UNSET
    devices: int
    health: HubHealth | UnsetType = UNSET
    local: bool
    created_date_time_utc: str


class HubChange(WireStruct, frozen=True, kw_only=True):
    """Body of PATCH: what is absent stays as it is. `maxDevices` 0 and an empty `region` take them away."""

    allocation_weight: int | UnsetType | None = UNSET
    apply_allocation_policy: bool | UnsetType | None = UNSET
    draining: bool | UnsetType | None = UNSET
    max_devices: int | UnsetType | None = UNSET
    region: str | UnsetType | None = UNSET


class HubCreation(HubChange, frozen=True, kw_only=True):
    """Body of PUT: `hostNames` makes a hub here, `connectionString` links one elsewhere."""

    host_names: list[str] | UnsetType | None = UNSET
    connection_string: str | UnsetType | None = UNSET
    ca_certificates: str | UnsetType | None = UNSET


hub_creation = Decoder(HubCreation)
hub_change = Decoder(HubChange)
