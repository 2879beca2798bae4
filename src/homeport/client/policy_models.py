"""What the administration under `/homeport/` tells of shared access policies and of numbers."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec


class AccessPolicy(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """A shared access policy; its keys are there only in answers that are about them."""

    name: str
    rights: Sequence[str]
    """Of `ServiceConfig`, `EnrollmentRead`, `EnrollmentWrite`, `RegistrationStatusRead`, `RegistrationStatusWrite`,
    `DeviceConnect`."""
    primary_key: str | None = None
    secondary_key: str | None = None
    etag: str
    created_date_time_utc: datetime
    last_updated_date_time_utc: datetime

    def __repr__(self) -> str:
        return f"AccessPolicy(name={self.name!r}, rights={list(self.rights)!r}, …)"

    def connection_string(self, host_name: str) -> str:
        """Return what a service connects with; only of a policy whose keys were told."""
        if self.primary_key is None:
            raise ValueError("the keys of this policy were not asked for")
        return f"HostName={host_name};SharedAccessKeyName={self.name};SharedAccessKey={self.primary_key}"


class EnrollmentCounts(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Enrollments or groups, by attestation and by provisioning status."""

    total: int
    by_attestation: Mapping[str, int]
    by_status: Mapping[str, int]


class RegistrationCounts(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Registrations, by status and by the host name of the hub they have."""

    total: int
    by_status: Mapping[str, int]
    by_hub: Mapping[str, int]


class Counts(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """How much there is."""

    enrollments: EnrollmentCounts
    enrollment_groups: EnrollmentCounts
    registrations: RegistrationCounts
    counted_date_time_utc: datetime
