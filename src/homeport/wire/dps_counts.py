"""How much there is, as `/homeport/counts` tells it. What there is none of is left out of the maps."""

from homeport.wire import WireStruct


class EnrollmentCounts(WireStruct, frozen=True, kw_only=True):
    total: int
    by_attestation: dict[str, int]
    by_status: dict[str, int]


class RegistrationCounts(WireStruct, frozen=True, kw_only=True):
    """`byHub` is by host name in lower case; devices without a hub are in no hub's number."""

    total: int
    by_status: dict[str, int]
    by_hub: dict[str, int]


class Counts(WireStruct, frozen=True, kw_only=True):
    enrollments: EnrollmentCounts
    enrollment_groups: EnrollmentCounts
    registrations: RegistrationCounts
    counted_date_time_utc: str
