"""Signing in with the token that the server printed or an administrator's own, and signing out."""

import logging

from aiohttp import web

from homeport.portal.context import SESSION, Portal, page, portal, see, session
from homeport.portal.sessions import MAX_TOKEN, Entrance

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
    who = await _who(here, token) if isinstance(token, str) else None
    if who is None:
        here.doorkeeper.count_failure(now)
        _log.warning("portal: a wrong token was offered from %s", request.remote)
        error = "This is not the token that the server printed, nor an administrator's."
        return page(request, "login.html", status=403, error=error)
    opened = here.sessions.open(now, who)
    answer = web.Response(status=303, headers={"Location": "/"})
    answer.set_cookie(here.cookie, opened.id, httponly=True, samesite="Strict", secure=here.secure, path="/")
    return answer


async def _who(here: Portal, token: str) -> Entrance | None:
    if here.doorkeeper.admits(token):
        return Entrance(name="owner", role="owner", api=here.api)
    return None if here.enter is None or len(token) > MAX_TOKEN else await here.enter(token.strip())


@routes.post("/logout")
async def sign_out(request: web.Request) -> web.Response:
    here = portal(request)
    here.sessions.close(session(request))
    answer = web.Response(status=303, headers={"Location": "/login"})
    answer.del_cookie(here.cookie, path="/", httponly=True, samesite="Strict", secure=here.secure)
    return answer
