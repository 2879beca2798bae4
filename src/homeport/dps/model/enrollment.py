"""Permission to register: individual enrollments and enrollment groups (contract dps.md 8.3)."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from homeport.dps.model.attestation import Attestation
from homeport.dps.model.document import JsonObject
from homeport.values import hiding


class ProvisioningStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


class AllocationPolicy(StrEnum):
    HASHED = "hashed"
    GEO_LATENCY = "geoLatency"
    STATIC = "static"
    CUSTOM = "custom"


class ReprovisionPolicy(Struct, frozen=True, kw_only=True):
    """What happens when a device registers again (contract dps.md 9.4)."""

    update_hub_assignment: bool = True
    migrate_device_data: bool = True


@hiding("webhook_url")
class CustomAllocation(Struct, frozen=True, kw_only=True):
    """Who chooses the hub: a webhook, or a function of this server (`python:package.module:function`).

    The query of the URL is a secret.
    """

    webhook_url: str
    api_version: str


class Enrollment(Struct, frozen=True, kw_only=True):
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


class IndividualEnrollment(Enrollment, frozen=True, kw_only=True):
    """Permission for one device."""

    registration_id: str
    device_id: str | None = None
    optional_device_information: JsonObject | None = None

    @property
    def hub_device_id(self) -> str:
        """The device's name at its hub."""
        return self.device_id or self.registration_id


class EnrollmentGroup(Enrollment, frozen=True, kw_only=True):
    """Permission for all devices that share a CA or a group key."""

    group_id: str


class EnrollmentRef(Struct, frozen=True, kw_only=True):
    """Which enrollment a registration came through."""

    group_id: str | None
    """The group, or None for the individual enrollment of the registration id."""
