"""The linked hubs as a decision needs them: what is not needed for it is not read."""

from homeport.dps.model import AllocationPolicy, AllocationSettings, Enrollment, Fleet
from homeport.dps.ports import AllocationSettingsStore, LinkedHubStore

_OWN_POLICIES = frozenset({AllocationPolicy.HASHED, AllocationPolicy.STATIC, AllocationPolicy.CUSTOM})


class Fleets:
    """Reads the fleet as it is now."""

    def __init__(self, hubs: LinkedHubStore, settings: AllocationSettingsStore) -> None:
        self._hubs = hubs
        self._settings = settings

    async def now(self, enrollment: Enrollment | None = None) -> Fleet:
        """Return hubs and settings, and how full the capped hubs are.

        With an enrollment whose policy looks at no settings, they are left at their defaults.
        """
        hubs = await self._hubs.all()
        capped = any(hub.max_devices is not None for hub in hubs)
        unread = enrollment is not None and enrollment.allocation_policy in _OWN_POLICIES
        return Fleet(
            hubs=hubs,
            settings=AllocationSettings() if unread else await self._settings.get(),
            occupied=await self._hubs.occupied() if capped else {},
        )
