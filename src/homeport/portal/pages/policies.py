"""Shared access policies of the provisioning service: list, keys on demand, rotation."""

from aiohttp import web

from homeport.client import AccessPolicy, ConflictError
from homeport.portal.context import page, portal, see, session
from homeport.portal.hub_pages import form_values
from homeport.portal.rendering import segment

routes = web.RouteTableDef()

_KEYS = {"primary", "secondary"}


@routes.get("/policies")
async def index(request: web.Request) -> web.Response:
    return page(request, "policies.html", policies=await portal(request).api.admin.policies())


@routes.get("/policies/{name}")
async def show(request: web.Request) -> web.Response:
    policy = await portal(request).api.admin.policy(_name(request))
    secrets = session(request).take_secrets(_path(policy.name))
    return page(request, "policy.html", policy=policy, secrets=secrets, here=_path(policy.name))


@routes.post("/policies/{name}/keys")
async def keys(request: web.Request) -> web.Response:
    """Show the keys, once."""
    policy = await portal(request).api.admin.policy_keys(_name(request))
    _keep(request, policy)
    return see(request, _path(policy.name))


@routes.post("/policies/{name}/rotate")
async def rotate(request: web.Request) -> web.Response:
    """Replace a key, or let the two change places, and show them."""
    admin, name = portal(request).api.admin, _name(request)
    key = (await form_values(request)).get("key", "")
    if key == "swap":
        policy = await admin.swap_policy_keys(name)
        said = "The keys have changed places; both stay valid."
    elif key in _KEYS:
        try:
            policy = await admin.regenerate_policy_key(name, key)
        except ConflictError as error:
            return see(request, _path(name), error.message)
        said = f"The {key} key is new; what the old one signed is refused within two seconds."
    else:
        raise web.HTTPBadRequest(text="There is no such key.")
    _keep(request, policy)
    return see(request, _path(policy.name), said)


@routes.get("/policies/{name}/rotate/{key}")
async def confirm(request: web.Request) -> web.Response:
    key = request.match_info["key"]
    if key not in _KEYS:
        raise web.HTTPNotFound
    policy = await portal(request).api.admin.policy(_name(request))
    return page(request, "policy_rotate.html", policy=policy, key=key, here=_path(policy.name))


def _keep(request: web.Request, policy: AccessPolicy) -> None:
    host = portal(request).about.global_endpoint
    session(request).secrets[_path(policy.name)] = {
        "Primary key": policy.primary_key or "",
        "Secondary key": policy.secondary_key or "",
        "Connection string": policy.connection_string(host),
    }


def _name(request: web.Request) -> str:
    name = request.match_info["name"]
    if name in {".", ".."}:
        raise web.HTTPNotFound
    return name


def _path(name: str) -> str:
    return f"/policies/{segment(name)}"
