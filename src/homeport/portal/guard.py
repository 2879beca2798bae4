"""What stands between the network and the pages: host names, origins, sessions, headers, failures."""

import asyncio
import hmac
import ipaddress
import logging
import secrets
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from homeport.client.errors import (
    ClientError,
    NotFoundError,
    ProvisioningServiceError,
    TransportError,
    UnauthorizedError,
)
from homeport.portal.context import SESSION, page, portal

ANSWER_SECONDS = 20.0
"""How long a page may take to put together."""

_PUBLIC = frozenset({"/login"})
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with it browsers hide the Origin of our own forms too.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
_log = logging.getLogger(__name__)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers on every answer; pages are never kept by a browser or a proxy."""
    del request
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "homeport"


@web.middleware
async def explain_failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make a readable page of whatever went wrong."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return page(request, "error.html", status=error.status, **_words(error.status, error.text))
    except NotFoundError as error:
        return page(request, "error.html", status=404, title="Not found", problem=error)
    except UnauthorizedError as error:
        return await _refused(request, error)
    except ProvisioningServiceError as error:
        status = 502 if error.status >= 500 or error.status == 401 else error.status
        return page(request, "error.html", status=status, title="The service refused", problem=error)
    except TransportError as error:
        _log.warning("the API did not answer the portal: %s", error)
        return page(request, "error.html", status=502, title="The service does not answer", problem=error)
    except TimeoutError:
        return page(request, "error.html", status=504, title="The service took too long", problem=None)
    except ClientError as error:
        _log.warning("the API answered the portal with something unexpected: %s", error)
        return page(request, "error.html", status=502, title="An answer that cannot be read", problem=error)
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception:
        tracking_id = secrets.token_hex(8)
        _log.exception("portal: %s %s failed [%s]", request.method, request.path, tracking_id)
        return page(
            request, "error.html", status=500, title="A fault of the portal", problem=None, tracking_id=tracking_id
        )


async def _refused(request: web.Request, error: UnauthorizedError) -> web.StreamResponse:
    """Tell a role that does not suffice from a token that is worth nothing any more; that ends the session."""
    signed_in = request.get(SESSION)
    if signed_in is None:
        return page(request, "error.html", status=502, title="The service refused", problem=error)
    here = portal(request)
    try:
        me = await here.api.admin.me()
    except UnauthorizedError:
        here.sessions.close(signed_in)
        return web.Response(status=303, headers={"Location": "/login"})
    except ClientError as worse:
        return page(request, "error.html", status=502, title="The service does not answer", problem=worse)
    said = f"You are {signed_in.who.name}, {me.role or 'without a role'}. This needs another role."
    return page(request, "error.html", status=403, title="Not allowed", problem=None, said=said)


def check_host(names: frozenset[str]) -> Middleware:
    """Refuse requests for other names: a stranger's name that resolves to this machine must not reach the pages."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_our_name(request.headers.get("Host", ""), names):
            raise web.HTTPMisdirectedRequest(text="This name is not one of the portal's.")
        return await handler(request)

    return middleware


def is_our_name(host: str, names: frozenset[str]) -> bool:
    """Tell whether a Host header names the loopback, or one of `names` (lower case)."""
    if "@" in host or "/" in host:
        return False
    try:
        bare = urlsplit(f"//{host}").hostname
    except ValueError:  # brackets that hold no address
        return False
    if not bare:
        return False
    bare = bare.rstrip(".")
    if bare == "localhost" or bare in names:
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


@web.middleware
async def check_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse forms that another site sent, whatever they contain."""
    if request.method not in {"GET", "HEAD"}:
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD", "POST"])
        site = request.headers.get("Sec-Fetch-Site")
        if site is not None and site not in {"same-origin", "none"}:
            raise web.HTTPForbidden(text="This form was sent by another site.")
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2].lower() != request.headers.get("Host", "").lower():
            raise web.HTTPForbidden(text="This form was sent by another site.")
    return await handler(request)


@web.middleware
async def require_session(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in who is signed in; forms also prove that they are ours."""
    if request.path.startswith("/static/"):
        return await handler(request)
    here = portal(request)
    session = here.sessions.find(request.cookies.get(here.cookie, ""), here.clock.now())
    if session is not None:
        request[SESSION] = session
    elif request.path not in _PUBLIC:
        if request.path.startswith("/live/"):
            raise web.HTTPUnauthorized(text="Sign in first.")
        return web.Response(status=303, headers={"Location": "/login"})
    if session is not None and request.method == "POST":
        sent = (await request.post()).get("csrf")
        if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), session.csrf.encode()):
            raise web.HTTPForbidden(text="This form is not from this session any more. Go back, reload, try again.")
    if request.path.startswith("/live/"):
        return await handler(request)
    async with asyncio.timeout(ANSWER_SECONDS):
        return await handler(request)


def _words(status: int, text: str | None) -> dict[str, object]:
    titles = {
        400: "This cannot be understood",
        403: "Not allowed",
        404: "Not found",
        405: "Not offered here",
        413: "Too large",
        421: "Another name",
        429: "Too many at once",
    }
    said = None if text is None or text.startswith(f"{status}: ") else text
    return {"title": titles.get(status, "This did not work"), "problem": None, "said": said}
