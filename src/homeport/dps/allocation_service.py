"""The administrator's questions about allocation: its settings, and where one device would go and why."""

import ipaddress

from msgspec import Struct

from homeport.dps.allocation import Explanation, explain
from homeport.dps.applicant import applicant
from homeport.dps.fleet import read_fleet
from homeport.dps.model import (
    AllocationPolicy,
    AllocationSettings,
    Assignment,
    Enrollment,
    Registration,
)
from homeport.dps.ports import AllocationSettingsStore, EnrollmentStore, LinkedHubStore, RegistrationStore
from homeport.dps.reprovisioning import stays
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller
from homeport.values import replace
from homeport.wire.versions import NEWEST_DEVICE_VERSION

MAX_REGIONS = 200
MAX_RANGES = 2000
MAX_LATENCIES = 20_000


class Prediction(Struct, frozen=True, kw_only=True):
    """Where a device would go if it registered now."""

    enrollment: Enrollment
    current: Assignment | None
    stays: bool
    """Its reprovision policy keeps the device where it is, so no hub is chosen."""
    explanation: Explanation


class AllocationService:
    """Answers administrators about allocation; assigns nothing."""

    def __init__(
        self,
        *,
        enrollments: EnrollmentStore,
        registrations: RegistrationStore,
        settings: AllocationSettingsStore,
        hubs: LinkedHubStore,
    ) -> None:
        self._enrollments = enrollments
        self._registrations = registrations
        self._settings = settings
        self._hubs = hubs

    async def settings(self) -> AllocationSettings:
        """Return what the operator set, or the defaults."""
        return await self._settings.get()

    async def put_settings(self, settings: AllocationSettings, *, by: Caller) -> AllocationSettings:
        """Replace the settings; they count for registrations from now on. Raises INVALID_REQUEST."""
        checked = _checked(settings)
        await self._settings.put(checked, by=by)
        return checked

    async def predict(
        self, registration_id: str, *, group_id: str | None, payload: bytes | None, address: str | None
    ) -> Prediction:
        """Decide for one device as if it registered now.

        Without `group_id` its individual enrollment counts, or the group it last came through. Raises
        ENROLLMENT_NOT_FOUND or GROUP_NOT_FOUND.
        """
        record = await self._registrations.get(registration_id)
        enrollment = await self._enrollment(registration_id, group_id, record)
        current = record.assignment if record else None
        if payload is None and record is not None:
            payload = record.device_payload
        fleet = await read_fleet(self._hubs)
        device = applicant(enrollment, registration_id, current, fleet, address=address, payload=payload)
        return Prediction(
            enrollment=enrollment,
            current=current,
            stays=stays(current, enrollment.reprovision_policy, NEWEST_DEVICE_VERSION),
            explanation=explain(enrollment, device, fleet),
        )

    async def _enrollment(self, registration_id: str, group_id: str | None, record: Registration | None) -> Enrollment:
        if group_id is None:
            individual = await self._enrollments.get_individual(registration_id)
            if individual is not None:
                return individual
            group_id = record.enrollment.group_id if record else None
            if group_id is None:
                raise HomeportError(
                    Code.ENROLLMENT_NOT_FOUND,
                    "There is no individual enrollment of that id, and the device has not registered through a group. "
                    "Name the group it would come through.",
                )
        group = await self._enrollments.get_group(group_id)
        if group is None:
            raise HomeportError(Code.GROUP_NOT_FOUND, "EnrollmentGroup not found.")
        return group


def _checked(settings: AllocationSettings) -> AllocationSettings:
    if settings.default_policy is AllocationPolicy.CUSTOM:
        raise _invalid("custom cannot be the default policy")
    for what, items, most in (
        ("regions", settings.regions, MAX_REGIONS),
        ("addresses", settings.addresses, MAX_RANGES),
        ("latencies", settings.latencies, MAX_LATENCIES),
    ):
        if len(items) > most:
            raise _invalid(f"there are more than {most} {what}")
    names = [region.name.lower() for region in settings.regions]
    if len(set(names)) < len(names) or not all(0 < len(name) <= 64 for name in names):
        raise _invalid("the regions' names are not different and 1 to 64 characters long")
    for region in settings.regions:
        if (region.latitude is None) is not (region.longitude is None):
            raise _invalid(f"region {region.name} has one coordinate of two")
        if not (-90 <= (region.latitude or 0) <= 90 and -180 <= (region.longitude or 0) <= 180):
            raise _invalid(f"region {region.name} is nowhere on Earth")
    named = [name for each in settings.latencies for name in each.between] + [
        each.region for each in settings.addresses
    ]
    for name in named:
        if name.lower() not in names:
            raise _invalid(f"'{name[:64]}' is none of the regions")
    for entry in settings.latencies:
        if not 0 <= entry.milliseconds <= 60_000:
            raise _invalid(f"the latency between {' and '.join(entry.between)} is not 0 to 60000 milliseconds")
    return replace(settings, addresses=tuple(replace(each, prefix=_prefix(each.prefix)) for each in settings.addresses))


def _prefix(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise _invalid(f"'{text[:64]}' is no address range such as 10.1.0.0/16") from None


def _invalid(message: str) -> HomeportError:
    return HomeportError(Code.INVALID_REQUEST, f"{message}.")
