"""Issuing authorities: their certificates, the policies they issue by, and what they have issued."""

from datetime import timedelta

from aiohttp import web

from homeport.portal.context import page, portal
from homeport.portal.paging import SIZE, token_of

routes = web.RouteTableDef()

ENDS_SOON = timedelta(days=30)


@routes.get("/authorities")
async def index(request: web.Request) -> web.Response:
    here = portal(request)
    admin = here.api.admin
    return page(
        request,
        "authorities.html",
        authorities=await admin.certificate_authorities(),
        policies=await admin.certificate_policies(),
        soon=here.clock.now() + ENDS_SOON,
    )


@routes.get("/authorities/{name}")
async def show(request: web.Request) -> web.Response:
    here = portal(request)
    admin, name = here.api.admin, request.match_info["name"]
    if name in {".", ".."}:
        raise web.HTTPNotFound
    authority = await admin.get_certificate_authority(name)
    after = token_of(request)
    issued = await admin.page_issued_certificates(authority=name, page_size=SIZE, continuation=after)
    policies = [each for each in await admin.certificate_policies() if each.certificate_authority_name == name]
    return page(
        request,
        "authority.html",
        one=authority,
        policies=policies,
        issued=issued.items,
        after=issued.continuation,
        first=after is None,
        soon=here.clock.now() + ENDS_SOON,
    )
