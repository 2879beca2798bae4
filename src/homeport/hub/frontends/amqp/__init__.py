"""Clients of a hub over AMQP: addresses to the hub's operations, and back (contract hub.md 14 to 16, 18)."""

from homeport.hub.frontends.amqp.device_links import DeviceSpace
from homeport.hub.frontends.amqp.event_links import EventSide, EventSpace
from homeport.hub.frontends.amqp.front_end import HubAmqpFrontEnd
from homeport.hub.frontends.amqp.service_links import ServiceSpace

__all__ = ["DeviceSpace", "EventSide", "EventSpace", "HubAmqpFrontEnd", "ServiceSpace"]
