"""What pages about a hub served here have in common: finding it, who may change it, what their forms say."""

import json
from typing import Any

from aiohttp import web

from homeport.client.aio import HubClient
from homeport.nesting import nests_beyond
from homeport.portal.context import page, portal, see
from homeport.portal.rendering import segment

_CHANGING = frozenset({"operator", "owner"})


async def served_hub(request: web.Request, *, changing: bool = False) -> tuple[str, HubClient]:
    """Return the hub that the address names, to an administrator who may see it, or change something in it.

    A hub knows no administrators: the portal speaks to it as its owner. So the service is asked here who this is now,
    and in which role. Raises UnauthorizedError for a token that is worth nothing any more, 403 for a role that does
    not suffice, 404 for a hub that is not served here.
    """
    here = portal(request)
    name = request.match_info["hub"]
    client = here.api.hubs().get(name)
    if client is None:
        raise web.HTTPNotFound(text="No hub with this name is served here.")
    me = await here.api.admin.me()
    if changing and me.role not in _CHANGING:
        raise web.HTTPForbidden(text=f"You are {me.name}, {me.role or 'without a role'}. This needs an operator.")
    return name, client


def first_hub(request: web.Request, section: str) -> web.Response:
    """Go to a section's page of the first hub, or of the one that `hub` names; without one, say what to do."""
    served = portal(request).api.hubs()
    if not served:
        return page(request, "devices_none.html")
    chosen = request.query.get("hub")
    name = chosen if chosen is not None and chosen in served else next(iter(served))
    return see(request, f"/{section}/{segment(name)}")


async def form_values(request: web.Request) -> dict[str, str]:
    """Return the fields of a form that was sent."""
    sent = await request.post()
    return {name: value for name, value in sent.items() if isinstance(value, str) and name != "csrf"}


def json_field(values: dict[str, str], name: str, errors: dict[str, str]) -> Any:
    """Read a field as JSON, None if it is empty; what is wrong goes to `errors`."""
    text = values.get(name, "").strip()
    if not text:
        return None
    if nests_beyond(text.encode()):
        errors[name] = "This is nested too deeply."
        return None
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        errors[name] = f"This is not JSON: {error}."
        return None


def object_field(values: dict[str, str], name: str, errors: dict[str, str]) -> dict[str, Any] | None:
    """Read a field as a JSON object, like `json_field`."""
    value = json_field(values, name, errors)
    if value is not None and not isinstance(value, dict):
        errors[name] = "This is JSON, but no object."
        return None
    return value


def number_field(
    values: dict[str, str], name: str, errors: dict[str, str], *, smallest: int, largest: int
) -> int | None:
    """Read a field as a number, None if it is empty."""
    text = values.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 8 and smallest <= int(text) <= largest):
        errors[name] = f"A number from {smallest} to {largest}."
        return None
    return int(text)


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
