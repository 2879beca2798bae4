"""Attempts to register, of all devices: the known and the unknown."""

from aiohttp import web

from homeport.client import NotFoundError
from homeport.portal.context import page, portal
from homeport.portal.paging import listing

routes = web.RouteTableDef()


@routes.get("/attempts")
async def index(request: web.Request) -> web.Response:
    admin = portal(request).api.admin
    tracking_id = request.query.get("tracking", "").strip()[:128]
    missing = ""
    if tracking_id:
        try:
            attempt = await admin.find_attempt(tracking_id)
        except NotFoundError:
            missing = tracking_id
        else:
            return page(request, "attempt.html", attempt=attempt)
    found = await listing(
        request,
        lambda size, after: admin.page_attempts(page_size=size, continuation=after),
        lambda attempt: attempt.registration_id,
    )
    return page(request, "attempts.html", found=found, missing=missing)


@routes.get("/attempts/{tracking_id}")
async def show(request: web.Request) -> web.Response:
    attempt = await portal(request).api.admin.find_attempt(request.match_info["tracking_id"])
    return page(request, "attempt.html", attempt=attempt)
