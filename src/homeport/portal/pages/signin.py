"""Signing in with the token that the server printed, and signing out."""

import logging

from aiohttp import web

from homeport.portal.context import SESSION, page, portal, see, session

routes = web.RouteTableDef()
_log = logging.getLogger(__name__)


@routes.get("/login")
async def form(request: web.Request) -> web.Response:
    if SESSION in request:
        return see(request, "/")
    return page(request, "login.html", error="")


@routes.post("/login")
async def sign_in(request: web.Request) -> web.Response:
    here = portal(request)
    now = here.clock.now()
    if wait := here.doorkeeper.seconds_to_wait(now):
        error = f"Too many wrong tokens. Wait {wait} seconds, then try again."
        answer = page(request, "login.html", status=429, error=error)
        answer.headers["Retry-After"] = str(wait)
        return answer
    token = (await request.post()).get("token")
    if not isinstance(token, str) or not here.doorkeeper.admits(token, now):
        _log.warning("portal: a wrong token was offered from %s", request.remote)
        return page(request, "login.html", status=403, error="This is not the token that the server printed.")
    opened = here.sessions.open(now)
    answer = web.Response(status=303, headers={"Location": "/"})
    answer.set_cookie(here.cookie, opened.id, httponly=True, samesite="Strict", secure=here.secure, path="/")
    return answer


@routes.post("/logout")
async def sign_out(request: web.Request) -> web.Response:
    here = portal(request)
    here.sessions.close(session(request))
    answer = web.Response(status=303, headers={"Location": "/login"})
    answer.del_cookie(here.cookie, path="/", httponly=True, samesite="Strict", secure=here.secure)
    return answer
