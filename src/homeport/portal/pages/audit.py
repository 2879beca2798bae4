"""The audit: who changed what, how registrations ended, and whether anything of it was altered."""

from datetime import UTC, datetime

from aiohttp import web

from homeport.client import BadRequestError
from homeport.portal.context import page, portal
from homeport.portal.paging import SIZE, token_of

routes = web.RouteTableDef()

VERIFIED = 100_000
"""So many of the last entries are proven at the press of the button; `homeport audit verify` proves them all."""
_FILTERS = ("kind", "subject", "since", "until")
_LONGEST = 200


@routes.get("/audit")
async def index(request: web.Request) -> web.Response:
    admin = portal(request).api.admin
    wanted = {name: request.query.get(name, "").strip()[:_LONGEST] for name in _FILTERS}
    problem = ""
    since, until = (_time(wanted[name]) for name in ("since", "until"))
    if (wanted["since"] and since is None) or (wanted["until"] and until is None):
        problem = "A time is a date, or a date and a time, in UTC: 2026-03-14 or 2026-03-14 12:30."
    try:
        found = await admin.page_audit(
            kind=wanted["kind"] or None,
            subject=wanted["subject"] or None,
            since=since,
            until=until,
            page_size=SIZE,
            continuation=token_of(request),
        )
    except BadRequestError as error:
        raise web.HTTPBadRequest(text=error.message) from error
    return page(
        request,
        "audit.html",
        entries=found.items,
        after=found.continuation,
        first=token_of(request) is None,
        wanted=wanted,
        problem=problem,
    )


@routes.get("/audit/{number:[0-9]{1,18}}")
async def show(request: web.Request) -> web.Response:
    entry = await portal(request).api.admin.get_audit_entry(int(request.match_info["number"]))
    return page(request, "audit_entry.html", entry=entry)


@routes.post("/audit/verify")
async def verify(request: web.Request) -> web.Response:
    verdict = await portal(request).api.admin.verify_audit(last=VERIFIED)
    return page(request, "audit_verdict.html", verdict=verdict, everything=verdict.entries < VERIFIED)


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
