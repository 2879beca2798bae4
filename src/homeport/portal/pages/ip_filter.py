"""The IP filter: rules in their order, a new one, removing one, and what they do with an address."""

from typing import Any

from aiohttp import web

from homeport.client import (
    BadRequestError,
    IpFilterRule,
    PreconditionFailedError,
    ProvisioningServiceError,
)
from homeport.portal.context import page, portal, see
from homeport.portal.hub_pages import form_values, number_field

routes = web.RouteTableDef()

ACTIONS = ("allow", "deny")
TARGETS = {"all": "everything", "devices": "devices' endpoints", "service": "the service API", "portal": "this portal"}
_MOST_RULES = 1000


@routes.get("/ip-filter")
async def index(request: web.Request) -> web.Response:
    return await _show(request, {"action": "allow", "target": "all"}, {})


@routes.post("/ip-filter/add")
async def add(request: web.Request) -> web.Response:
    admin = portal(request).api.admin
    values = await form_values(request)
    errors: dict[str, str] = {}
    place = number_field(values, "place", errors, smallest=1, largest=_MOST_RULES)
    action: Any = values.get("action")
    target: Any = values.get("target")
    name, network = values.get("name", "").strip(), values.get("network", "").strip()
    if not name:
        errors["name"] = "Give the rule a name."
    if not network:
        errors["network"] = "An address, a network such as 10.0.0.0/8, or any."
    if action not in ACTIONS or target not in TARGETS:
        raise web.HTTPBadRequest(text="There is no such rule.")
    if errors:
        return await _show(request, values, errors, status=422)
    standing = await admin.ip_filter()
    rules = list(standing.rules)
    rule = IpFilterRule(name=name, action=action, network=network, target=target)
    rules.insert(len(rules) if place is None else place - 1, rule)
    try:
        await admin.set_ip_filter(rules, etag=standing.etag)
    except (BadRequestError, PreconditionFailedError) as error:
        return await _show(request, values, errors, status=error.status, problem=error)
    return see(request, "/ip-filter", f"Rule {name} is obeyed within two seconds.")


@routes.post("/ip-filter/remove")
async def remove(request: web.Request) -> web.Response:
    admin = portal(request).api.admin
    name = (await form_values(request)).get("name", "")
    standing = await admin.ip_filter()
    rules = [rule for rule in standing.rules if rule.name.lower() != name.lower()]
    if len(rules) == len(standing.rules):
        raise web.HTTPNotFound(text="There is no such rule any more.")
    try:
        await admin.set_ip_filter(rules, etag=standing.etag)
    except (BadRequestError, PreconditionFailedError) as error:
        return await _show(request, {"action": "allow", "target": "all"}, {}, status=error.status, problem=error)
    return see(request, "/ip-filter", f"Rule {name} is gone.")


async def _show(
    request: web.Request,
    values: dict[str, str],
    errors: dict[str, str],
    *,
    status: int = 200,
    problem: ProvisioningServiceError | None = None,
) -> web.Response:
    admin = portal(request).api.admin
    address = request.query.get("address", "").strip()[:64]
    decisions, misread = None, None
    if address:
        try:
            decisions = await admin.test_ip_filter(address)
        except BadRequestError as error:
            misread = error.message
    return page(
        request,
        "ip_filter.html",
        status=status,
        rules=(await admin.ip_filter()).rules,
        values=values,
        errors=errors,
        problem=problem,
        actions=ACTIONS,
        targets=TARGETS,
        address=address,
        decisions=decisions,
        misread=misread,
    )
