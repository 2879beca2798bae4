"""The Event Hubs-compatible endpoints of this server's hubs: how long they keep events, and their consumer groups."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import UnsetType

from homeport.dps.listing import read
from homeport.dps.reply import Reply, success
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller
from homeport.wire import hub_event_hubs as wire


class EventHubAdministration(Protocol):
    """The endpoints of the hubs that this server serves. All raise NOT_FOUND, changes INVALID_REQUEST as well."""

    async def all(self, hub: str) -> Sequence[wire.EventHub]:
        """Return a hub's endpoints, the built-in one first."""
        ...

    async def get(self, hub: str, endpoint: str) -> wire.EventHub: ...

    async def configure(
        self, hub: str, endpoint: str, *, retention_days: int | None, max_bytes: int | None, by: Caller
    ) -> wire.EventHub:
        """Change how long events are kept and how much; None leaves a value as it is."""
        ...

    async def groups(self, hub: str, endpoint: str) -> Sequence[wire.ConsumerGroup]:
        """Return the consumer groups, `$Default` first."""
        ...

    async def create_group(self, hub: str, endpoint: str, group: str, *, by: Caller) -> wire.ConsumerGroup:
        """Make a group; one that is there is returned."""
        ...

    async def remove_group(self, hub: str, endpoint: str, group: str, *, by: Caller) -> None: ...


class EventHubsResponder:
    def __init__(self, event_hubs: EventHubAdministration) -> None:
        self._event_hubs = event_hubs

    async def list(self, hub: str, tracking_id: str) -> Reply:
        return success(200, await self._event_hubs.all(hub), tracking_id)

    async def get(self, hub: str, endpoint: str, tracking_id: str) -> Reply:
        return success(200, await self._event_hubs.get(hub, endpoint), tracking_id)

    async def patch(self, hub: str, endpoint: str, body: bytes, by: Caller) -> Reply:
        change = read(wire.event_hub_change, body)
        days, size = change.retention_days, change.max_bytes
        if isinstance(days, UnsetType) and isinstance(size, UnsetType):
            raise HomeportError(Code.INVALID_REQUEST, "Give retentionDays, or maxBytes, or both.")
        changed = await self._event_hubs.configure(
            hub,
            endpoint,
            retention_days=None if isinstance(days, UnsetType) else days,
            max_bytes=None if isinstance(size, UnsetType) else size,
            by=by,
        )
        return success(200, changed, by.tracking_id)

    async def groups(self, hub: str, endpoint: str, tracking_id: str) -> Reply:
        return success(200, await self._event_hubs.groups(hub, endpoint), tracking_id)

    async def create_group(self, hub: str, endpoint: str, group: str, by: Caller) -> Reply:
        return success(200, await self._event_hubs.create_group(hub, endpoint, group, by=by), by.tracking_id)

    async def remove_group(self, hub: str, endpoint: str, group: str, by: Caller) -> Reply:
        await self._event_hubs.remove_group(hub, endpoint, group, by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)
