"""How provisioning asks for a new hub of our own: the hub room makes it, the process serves it at once."""

from collections.abc import Sequence

from homeport.errors import Code, HomeportError
from homeport.hub.hubs import Hubs


class LocalHubAdministration:
    """Makes hubs in this process."""

    def __init__(self, hubs: Hubs) -> None:
        self._hubs = hubs

    async def create(self, name: str, host_names: Sequence[str]) -> str:
        """Make a hub; repeating the call finds the one that was made. Raises HUB_EXISTS or INVALID_REQUEST."""
        served = self._hubs.get(name)
        if served is not None:
            if tuple(served.hub.host_names) != tuple(host_names):
                raise HomeportError(Code.HUB_EXISTS, f"A hub named {name} exists already, with other host names.")
            return served.hub.host_names[0]
        try:
            served = await self._hubs.create(name, host_names)
        except ValueError as error:
            # The other hub may be one that another process has just made.
            await self._hubs.load(alone=False)
            taken = self._hubs.get(name) is not None or any(self._hubs.find(host) is not None for host in host_names)
            code = Code.HUB_EXISTS if taken else Code.INVALID_REQUEST
            raise HomeportError(code, f"The hub cannot be made: {error}.") from error
        return served.hub.host_names[0]
