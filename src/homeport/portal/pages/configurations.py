"""Configurations of the hubs served here: which there are, what they write, and what their metrics count."""

from aiohttp import web

from homeport.client import Configuration
from homeport.portal.context import page, portal
from homeport.portal.hub_pages import first_hub, served_hub

routes = web.RouteTableDef()

_KINDS = {"device_content": "devices", "module_content": "modules", "modules_content": "Edge deployment"}


@routes.get("/configurations")
async def hubs(request: web.Request) -> web.Response:
    return first_hub(request, "configurations")


@routes.get("/configurations/{hub}")
async def index(request: web.Request) -> web.Response:
    name, client = await served_hub(request)
    found = sorted(await client.configurations(), key=lambda each: (-each.priority, each.id))
    return page(
        request,
        "configurations.html",
        hub=name,
        hubs=list(portal(request).api.hubs()),
        configurations=[(each, kind_of(each)) for each in found],
    )


@routes.get("/configurations/{hub}/{id}")
async def show(request: web.Request) -> web.Response:
    name, client = await served_hub(request)
    identifier = request.match_info["id"]
    if identifier in {".", ".."}:
        raise web.HTTPNotFound
    found = await client.get_configuration(identifier)
    content = found.content.device_content or found.content.module_content or found.content.modules_content or {}
    return page(request, "configuration.html", hub=name, one=found, kind=kind_of(found), content=content)


def kind_of(configuration: Configuration) -> str:
    """Say in a word or two what a configuration is for."""
    return next((word for member, word in _KINDS.items() if getattr(configuration.content, member)), "nothing")
