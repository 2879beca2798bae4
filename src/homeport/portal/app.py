"""Puts the portal together: routes, guards, static files. What pages show is the pages' business."""

import secrets
from collections.abc import Iterable

from aiohttp import web

from homeport.clock import Clock, SystemClock
from homeport.portal import guard, live
from homeport.portal.context import PORTAL, About, Enter, Portal, PortalApi, portal
from homeport.portal.pages import (
    administrators,
    attempts,
    audit,
    authorities,
    certificates,
    configurations,
    device_actions,
    enrollments,
    events,
    explorer,
    hub_certificates,
    hubs,
    ip_filter,
    jobs,
    overview,
    policies,
    registrations,
    signin,
)
from homeport.portal.rendering import Templates
from homeport.portal.sessions import Doorkeeper, Sessions

MAX_FORM_BYTES = 256 * 1024


def create_portal(
    api: PortalApi,
    *,
    token: str | bytes,
    about: About,
    hosts: Iterable[str] = (),
    https: bool = False,
    clock: Clock | None = None,
    enter: Enter | None = None,
) -> web.Application:
    """Return the application; the caller serves it and closes the clients.

    Who has the `token` may sign in, as owner with `api`; so may whom `enter` finds for another token. `hosts` are
    names under which the portal may be reached besides the loopback's; `https` says that browsers reach it over
    HTTPS (a proxy's work). Live streams end when the application shuts down.
    """
    application = web.Application(
        client_max_size=MAX_FORM_BYTES,
        middlewares=[
            guard.explain_failures,
            guard.check_host(frozenset(name.rstrip(".").lower() for name in hosts)),
            guard.check_origin,
            guard.require_session,
        ],
    )
    application[PORTAL] = Portal(
        api=api,
        about=about,
        clock=clock or SystemClock(),
        doorkeeper=Doorkeeper(token),
        sessions=Sessions(lambda: secrets.token_urlsafe(32)),
        templates=Templates(),
        secure=https,
        enter=enter,
    )
    application.on_response_prepare.append(guard.add_headers)
    application.on_shutdown.append(live.end_streams)
    application.router.add_get("/static/{name}", _static)
    for room in (
        signin,
        overview,
        enrollments,
        registrations,
        attempts,
        certificates,
        authorities,
        hubs,
        hub_certificates,
        explorer,
        device_actions,
        jobs,
        configurations,
        policies,
        ip_filter,
        audit,
        events,
        administrators,
        live,
    ):
        application.router.add_routes(room.routes)
    return application


async def _static(request: web.Request) -> web.Response:
    file = portal(request).templates.files.get(request.match_info["name"])
    if file is None:
        raise web.HTTPNotFound
    headers = {"Content-Type": file.content_type, "ETag": f'"{file.version}"'}
    fresh = request.query.get("v") == file.version
    headers["Cache-Control"] = "public, max-age=31536000, immutable" if fresh else "no-cache"
    return web.Response(body=file.content, headers=headers)
