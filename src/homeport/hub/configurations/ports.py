"""What configurations need from a store; one object serves one hub."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from homeport.hub.model import Configuration, ConfigurationResults


class ConfigurationStore(Protocol):
    """Configurations of one hub; all writes are durable."""

    async def create(self, configuration: Configuration, *, limit: int) -> None:
        """Raise HubError CONFIGURATION_ALREADY_EXISTS, or TOO_MANY_CONFIGURATIONS if there are `limit` already."""
        ...

    async def get(self, configuration_id: str) -> Configuration | None: ...

    async def all(self) -> Sequence[Configuration]:
        """Return them in order of their id."""
        ...

    async def replace(self, configuration: Configuration, *, expected_version: int) -> bool:
        """Replace all but the results; False if there is no such version."""
        ...

    async def delete(self, configuration_id: str, *, expected_version: int | None) -> bool:
        """Delete, and leave a trace until twins have been rid of it; False as for `replace`. None expects any."""
        ...

    async def traces(self) -> Sequence[str]:
        """Return the ids of deleted configurations that twins may show still."""
        ...

    async def record(self, results: Mapping[str, ConfigurationResults], *, rid_of: Sequence[str]) -> None:
        """Store what was counted, and forget the traces that twins are rid of."""
        ...
