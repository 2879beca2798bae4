"""Registration records, each with its device's attempts and why they ended as they did."""

from collections.abc import Sequence

from aiohttp import web

from homeport.client import IndividualEnrollment, NotFoundError
from homeport.client.admin_models import Attempt
from homeport.portal.context import page, portal, see
from homeport.portal.forms import is_disabled
from homeport.portal.paging import searching
from homeport.portal.rendering import segment

routes = web.RouteTableDef()

_SHOWN_ATTEMPTS = 20


@routes.get("/registrations")
async def index(request: web.Request) -> web.Response:
    admin = portal(request).api.admin
    found = await searching(
        request,
        lambda query, size, after: admin.page_registrations(query, page_size=size, continuation=after),
        "registrationId",
    )
    counts = (await admin.counts()).registrations
    return page(request, "registrations.html", found=found, counts=counts)


@routes.get("/registrations/{id}")
async def show(request: web.Request) -> web.Response:
    """Show a device that tried, whether or not it has a record."""
    api, identifier = portal(request).api, request.match_info["id"]
    if identifier in {".", ".."}:
        raise web.HTTPNotFound
    try:
        state = await api.service.get_registration_state(identifier)
    except NotFoundError:
        state = None
    attempts = await api.admin.why(identifier, limit=_SHOWN_ATTEMPTS)
    own = await _own_enrollment(request, identifier)
    hub = await _local_hub(request, state.assigned_hub if state else None)
    return page(
        request,
        "registration.html",
        id=identifier,
        state=state,
        attempts=attempts,
        enrollment=_enrollment(own, attempts),
        shut_out=own is not None and is_disabled(own),
        hub=hub,
    )


@routes.get("/registrations/{id}/delete")
async def confirm(request: web.Request) -> web.Response:
    state = await portal(request).api.service.get_registration_state(request.match_info["id"])
    return page(request, "registration_delete.html", id=request.match_info["id"], state=state)


@routes.post("/registrations/{id}/delete")
async def delete(request: web.Request) -> web.Response:
    identifier = request.match_info["id"]
    await portal(request).api.service.delete_registration_state(identifier)
    return see(
        request, "/registrations", f"The record of {identifier} is deleted: it registers as if for the first time."
    )


@routes.post("/registrations/{id}/disable")
async def shut_out(request: web.Request) -> web.Response:
    """Keep one device from registering, whichever group it belongs to."""
    identifier = request.match_info["id"]
    await portal(request).api.service.disable_device(identifier)
    return see(request, f"/registrations/{segment(identifier)}", f"{identifier} is shut out: it can register no more.")


@routes.post("/registrations/{id}/enable")
async def let_in(request: web.Request) -> web.Response:
    """Take `shut_out` back."""
    identifier = request.match_info["id"]
    await portal(request).api.service.enable_device(identifier)
    return see(request, f"/registrations/{segment(identifier)}", f"{identifier} may register again.")


async def _own_enrollment(request: web.Request, identifier: str) -> IndividualEnrollment | None:
    try:
        return await portal(request).api.service.get_individual_enrollment(identifier)
    except NotFoundError:
        return None


def _enrollment(own: IndividualEnrollment | None, attempts: Sequence[Attempt]) -> str | None:
    """Return the page of the enrollment that the device comes through, as far as it can be told."""
    if own is None:
        group = next((attempt.group_id for attempt in attempts if attempt.group_id), None)
        return f"/groups/{segment(group)}" if group else None
    return f"/enrollments/{segment(own.registration_id)}"


async def _local_hub(request: web.Request, host_name: str | None) -> str | None:
    """Return the name of the hub with this host name if it is served here."""
    if host_name is None:
        return None
    api = portal(request).api
    served = api.hubs()
    for hub in await api.admin.hubs():
        if hub.host_name.lower() == host_name.lower() and hub.name in served:
            return hub.name
    return None
