"""Administrators: who may do what; their tokens are shown once."""

from datetime import timedelta

from aiohttp import web

from homeport.client import BadRequestError, ConflictError, ProvisioningServiceError
from homeport.portal.context import page, portal, see, session

routes = web.RouteTableDef()

ROLES = {
    "reader": "sees everything but secrets",
    "operator": "also enrolls devices and deletes registrations",
    "owner": "may do everything, also this",
}
_MOST_DAYS = 3650


@routes.get("/administrators")
async def index(request: web.Request) -> web.Response:
    found = await portal(request).api.admin.administrators()
    secrets = session(request).take_secrets("/administrators")
    return page(request, "administrators.html", administrators=found, secrets=secrets, roles=ROLES)


@routes.get("/new/administrators")
async def new(request: web.Request) -> web.Response:
    return _form(request, {"role": "operator", "days": "365"}, {})


@routes.post("/new/administrators")
async def create(request: web.Request) -> web.Response:
    values = await _values(request)
    errors: dict[str, str] = {}
    name, role = values.get("name", "").strip(), values.get("role", "")
    if not name:
        errors["name"] = "Give the administrator a name; the audit tells it."
    if role not in ROLES:
        errors["role"] = "Choose a role."
    days = _days(values, errors)
    if errors:
        return _form(request, values, errors, status=422)
    here = portal(request)
    expires = None if days is None else here.clock.now() + timedelta(days=days)
    try:
        made = await here.api.admin.create_administrator(name, role, expires=expires)
    except (BadRequestError, ConflictError) as error:
        return _form(request, values, errors, status=error.status, problem=error)
    session(request).secrets["/administrators"] = {f"Token of {made.name}": made.token}
    return see(request, "/administrators", f"{made.name} is {made.role}.")


@routes.post("/administrators/{name}/renew")
async def renew(request: web.Request) -> web.Response:
    here = portal(request)
    stored = {each.name: each for each in await here.api.admin.administrators()}.get(request.match_info["name"])
    if stored is None:
        raise web.HTTPNotFound
    # As long as the old one was good for, counted from now.
    expires = None
    if stored.expires_date_time_utc is not None:
        since = stored.renewed_date_time_utc or stored.created_date_time_utc or here.clock.now()
        expires = here.clock.now() + max(stored.expires_date_time_utc - since, timedelta(days=1))
    made = await here.api.admin.renew_administrator(stored.name, expires=expires)
    session(request).secrets["/administrators"] = {f"Token of {made.name}": made.token}
    return see(request, "/administrators", f"{made.name} has a fresh token; the old one is worth nothing.")


@routes.post("/administrators/{name}/role")
async def change_role(request: web.Request) -> web.Response:
    role = (await _values(request)).get("role", "")
    if role not in ROLES:
        raise web.HTTPBadRequest(text="There is no such role.")
    changed = await portal(request).api.admin.update_administrator(request.match_info["name"], role=role)
    return see(request, "/administrators", f"{changed.name} is {changed.role} from now on.")


@routes.get("/administrators/{name}/revoke")
async def confirm(request: web.Request) -> web.Response:
    return page(request, "administrator_revoke.html", name=request.match_info["name"])


@routes.post("/administrators/{name}/revoke")
async def revoke(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    await portal(request).api.admin.revoke_administrator(name)
    return see(request, "/administrators", f"{name} may do nothing any more.")


async def _values(request: web.Request) -> dict[str, str]:
    sent = await request.post()
    return {name: value for name, value in sent.items() if isinstance(value, str) and name != "csrf"}


def _days(values: dict[str, str], errors: dict[str, str]) -> int | None:
    text = values.get("days", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 5 and 1 <= int(text) <= _MOST_DAYS):
        errors["days"] = f"A number of days from 1 to {_MOST_DAYS}; empty: the token does not expire."
        return None
    return int(text)


def _form(
    request: web.Request,
    values: dict[str, str],
    errors: dict[str, str],
    *,
    status: int = 200,
    problem: ProvisioningServiceError | None = None,
) -> web.Response:
    return page(
        request,
        "administrator_form.html",
        status=status,
        values=values,
        errors=errors,
        problem=problem,
        roles=ROLES,
    )
