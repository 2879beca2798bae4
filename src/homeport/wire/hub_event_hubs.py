"""The Event Hubs-compatible endpoints of a hub, as administrators see them under `/homeport/hubs/{name}/eventHubs`.

The counterpart of `homeport.client.event_hub_models`.
"""

from msgspec import UNSET, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct


class EventHub(WireStruct, frozen=True, kw_only=True):
    """An endpoint; the built-in one is called `events`, and by `eventHubName` in addresses."""

    name: str
    event_hub_name: str
    partition_count: int
    retention_days: int
    max_bytes: int | None
    created_date_time_utc: str


class EventHubChange(WireStruct, frozen=True, kw_only=True):
    """What is to be changed; `maxBytes` 0 takes the limit by size away."""

    retention_days: int | UnsetType = UNSET
    max_bytes: int | UnsetType = UNSET


class ConsumerGroup(WireStruct, frozen=True, kw_only=True):
    name: str
    created_date_time_utc: str


event_hub_change = Decoder(EventHubChange)
