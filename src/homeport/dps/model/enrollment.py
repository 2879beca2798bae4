"""Permission to register: individual enrollments and enrollment groups (contract dps.md 8.3)."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from homeport.dps.model.attestation import Attestation
from homeport.dps.model.document import JsonObject


class ProvisioningStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


class AllocationPolicy(StrEnum):
    HASHED = "hashed"
    GEO_LATENCY = "geoLatency"
    STATIC = "static"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprovisionPolicy:
    """What happens when a device registers again (contract dps.md 9.4)."""

    update_hub_assignment: bool = True
    migrate_device_data: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomAllocation:
    """Who chooses the hub: a webhook, or a function of this server (`python:package.module:function`).

    The query of the URL is a secret.
    """

    webhook_url: str = field(repr=False)
    api_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrollment:
    """What individual enrollments and enrollment groups have in common (contract dps.md 8.3).

    Fields that were absent stay None, so that an answer repeats exactly what was written.
    `initial_twin` is the wire document `{tags, properties: {desired}}`.
    """

    attestation: Attestation
    etag: str = ""
    provisioning_status: ProvisioningStatus | None = ProvisioningStatus.ENABLED
    reprovision_policy: ReprovisionPolicy | None = None
    allocation_policy: AllocationPolicy | None = None
    iot_hubs: tuple[str, ...] | None = None
    iot_hub_host_name: str | None = None
    initial_twin: JsonObject | None = None
    iot_edge: bool | None = None
    custom_allocation: CustomAllocation | None = None
    namespace_name: str | None = None
    certificate_authority_name: str | None = None
    certificate_policy_name: str | None = None
    """Who issues certificates to its devices, and how (contract dps.md 13.1)."""
    created_at: datetime
    updated_at: datetime

    @property
    def enabled(self) -> bool:
        """Whether devices may register; a status written as null counts as enabled."""
        return self.provisioning_status is not ProvisioningStatus.DISABLED


@dataclass(frozen=True, slots=True, kw_only=True)
class IndividualEnrollment(Enrollment):
    """Permission for one device."""

    registration_id: str
    device_id: str | None = None
    optional_device_information: JsonObject | None = None

    @property
    def hub_device_id(self) -> str:
        """The device's name at its hub."""
        return self.device_id or self.registration_id


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentGroup(Enrollment):
    """Permission for all devices that share a CA or a group key."""

    group_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentRef:
    """Which enrollment a registration came through."""

    group_id: str | None
    """The group, or None for the individual enrollment of the registration id."""
