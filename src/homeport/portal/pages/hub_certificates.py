"""CA certificates of a hub that this server serves: upload, proof of possession, delete; all on one page."""

import re

from aiohttp import web

from homeport.client import BadRequestError, ConflictError, ProvisioningServiceError
from homeport.portal.context import page, portal, see
from homeport.portal.rendering import segment

routes = web.RouteTableDef()

_NAME = re.compile(r"[A-Za-z0-9\-._]{1,64}")


@routes.get("/hubs/{hub}/certificates")
async def index(request: web.Request) -> web.Response:
    return await _show(request, {}, {})


@routes.post("/hubs/{hub}/certificates")
async def upload(request: web.Request) -> web.Response:
    values = await _values(request)
    errors: dict[str, str] = {}
    name = values.get("name", "").strip()
    if not _NAME.fullmatch(name):
        errors["name"] = "1 to 64 letters, digits or any of - . and _"
    certificate = values.get("certificate", "").strip()
    if "PRIVATE KEY-----" in certificate:
        values["certificate"] = ""  # it must not travel once more
        errors["certificate"] = "This holds a private key. Keep it where it is; paste the certificate."
    elif not certificate:
        errors["certificate"] = "Paste the authority's certificate."
    if errors:
        return await _show(request, values, errors)
    try:
        made = await portal(request).api.admin.upload_hub_certificate(
            _hub(request), name, certificate, verified=values.get("verified") == "on"
        )
    except (BadRequestError, ConflictError) as error:
        return await _show(request, values, errors, error)
    return see(request, _path(request), f"{made.name} is uploaded.")


@routes.post("/hubs/{hub}/certificates/{name}/code")
async def code(request: web.Request) -> web.Response:
    await portal(request).api.admin.generate_hub_verification_code(_hub(request), _name(request))
    return see(request, _path(request), "Here is the code. Issue a certificate with it as the common name.")


@routes.post("/hubs/{hub}/certificates/{name}/verify")
async def verify(request: web.Request) -> web.Response:
    """Take the certificate for the code as proof, or the administrator's word."""
    admin, hub, name = portal(request).api.admin, _hub(request), _name(request)
    values = await _values(request)
    try:
        if values.get("word") == "mine":
            stored = await admin.get_hub_certificate(hub, name)
            text = stored.properties.certificate
            await admin.upload_hub_certificate(hub, name, text, verified=True, etag=stored.etag)
        else:
            await admin.verify_hub_certificate(hub, name, values.get("proof", ""))
    except BadRequestError as error:
        return await _show(request, {}, {}, error)
    return see(request, _path(request), f"{name} is verified: chains may end at it.")


@routes.post("/hubs/{hub}/certificates/{name}/delete")
async def delete(request: web.Request) -> web.Response:
    await portal(request).api.admin.delete_hub_certificate(_hub(request), _name(request))
    return see(request, _path(request), f"{_name(request)} is deleted; devices that came in by it were cut off.")


async def _show(
    request: web.Request,
    values: dict[str, str],
    errors: dict[str, str],
    problem: ProvisioningServiceError | None = None,
) -> web.Response:
    hub = _hub(request)
    found = await portal(request).api.admin.hub_certificates(hub)
    return page(
        request,
        "hub_certificates.html",
        status=422 if errors else problem.status if problem else 200,
        hub=hub,
        base=_path(request),
        certificates=found,
        values=values,
        errors=errors,
        problem=problem,
    )


def _hub(request: web.Request) -> str:
    return _segment(request, "hub")


def _name(request: web.Request) -> str:
    return _segment(request, "name")


def _segment(request: web.Request, part: str) -> str:
    value = request.match_info[part]
    if value in {".", ".."}:
        raise web.HTTPNotFound
    return value


def _path(request: web.Request) -> str:
    return f"/hubs/{segment(_hub(request))}/certificates"


async def _values(request: web.Request) -> dict[str, str]:
    sent = await request.post()
    return {name: value for name, value in sent.items() if isinstance(value, str) and name != "csrf"}
