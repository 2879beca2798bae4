"""The linked hubs as a decision needs them."""

from homeport.dps.model import Fleet
from homeport.dps.ports import LinkedHubStore


async def read_fleet(hubs: LinkedHubStore) -> Fleet:
    """Return hubs and settings as they are now, and, if any hub is capped, how full those are."""
    linked, settings = await hubs.with_settings()
    capped = any(hub.max_devices is not None for hub in linked)
    return Fleet(hubs=linked, settings=settings, occupied=await hubs.occupied() if capped else {})
