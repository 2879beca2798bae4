"""Linked hubs: list, create here, link elsewhere, weight, unlink."""

import re

from aiohttp import web

from homeport.client import BadRequestError, ConflictError, ProvisioningServiceError
from homeport.client.connection_string import parse_connection_string
from homeport.client.errors import ConnectionStringError
from homeport.portal.context import page, portal, see
from homeport.portal.pages.overview import hub_counts

routes = web.RouteTableDef()

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,48}[A-Za-z0-9])?")
_MAX_WEIGHT = 1000


@routes.get("/hubs")
async def index(request: web.Request) -> web.Response:
    api = portal(request).api
    hubs = await api.admin.hubs()
    counts = await hub_counts(api.hubs())
    weights = sum(hub.allocation_weight for hub in hubs if hub.apply_allocation_policy)
    return page(request, "hubs.html", hubs=hubs, counts=counts, weights=weights)


@routes.get("/new/hub")
async def new(request: web.Request) -> web.Response:
    return page(request, "hub_form.html", action="create", values={"weight": "1"}, errors={}, problem=None)


@routes.post("/new/hub")
async def create(request: web.Request) -> web.Response:
    values = await _values(request)
    errors: dict[str, str] = {}
    name, weight = _name(values, errors), _weight(values, errors)
    hosts = [host for host in re.split(r"[\s,]+", values.get("host_names", "")) if host]
    if not hosts:
        errors["host_names"] = "Give at least one host name or address that devices reach this server by."
    if errors:
        return _again(request, "create", values, errors)
    try:
        hub = await portal(request).api.admin.create_hub(name, host_names=hosts, allocation_weight=weight)
    except (BadRequestError, ConflictError) as error:
        return _again(request, "create", values, errors, error)
    return see(request, "/hubs", f"Hub {hub.name} serves {hub.host_name} and takes devices.")


@routes.get("/link/hub")
async def new_link(request: web.Request) -> web.Response:
    return page(request, "hub_form.html", action="link", values={"weight": "1"}, errors={}, problem=None)


@routes.post("/link/hub")
async def link(request: web.Request) -> web.Response:
    values = await _values(request)
    errors: dict[str, str] = {}
    text = values.pop("connection_string", "").strip()
    try:
        host = parse_connection_string(text).host_name
    except ConnectionStringError as error:
        host = ""
        errors["connection_string"] = f"{error}."
    values["name"] = values.get("name", "").strip() or host.split(".")[0]
    name, weight = _name(values, errors), _weight(values, errors)
    if errors:
        return _again(request, "link", values, errors)
    authorities = values.get("ca_certificates", "").strip() or None
    try:
        hub = await portal(request).api.admin.link_hub(
            name, connection_string=text, allocation_weight=weight, ca_certificates=authorities
        )
    except (BadRequestError, ConflictError) as error:
        return _again(request, "link", values, errors, error)
    return see(request, "/hubs", f"Hub {hub.name} at {hub.host_name} is linked and takes devices.")


@routes.post("/hubs/{name}/weight")
async def set_weight(request: web.Request) -> web.Response:
    values = await _values(request)
    errors: dict[str, str] = {}
    weight = _weight(values, errors)
    if errors:
        return see(request, "/hubs", errors["weight"])
    hub = await portal(request).api.admin.update_hub(request.match_info["name"], allocation_weight=weight)
    return see(request, "/hubs", f"The weight of {hub.name} is {hub.allocation_weight} from now on.")


@routes.get("/hubs/{name}/unlink")
async def confirm(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    hubs = await portal(request).api.admin.hubs()
    hub = next((hub for hub in hubs if hub.name == name), None)
    if hub is None:
        raise web.HTTPNotFound
    return page(request, "hub_unlink.html", hub=hub)


@routes.post("/hubs/{name}/unlink")
async def unlink(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    await portal(request).api.admin.unlink_hub(name)
    return see(request, "/hubs", f"Hub {name} is unlinked: it takes no new devices.")


async def _values(request: web.Request) -> dict[str, str]:
    sent = await request.post()
    return {name: value for name, value in sent.items() if isinstance(value, str) and name != "csrf"}


def _name(values: dict[str, str], errors: dict[str, str]) -> str:
    name = values.get("name", "").strip()
    if not _NAME.fullmatch(name):
        errors["name"] = "1 to 50 letters, digits or hyphens; no hyphen at either end."
    return name


def _weight(values: dict[str, str], errors: dict[str, str]) -> int:
    text = values.get("weight", "").strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 5 and 1 <= int(text) <= _MAX_WEIGHT):
        errors["weight"] = f"The weight is a number from 1 to {_MAX_WEIGHT}."
        return 1
    return int(text)


def _again(
    request: web.Request,
    action: str,
    values: dict[str, str],
    errors: dict[str, str],
    problem: ProvisioningServiceError | None = None,
) -> web.Response:
    status = problem.status if problem else 422
    return page(request, "hub_form.html", status=status, action=action, values=values, errors=errors, problem=problem)
