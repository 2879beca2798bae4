"""Linked hubs: list, create here, link elsewhere, how they take new devices, check, unlink."""

import re

from aiohttp import web

from homeport.client import BadRequestError, ConflictError, LinkedHub, ProvisioningServiceError
from homeport.client.connection_string import parse_connection_string
from homeport.client.errors import ConnectionStringError
from homeport.portal.context import page, portal, see
from homeport.portal.pages.overview import hub_counts

routes = web.RouteTableDef()

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,48}[A-Za-z0-9])?")
_MAX_WEIGHT = 1000
_CHOICES = (
    ("taken", "Takes new devices"),
    ("drained", "Drained: none, but keeps those it has"),
    ("named", "Takes no part, unless an enrollment names it"),
)


@routes.get("/hubs")
async def index(request: web.Request) -> web.Response:
    api = portal(request).api
    hubs = await api.admin.hubs()
    counts = await hub_counts(api.hubs())
    sharing = [hub for hub in hubs if _takes_new_devices(hub)]
    weights = sum(hub.allocation_weight for hub in sharing)
    return page(request, "hubs.html", hubs=hubs, counts=counts, sharing=sharing, weights=weights)


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


@routes.get("/hubs/{name}/allocation")
async def show_allocation(request: web.Request) -> web.Response:
    hub = await _hub(request)
    values = {
        "weight": str(hub.allocation_weight),
        "takes": "named" if not hub.apply_allocation_policy else "drained" if hub.draining else "taken",
        "max_devices": "" if hub.max_devices is None else str(hub.max_devices),
        "region": hub.region or "",
    }
    return _allocation(request, hub, values, {})


@routes.post("/hubs/{name}/allocation")
async def set_allocation(request: web.Request) -> web.Response:
    hub = await _hub(request)
    values = {"takes": "taken", "max_devices": "", "region": ""} | await _values(request)
    errors: dict[str, str] = {}
    weight, most = _weight(values, errors), _max_devices(values, errors)
    if errors:
        return _allocation(request, hub, values, errors)
    try:
        hub = await portal(request).api.admin.update_hub(
            hub.name,
            allocation_weight=weight,
            apply_allocation_policy=values["takes"] != "named",
            draining=values["takes"] == "drained",
            max_devices=most,
            region=values["region"].strip(),
        )
    except BadRequestError as error:
        return _allocation(request, hub, values, errors, error)
    return see(request, "/hubs", f"Hub {hub.name} is changed; registrations from now on go by it.")


@routes.post("/hubs/{name}/check")
async def check(request: web.Request) -> web.Response:
    hub = await portal(request).api.admin.check_hub(request.match_info["name"])
    state = hub.health.state if hub.health else "not checked"
    return see(request, "/hubs", f"The link to {hub.name} is {state}.")


@routes.get("/hubs/{name}/unlink")
async def confirm(request: web.Request) -> web.Response:
    return page(request, "hub_unlink.html", hub=await _hub(request))


@routes.post("/hubs/{name}/unlink")
async def unlink(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    await portal(request).api.admin.unlink_hub(name)
    return see(request, "/hubs", f"Hub {name} is unlinked: it takes no new devices.")


async def _hub(request: web.Request) -> LinkedHub:
    name = request.match_info["name"]
    hub = next((hub for hub in await portal(request).api.admin.hubs() if hub.name == name), None)
    if hub is None:
        raise web.HTTPNotFound
    return hub


def _takes_new_devices(hub: LinkedHub) -> bool:
    full = hub.max_devices is not None and hub.devices >= hub.max_devices
    return hub.apply_allocation_policy and not hub.draining and not full


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


def _max_devices(values: dict[str, str], errors: dict[str, str]) -> int:
    text = values["max_devices"].strip()
    if text and not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        errors["max_devices"] = "A number from 1 up, or nothing."
        return 0
    return int(text or 0)


def _allocation(
    request: web.Request,
    hub: LinkedHub,
    values: dict[str, str],
    errors: dict[str, str],
    problem: ProvisioningServiceError | None = None,
) -> web.Response:
    status = problem.status if problem else 422 if errors else 200
    return page(
        request,
        "hub_allocation.html",
        status=status,
        hub=hub,
        values=values,
        errors=errors,
        problem=problem,
        choices=_CHOICES,
    )


def _again(
    request: web.Request,
    action: str,
    values: dict[str, str],
    errors: dict[str, str],
    problem: ProvisioningServiceError | None = None,
) -> web.Response:
    status = problem.status if problem else 422
    return page(request, "hub_form.html", status=status, action=action, values=values, errors=errors, problem=problem)
