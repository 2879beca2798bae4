"""Where a hub's messages go: hub-made events, routes with conditions, enrichments, endpoints (contract hub.md 21.2)."""
