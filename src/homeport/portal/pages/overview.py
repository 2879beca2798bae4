"""The first page: how much there is, what has just happened, and what to do next."""

import asyncio
from collections.abc import Mapping

from aiohttp import web
from msgspec import Struct

from homeport.client import ClientError
from homeport.client.aio import HubClient
from homeport.portal.context import page, portal

routes = web.RouteTableDef()

_RECENT = 8


class HubCounts(Struct, frozen=True, kw_only=True):
    """Devices of a hub; None when the hub does not say."""

    devices: int | None = None
    connected: int | None = None


@routes.get("/")
async def overview(request: web.Request) -> web.Response:
    api = portal(request).api
    totals, attempts, hubs, counts = await asyncio.gather(
        api.admin.counts(),
        api.admin.page_attempts(page_size=_RECENT),
        api.admin.hubs(),
        hub_counts(api.hubs()),
    )
    return page(
        request,
        "overview.html",
        totals=totals,
        attempts=attempts.items,
        hubs=hubs,
        counts=counts,
        most=max((count.devices or 0 for count in counts.values()), default=0),
    )


async def hub_counts(clients: Mapping[str, HubClient]) -> dict[str, HubCounts]:
    """Ask every hub that is served here for its numbers; one that does not answer has none."""
    numbers = await asyncio.gather(*(_counts(client) for client in clients.values()))
    return dict(zip(clients, numbers, strict=True))


async def _counts(client: HubClient) -> HubCounts:
    try:
        registry, service = await asyncio.gather(client.get_registry_statistics(), client.get_service_statistics())
    except ClientError:
        return HubCounts()
    return HubCounts(devices=registry.total_device_count, connected=service.connected_device_count)
