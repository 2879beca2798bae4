"""What administrators ask and are told about allocation, under `/homeport/allocation/`.

The counterpart of `homeport.client.allocation_models`.
"""

from msgspec import UNSET, Raw, UnsetType, field
from msgspec.json import Decoder

from homeport.wire import WireStruct


class Region(WireStruct, frozen=True, kw_only=True):
    name: str
    latitude: float | UnsetType | None = UNSET
    longitude: float | UnsetType | None = UNSET


class AddressRange(WireStruct, frozen=True, kw_only=True):
    prefix: str
    region: str


class RegionLatency(WireStruct, frozen=True, kw_only=True):
    between: tuple[str, str]
    milliseconds: float


class Settings(WireStruct, frozen=True, kw_only=True):
    """What counts for the whole service."""

    default_policy: str = "hashed"
    regions: list[Region] = field(default_factory=list)
    addresses: list[AddressRange] = field(default_factory=list)
    latencies: list[RegionLatency] = field(default_factory=list)


class SigningKeys(WireStruct, frozen=True, kw_only=True):
    """Base64."""

    primary_key: str
    secondary_key: str


class ExplainRequest(WireStruct, frozen=True, kw_only=True):
    """Which device; what is left out is taken from its record, or counts as unknown."""

    registration_id: str
    enrollment_group_id: str | UnsetType | None = UNSET
    payload: Raw = Raw()
    remote_address: str | UnsetType | None = UNSET


class Candidate(WireStruct, frozen=True, kw_only=True):
    host_name: str
    allocation_weight: int
    share: float
    score: float | UnsetType = UNSET
    milliseconds: float | UnsetType = UNSET
    latency_source: str | UnsetType = UNSET


class Exclusion(WireStruct, frozen=True, kw_only=True):
    host_name: str
    reason: str


class Explanation(WireStruct, frozen=True, kw_only=True):
    """A decision that was not carried out. `result` is `assign`, `stay`, `ask` or `none`."""

    registration_id: str
    enrollment_group_id: str | UnsetType = UNSET
    allocation_policy: str
    is_default_policy: bool
    current_hub: str | UnsetType = UNSET
    candidates: list[Candidate]
    exclusions: list[Exclusion]
    result: str
    assigned_hub: str | UnsetType = UNSET
    reason: str


class WhatIfRequest(WireStruct, frozen=True, kw_only=True):
    """The changes to try; hubs by name or host name."""

    weights: dict[str, int] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    drained: list[str] = field(default_factory=list)
    policy: str | UnsetType | None = UNSET


class Movement(WireStruct, frozen=True, kw_only=True):
    """A device that would move; without `to` it would find no hub."""

    registration_id: str
    enrollment_group_id: str | UnsetType = UNSET
    from_hub: str
    to_hub: str | UnsetType = UNSET
    reason: str


class Comparison(WireStruct, frozen=True, kw_only=True):
    """One part of all registrations; the parts add up."""

    examined: int
    movements: list[Movement]
    before: dict[str, int]
    after: dict[str, int]
    asked: int
    orphaned: int


settings = Decoder(Settings)
explain_request = Decoder(ExplainRequest)
what_if_request = Decoder(WhatIfRequest)
