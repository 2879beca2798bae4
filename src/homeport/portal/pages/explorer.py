"""The Device Explorer: devices of the hubs served here, their identities, twins and telemetry."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web

from homeport.client import ClientError, NotFoundError
from homeport.portal.context import page, portal, see
from homeport.portal.hub_pages import served_hub
from homeport.portal.live import REPLAYED, message_document
from homeport.portal.paging import is_condition, listing, searching
from homeport.portal.rendering import as_mapping, segment

routes = web.RouteTableDef()


@routes.get("/devices")
async def hubs(request: web.Request) -> web.Response:
    """Go to the first hub; without one, say what to do."""
    served = portal(request).api.hubs()
    if not served:
        return page(request, "devices_none.html")
    chosen = request.query.get("hub")
    name = chosen if chosen is not None and chosen in served else next(iter(served))
    wanted = request.query.get("q", "").strip()
    query = f"?q={segment(wanted)}" if wanted else ""
    return see(request, f"/devices/{segment(name)}{query}")


@routes.get("/devices/{hub}")
async def index(request: web.Request) -> web.Response:
    name, client = await served_hub(request)
    if is_condition(request.query.get("q", "").strip()):
        found = await searching(
            request,
            lambda query, size, after: client.page_twins(query, page_size=size, continuation=after),
            "deviceId",
            source="devices",
        )
    else:
        found = await listing(
            request,
            lambda size, after: client.page_twins(page_size=size, continuation=after),
            lambda twin: twin.device_id,
        )
    conditional = is_condition(found.prefix)
    return page(
        request,
        "devices.html",
        hub=name,
        hubs=list(portal(request).api.hubs()),
        found=found,
        conditional=conditional,
    )


@routes.get("/devices/{hub}/{device}")
async def show(request: web.Request) -> web.Response:
    name, client = await served_hub(request)
    device_id = request.match_info["device"]
    if device_id in {".", ".."}:
        raise web.HTTPNotFound
    try:
        identity, twin = await client.get_device(device_id), await client.get_twin(device_id)
        modules = await client.modules(device_id)
    except NotFoundError as error:
        return page(request, "error.html", status=404, title=f"{name} has no such device", problem=error)
    try:
        messages = await client.telemetry(device_id, limit=REPLAYED)
        stored = await client.telemetry_count(device_id)
    except ClientError:
        messages, stored = [], None
    sections = twin.properties
    return page(
        request,
        "device.html",
        hub=name,
        device=identity,
        modules=modules,
        twin=twin,
        raw_twin=msgspec.to_builtins(twin),
        tags=twin.tags,
        desired=_section(sections.desired if sections else {}),
        reported=_section(sections.reported if sections else {}),
        messages=[message_document(message) for message in messages],
        stored=stored,
    )


def _section(section: Mapping[str, Any]) -> dict[str, Any]:
    """Take content, version and time of the last change of a section apart (contract hub.md 6.1)."""
    content = {key: value for key, value in section.items() if key not in {"$metadata", "$version"}}
    changed = as_mapping(section.get("$metadata")).get("$lastUpdated")
    try:
        at = datetime.fromisoformat(str(changed)) if changed else None
    except ValueError:
        at = None
    return {"content": content, "version": section.get("$version"), "changed": at}
