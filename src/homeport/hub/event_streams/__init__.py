"""Event Hubs-compatible endpoints of a hub: what its front-ends and its administration are given (hub.md 20)."""

from homeport.hub.event_streams.positions import Position, first_offset, read_selector
from homeport.hub.event_streams.receivers import Crowded, Receiver, Receivers, Stolen
from homeport.hub.event_streams.streams import DEFAULT_GROUP, EventStreams, event_hub_name

__all__ = [
    "DEFAULT_GROUP",
    "Crowded",
    "EventStreams",
    "Position",
    "Receiver",
    "Receivers",
    "Stolen",
    "event_hub_name",
    "first_offset",
    "read_selector",
]
