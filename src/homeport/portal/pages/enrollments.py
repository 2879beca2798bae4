"""Individual enrollments and enrollment groups: list, create, view, edit, enable and disable, delete."""

from typing import cast

import msgspec
from aiohttp import web

from homeport.client import (
    BadRequestError,
    ConflictError,
    PreconditionFailedError,
    ProvisioningServiceError,
    ProvisioningStatus,
    derive_device_key,
)
from homeport.client.models import Enrollment, EnrollmentGroup, IndividualEnrollment, Page, SymmetricKeyAttestation
from homeport.client.security import SecurityProviderError
from homeport.portal import forms
from homeport.portal.context import page, portal, see, session
from homeport.portal.forms import Form, Kind, enrollment_id
from homeport.portal.paging import searching
from homeport.portal.rendering import segment

routes = web.RouteTableDef()

_KIND = r"{kind:enrollments|groups}"
_ONE = rf"/{_KIND}/{{id}}"
_SHOWN_REGISTRATIONS = 20


@routes.get(rf"/{_KIND}")
async def index(request: web.Request) -> web.Response:
    kind = Kind(request.match_info["kind"])
    service = portal(request).api.service

    ask = service.page_individual_enrollments if kind is Kind.INDIVIDUAL else service.page_enrollment_groups

    async def one_page(query: str, size: int, after: str | None) -> Page[Enrollment]:
        return cast("Page[Enrollment]", await ask(query, page_size=size, continuation=after))

    found = await searching(request, one_page, "registrationId" if kind is Kind.INDIVIDUAL else "enrollmentGroupId")
    counts = await portal(request).api.admin.counts()
    return page(
        request,
        "enrollments.html",
        kind=kind,
        found=found,
        enrollment_id=enrollment_id,
        counts=counts.enrollments if kind is Kind.INDIVIDUAL else counts.enrollment_groups,
    )


@routes.get(rf"/new/{_KIND}")
async def new(request: web.Request) -> web.Response:
    return await _form_page(request, forms.blank(Kind(request.match_info["kind"])), None)


@routes.post(rf"/new/{_KIND}")
async def create(request: web.Request) -> web.Response:
    kind = Kind(request.match_info["kind"])
    form, enrollment = forms.parse(kind, *await _fields(request), None)
    if enrollment is None:
        return await _form_page(request, form, None)
    return await _write(request, form, enrollment, None)


@routes.get(_ONE)
async def show(request: web.Request) -> web.Response:
    kind, enrollment = await _get(request)
    registrations = None
    if kind is Kind.GROUP:
        registrations = await portal(request).api.service.page_registration_states(
            enrollment_id(enrollment), page_size=_SHOWN_REGISTRATIONS
        )
    path = _path(kind, enrollment_id(enrollment))
    return page(
        request,
        "enrollment.html",
        kind=kind,
        enrollment=enrollment,
        id=enrollment_id(enrollment),
        base=path,
        disabled=forms.is_disabled(enrollment),
        reprovision=forms.reprovision(enrollment.reprovision_policy),
        initial_twin=_plain(enrollment.initial_twin),
        registrations=registrations,
        secrets=session(request).take_secrets(path),
    )


@routes.get(rf"{_ONE}/edit")
async def edit(request: web.Request) -> web.Response:
    kind, enrollment = await _get(request)
    return await _form_page(request, forms.fill(kind, enrollment), enrollment)


@routes.post(rf"{_ONE}/edit")
async def update(request: web.Request) -> web.Response:
    kind, stored = await _get(request)
    form, enrollment = forms.parse(kind, *await _fields(request), stored)
    if enrollment is None:
        return await _form_page(request, form, stored)
    return await _write(request, form, enrollment, stored)


@routes.post(rf"{_ONE}/status")
async def set_status(request: web.Request) -> web.Response:
    kind, stored = await _get(request)
    disable = (await request.post()).get("status") == "disabled"
    status = ProvisioningStatus.DISABLED if disable else ProvisioningStatus.ENABLED
    await _put(request, msgspec.structs.replace(stored, provisioning_status=status.value))
    word = "disabled: devices are refused from now on" if disable else "enabled: devices may register"
    return see(request, _path(kind, enrollment_id(stored)), f"{enrollment_id(stored)} is {word}.")


@routes.post(rf"{_ONE}/keys")
async def show_keys(request: web.Request) -> web.Response:
    kind, identifier = _named(request)
    await _reveal(request, kind, identifier)
    return see(request, _path(kind, identifier))


@routes.post(r"/groups/{id}/derive")
async def derive(request: web.Request) -> web.Response:
    """Show the key of one device of a symmetric-key group once."""
    identifier = request.match_info["id"]
    path = _path(Kind.GROUP, identifier)
    device = str((await request.post()).get("device", "")).strip()
    mechanism = await portal(request).api.service.get_group_attestation_mechanism(identifier)
    keys = mechanism.symmetric_key
    if keys is None or not keys.primary_key:
        return see(request, path, "This group has no key to derive from.")
    try:
        derived = {f"Key of {device}": derive_device_key(keys.primary_key, device)}
    except (SecurityProviderError, ValueError) as error:
        return see(request, path, f"No key was derived: {error}")
    session(request).secrets[path] = derived
    return see(request, path)


@routes.get(rf"{_ONE}/delete")
async def confirm(request: web.Request) -> web.Response:
    kind, enrollment = await _get(request)
    return page(request, "enrollment_delete.html", kind=kind, enrollment=enrollment, id=enrollment_id(enrollment))


@routes.post(rf"{_ONE}/delete")
async def delete(request: web.Request) -> web.Response:
    kind, identifier = _named(request)
    service = portal(request).api.service
    if kind is Kind.INDIVIDUAL:
        await service.delete_individual_enrollment(identifier)
    else:
        await service.delete_enrollment_group(identifier)
    return see(request, f"/{kind.value}", f"{identifier} is deleted.")


# ------------------------------------------------------------ shared


def _named(request: web.Request) -> tuple[Kind, str]:
    identifier = request.match_info["id"]
    if identifier in {".", ".."}:
        raise web.HTTPNotFound
    return Kind(request.match_info["kind"]), identifier


def _path(kind: Kind, identifier: str) -> str:
    return f"/{kind.value}/{segment(identifier)}"


def _plain(document: object) -> object:
    return None if document is None else msgspec.to_builtins(document)


async def _get(request: web.Request) -> tuple[Kind, Enrollment]:
    kind, identifier = _named(request)
    service = portal(request).api.service
    if kind is Kind.INDIVIDUAL:
        return kind, await service.get_individual_enrollment(identifier)
    return kind, await service.get_enrollment_group(identifier)


async def _put(request: web.Request, enrollment: Enrollment) -> Enrollment:
    service = portal(request).api.service
    if isinstance(enrollment, IndividualEnrollment):
        enrollment = msgspec.structs.replace(enrollment, registration_state=None)
        return await service.create_or_update_individual_enrollment(enrollment)
    assert isinstance(enrollment, EnrollmentGroup)
    return await service.create_or_update_enrollment_group(enrollment)


async def _fields(request: web.Request) -> tuple[dict[str, str], list[str]]:
    sent = await request.post()
    values = {name: value for name, value in sent.items() if isinstance(value, str) and name not in {"hubs", "csrf"}}
    return values, [hub for hub in sent.getall("hubs", []) if isinstance(hub, str)]


async def _write(request: web.Request, form: Form, enrollment: Enrollment, stored: Enrollment | None) -> web.Response:
    try:
        written = await _put(request, enrollment)
    except (BadRequestError, ConflictError, PreconditionFailedError) as error:
        return await _form_page(request, form, stored, error)
    path = _path(form.kind, enrollment_id(written))
    keys = written.attestation.symmetric_key
    asked_for_keys = stored is None or form["keys"] != "keep" or stored.attestation.type != "symmetricKey"
    if keys is not None and asked_for_keys:
        session(request).secrets[path] = _labelled(keys)
    done = "is created" if stored is None else "is saved"
    return see(request, path, f"{enrollment_id(written)} {done}.")


async def _reveal(request: web.Request, kind: Kind, identifier: str) -> None:
    service = portal(request).api.service
    if kind is Kind.INDIVIDUAL:
        mechanism = await service.get_individual_attestation_mechanism(identifier)
    else:
        mechanism = await service.get_group_attestation_mechanism(identifier)
    if mechanism.symmetric_key is not None:
        session(request).secrets[_path(kind, identifier)] = _labelled(mechanism.symmetric_key)


def _labelled(keys: SymmetricKeyAttestation) -> dict[str, str]:
    named = {"Primary key": keys.primary_key, "Secondary key": keys.secondary_key}
    return {label: key for label, key in named.items() if key}


async def _form_page(
    request: web.Request, form: Form, stored: Enrollment | None, problem: ProvisioningServiceError | None = None
) -> web.Response:
    status = problem.status if problem else 422 if form.errors else 200
    linked = await portal(request).api.admin.hubs()
    names = [hub.host_name for hub in linked]
    return page(
        request,
        "enrollment_form.html",
        status=status,
        kind=form.kind,
        form=form,
        stored=stored,
        id="" if stored is None else enrollment_id(stored),
        hub_names=[*names, *(hub for hub in form.hubs if hub not in names)],
        problem=problem,
    )
