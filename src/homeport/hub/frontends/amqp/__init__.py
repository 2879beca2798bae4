"""Clients of a hub over AMQP: addresses to the hub's operations, and back (contract hub.md 14 to 16)."""

from homeport.hub.frontends.amqp.front_end import HubAmqpFrontEnd

__all__ = ["HubAmqpFrontEnd"]
