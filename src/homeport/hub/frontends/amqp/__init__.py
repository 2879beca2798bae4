"""Clients of a hub over AMQP: addresses to the hub's operations, and back (contract hub.md 14 to 16)."""

from homeport.hub.frontends.amqp.device_links import DeviceSpace
from homeport.hub.frontends.amqp.front_end import HubAmqpFrontEnd

__all__ = ["DeviceSpace", "HubAmqpFrontEnd"]
