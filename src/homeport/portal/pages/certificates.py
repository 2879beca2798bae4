"""CA certificates: upload, proof of possession, revocation, delete; and every certificate that ends soon."""

import re

from aiohttp import web
from aiohttp.web_request import FileField

from homeport.client import BadRequestError, CaCertificate, ConflictError, ProvisioningServiceError
from homeport.portal.context import page, portal, see
from homeport.portal.rendering import segment

routes = web.RouteTableDef()

_NAME = re.compile(r"[A-Za-z0-9\-._]{1,128}")
_POLICIES = ("prefer", "require", "off")
_KINDS = {"caCertificate": "/certificates", "enrollmentGroup": "/groups", "individualEnrollment": "/enrollments"}


@routes.get("/certificates")
async def index(request: web.Request) -> web.Response:
    admin = portal(request).api.admin
    found = await admin.ca_certificates()
    report = await admin.expiring_certificates()
    return page(request, "certificates.html", certificates=found, report=report, kinds=_KINDS)


@routes.get("/new/certificate")
async def new(request: web.Request) -> web.Response:
    return page(request, "certificate_form.html", values={}, errors={}, problem=None)


@routes.post("/new/certificate")
async def create(request: web.Request) -> web.Response:
    values = await _values(request)
    errors: dict[str, str] = {}
    name = values.get("name", "").strip()
    if not _NAME.fullmatch(name):
        errors["name"] = "1 to 128 letters, digits or any of - . and _"
    certificate = values.get("certificate", "").strip()
    if "PRIVATE KEY-----" in certificate:
        values["certificate"] = ""  # it must not travel once more
        errors["certificate"] = "This holds a private key. Keep it where it is; paste the certificate."
    elif not certificate:
        errors["certificate"] = "Paste the authority's certificate."
    if errors:
        return page(request, "certificate_form.html", status=422, values=values, errors=errors, problem=None)
    try:
        made = await portal(request).api.admin.upload_ca_certificate(
            name, certificate, verified=values.get("verified") == "on"
        )
    except (BadRequestError, ConflictError) as error:
        return page(request, "certificate_form.html", status=error.status, values=values, errors=errors, problem=error)
    return see(request, _path(made.name), f"{made.name} is uploaded.")


@routes.get("/certificates/{name}")
async def show(request: web.Request) -> web.Response:
    return await _show(request, await portal(request).api.admin.get_ca_certificate(_name(request)))


@routes.post("/certificates/{name}/code")
async def code(request: web.Request) -> web.Response:
    made = await portal(request).api.admin.generate_verification_code(_name(request))
    return see(request, _path(made.name), "Here is the code. Issue a certificate with it as the common name.")


@routes.post("/certificates/{name}/verify")
async def verify(request: web.Request) -> web.Response:
    """Take the certificate for the code as proof, or the administrator's word."""
    admin, name = portal(request).api.admin, _name(request)
    values = await _values(request)
    try:
        if values.get("word") == "mine":
            await admin.set_ca_certificate_verified(name)
        else:
            await admin.verify_ca_certificate(name, values.get("proof", ""))
    except BadRequestError as error:
        return await _show(request, await admin.get_ca_certificate(name), error)
    return see(request, _path(name), f"{name} is verified: chains may end at it.")


@routes.post("/certificates/{name}/revocation")
async def set_revocation(request: web.Request) -> web.Response:
    admin, name = portal(request).api.admin, _name(request)
    values = await _values(request)
    policy = values.get("policy", "")
    try:
        await admin.set_revocation(
            name,
            policy=policy if policy in _POLICIES else None,
            crl_url=values.get("crl_url", "").strip(),
            use_distribution_points=values.get("points") == "on",
            use_ocsp=values.get("ocsp") == "on",
        )
    except BadRequestError as error:
        return await _show(request, await admin.get_ca_certificate(name), error)
    return see(request, _path(name), "What is asked about revocation is saved.")


@routes.post("/certificates/{name}/crl")
async def upload_crl(request: web.Request) -> web.Response:
    admin, name = portal(request).api.admin, _name(request)
    sent = (await request.post()).get("crl")
    content = sent.file.read() if isinstance(sent, FileField) else b""
    if not content:
        return see(request, _path(name), "Choose the file with the revocation list first.")
    try:
        found = await admin.upload_crl(name, content)
    except BadRequestError as error:
        return await _show(request, await admin.get_ca_certificate(name), error)
    entries = found.crl.entries if found.crl else 0
    return see(request, _path(name), f"The revocation list counts from now on: {entries} certificates are revoked.")


@routes.get("/certificates/{name}/delete")
async def confirm(request: web.Request) -> web.Response:
    found = await portal(request).api.admin.get_ca_certificate(_name(request))
    return page(request, "certificate_delete.html", certificate=found)


@routes.post("/certificates/{name}/delete")
async def delete(request: web.Request) -> web.Response:
    name = _name(request)
    try:
        await portal(request).api.admin.delete_ca_certificate(name)
    except ConflictError as error:
        return see(request, _path(name), error.message)
    return see(request, "/certificates", f"{name} is deleted.")


async def _show(
    request: web.Request, certificate: CaCertificate, problem: ProvisioningServiceError | None = None
) -> web.Response:
    status = problem.status if problem else 200
    base = _path(certificate.name)
    return page(
        request, "certificate.html", status=status, one=certificate, base=base, problem=problem, policies=_POLICIES
    )


def _name(request: web.Request) -> str:
    name = request.match_info["name"]
    if name in {".", ".."}:
        raise web.HTTPNotFound
    return name


def _path(name: str) -> str:
    return f"/certificates/{segment(name)}"


async def _values(request: web.Request) -> dict[str, str]:
    sent = await request.post()
    return {name: value for name, value in sent.items() if isinstance(value, str) and name != "csrf"}
