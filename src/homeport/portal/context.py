"""What every page works with: the API's clients, the templates, the session. No page and no route lives here."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from msgspec import Struct, field

from homeport.client.aio import HomeportAdminClient, HubClient, ProvisioningServiceClient
from homeport.clock import Clock
from homeport.portal.rendering import Templates
from homeport.portal.sessions import Doorkeeper, Entrance, Session, Sessions
from homeport.values import replace


class PortalApi(Struct, frozen=True, kw_only=True):
    """The public API, through the clients anybody may use. `hubs` returns those this Homeport serves, by name."""

    service: ProvisioningServiceClient
    admin: HomeportAdminClient
    hubs: Callable[[], Mapping[str, HubClient]]


class About(Struct, frozen=True, kw_only=True):
    """What the portal tells about the service it stands in front of."""

    id_scope: str
    global_endpoint: str
    version: str


Enter = Callable[[str], Awaitable[Entrance | None]]
"""Returns whom an administrator's token lets in, None if it is nobody's."""


class Portal(Struct, frozen=True, kw_only=True):
    """One portal; held by the application under `PORTAL`."""

    api: PortalApi
    about: About
    clock: Clock
    doorkeeper: Doorkeeper
    sessions: Sessions
    templates: Templates
    secure: bool
    enter: Enter | None = None
    streams: set["StreamHandle"] = field(default_factory=set)

    @property
    def cookie(self) -> str:
        """Cookies are shared by all ports of a host, so each installation has its own name."""
        return f"homeport_{self.doorkeeper.name}"


class StreamHandle:
    """An open live stream, which ends early when the portal stops."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def end(self) -> None:
        self.ended.set()


PORTAL = web.AppKey("PORTAL", Portal)
SESSION = web.RequestKey("SESSION", Session)


def portal(request: web.Request) -> Portal:
    """Return the portal; its API is the one that the signed-in administrator's token opens."""
    here, signed_in = request.app[PORTAL], request.get(SESSION)
    return here if signed_in is None else replace(here, api=signed_in.who.api)


def session(request: web.Request) -> Session:
    return request[SESSION]


def page(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
    """Render a page for who is signed in, or for nobody (then without navigation)."""
    here = portal(request)
    now = here.clock.now()
    signed_in = request.get(SESSION)
    text = here.templates.render(
        template,
        now=now,
        about=here.about,
        path=request.path,
        session=signed_in,
        may_enroll=signed_in is not None and signed_in.who.may_enroll,
        may_configure=signed_in is not None and signed_in.who.may_configure,
        csrf=signed_in.csrf if signed_in else "",
        notice=signed_in.take_notice() if signed_in else None,
        **values,
    )
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


def see(request: web.Request, location: str, notice: str | None = None) -> web.Response:
    """Answer a form: go and look there."""
    if notice is not None:
        session(request).notice = notice
    return web.Response(status=303, headers={"Location": location})
