"""Where a hub's messages go: hub-made events, routes with conditions, enrichments, endpoints (contract hub.md 21.2)."""

from homeport.hub.routing.hub_routing import HubRouting, RoutingParts

__all__ = ["HubRouting", "RoutingParts"]
