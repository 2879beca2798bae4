# Made by scripts/unasync.py: change its twin in _async instead.
"""The administrator's client of a hub's Event Hubs-compatible endpoints (`/homeport/hubs/{name}/eventHubs`)."""

import msgspec

from homeport.client._sync.http import segment
from homeport.client._sync.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.event_hub_models import ConsumerGroup, EventHub

_BUILT_IN = "events"


class EventHubClient(ServiceClient):
    """Retention and consumer groups of this server's hubs. Raises ProvisioningServiceError or TransportError.

    NotFoundError if the server has no such hub, or the hub no such endpoint.
    """

    def event_hubs(self, hub: str) -> list[EventHub]:
        """Return a hub's endpoints, the built-in one first."""
        return self._get(_path(hub), list[EventHub])

    def event_hub(self, hub: str, endpoint: str = _BUILT_IN) -> EventHub:
        """Return an endpoint."""
        return self._get(_path(hub, endpoint), EventHub)

    def update_event_hub(
        self,
        hub: str,
        endpoint: str = _BUILT_IN,
        *,
        retention_days: int | None = None,
        max_bytes: int | None = None,
    ) -> EventHub:
        """Change for how many days events are kept (1 to 7) and how much; 0 bytes is no limit, None leaves a value."""
        wanted = {"retentionDays": retention_days, "maxBytes": max_bytes}
        document = {member: value for member, value in wanted.items() if value is not None}
        response = self._session.send(
            "PATCH", _path(hub, endpoint), body=msgspec.json.encode(document), repeatable=True
        )
        return decode(response.content, EventHub)

    def consumer_groups(self, hub: str, endpoint: str = _BUILT_IN) -> list[ConsumerGroup]:
        """Return the consumer groups of an endpoint, `$Default` first."""
        return self._get(f"{_path(hub, endpoint)}/consumerGroups", list[ConsumerGroup])

    def create_consumer_group(self, hub: str, group: str, endpoint: str = _BUILT_IN) -> ConsumerGroup:
        """Make a consumer group; one that is there already is returned. An endpoint has at most 20 of them."""
        path = f"{_path(hub, endpoint)}/consumerGroups/{segment(group)}"
        response = self._session.send("PUT", path, repeatable=True)
        return decode(response.content, ConsumerGroup)

    def delete_consumer_group(self, hub: str, group: str, endpoint: str = _BUILT_IN) -> None:
        """Remove a consumer group; `$Default` stays. NotFoundError if there is none."""
        path = f"{_path(hub, endpoint)}/consumerGroups/{segment(group)}"
        self._session.send("DELETE", path, repeatable=True)


def _path(hub: str, endpoint: str | None = None) -> str:
    path = f"/homeport/hubs/{segment(hub)}/eventHubs"
    return path if endpoint is None else f"{path}/{segment(endpoint)}"
