"""What an operator does with one device: edit its twin, call a method, send a message, empty its queue."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from homeport.client import (
    Acknowledgement,
    BadRequestError,
    CloudToDeviceMessage,
    ConflictError,
    MethodResult,
    NotFoundError,
    PreconditionFailedError,
    ProvisioningServiceError,
    ThrottledError,
    Twin,
)
from homeport.client.aio import HubClient
from homeport.portal.context import page, see
from homeport.portal.hub_pages import form_values, json_field, number_field, object_field, served_hub
from homeport.portal.rendering import segment

routes = web.RouteTableDef()

ANSWER_SECONDS = 10
LONGEST_ANSWER = 15
"""A page must be put together in 20 seconds: longer calls are the command line's and jobs'."""
_REFUSALS = (BadRequestError, ConflictError, NotFoundError, PreconditionFailedError, ThrottledError)


@routes.get("/devices/{hub}/{device}/modules/{module}")
async def module(request: web.Request) -> web.Response:
    """Show a module: its identity and its twin."""
    name, client, device_id, module_id = await _target(request)
    assert module_id is not None
    found, twin = await client.get_module(device_id, module_id), await client.get_twin(device_id, module_id=module_id)
    return page(
        request,
        "module.html",
        hub=name,
        device_id=device_id,
        module=found,
        twin=twin,
        raw_twin=msgspec.to_builtins(twin),
        here=_path(name, device_id, module_id),
        parts=_parts(twin),
    )


# ---------------------------------------------------------------- twin


@routes.get("/devices/{hub}/{device}/twin")
@routes.get("/devices/{hub}/{device}/modules/{module}/twin")
async def edit_twin(request: web.Request) -> web.Response:
    name, client, device_id, module_id = await _target(request)
    twin = await client.get_twin(device_id, module_id=module_id)
    values = {
        "tags": _json(twin.tags),
        "desired": _json(_parts(twin)["desired"]),
        "etag": twin.etag or "",
    }
    return _form(request, "device_twin.html", name, device_id, module_id, values, {})


@routes.post("/devices/{hub}/{device}/twin")
@routes.post("/devices/{hub}/{device}/modules/{module}/twin")
async def write_twin(request: web.Request) -> web.Response:
    """Replace tags and desired properties, if nobody changed the twin since the form was shown."""
    name, client, device_id, module_id = await _target(request, changing=True)
    values = await form_values(request)
    errors: dict[str, str] = {}
    tags, desired = object_field(values, "tags", errors), object_field(values, "desired", errors)
    if errors:
        return _form(request, "device_twin.html", name, device_id, module_id, values, errors, status=422)
    try:
        await client.replace_twin(
            device_id, module_id=module_id, tags=tags or {}, desired=desired or {}, etag=values.get("etag") or None
        )
    except PreconditionFailedError as error:
        words = "The twin was changed meanwhile. Open the form again to see how it is now, and repeat your change."
        conflict = PreconditionFailedError(words, status=error.status, code=error.code, tracking_id=error.tracking_id)
        return _form(request, "device_twin.html", name, device_id, module_id, values, {}, problem=conflict)
    except _REFUSALS as error:
        return _form(request, "device_twin.html", name, device_id, module_id, values, {}, problem=error)
    return see(request, _path(name, device_id, module_id), "The twin is written; a connected device is told at once.")


# ---------------------------------------------------------------- methods


@routes.get("/devices/{hub}/{device}/method")
@routes.get("/devices/{hub}/{device}/modules/{module}/method")
async def method_form(request: web.Request) -> web.Response:
    name, client, device_id, module_id = await _target(request)
    await _must_exist(client, device_id, module_id)
    values = {"method": "", "payload": "", "wait": str(ANSWER_SECONDS)}
    return _form(request, "device_method.html", name, device_id, module_id, values, {}, answer=None)


@routes.post("/devices/{hub}/{device}/method")
@routes.post("/devices/{hub}/{device}/modules/{module}/method")
async def call_method(request: web.Request) -> web.Response:
    name, client, device_id, module_id = await _target(request, changing=True)
    values = await form_values(request)
    errors: dict[str, str] = {}
    method = values.get("method", "").strip()
    if not method or "/" in method:
        errors["method"] = "Give the method's name; it has no slash."
    payload = json_field(values, "payload", errors)
    seconds = number_field(values, "wait", errors, smallest=5, largest=LONGEST_ANSWER) or ANSWER_SECONDS
    told: dict[str, Any] = {"answer": None}
    if errors:
        return _form(request, "device_method.html", name, device_id, module_id, values, errors, status=422, **told)
    try:
        answer: MethodResult = await client.call_method(
            device_id, method, payload, module_id=module_id, response_timeout=seconds
        )
    except ProvisioningServiceError as error:
        return _form(request, "device_method.html", name, device_id, module_id, values, {}, problem=error, **told)
    told["answer"] = answer
    return _form(request, "device_method.html", name, device_id, module_id, values, {}, **told)


# ---------------------------------------------------------------- messages


@routes.get("/devices/{hub}/{device}/message")
@routes.get("/devices/{hub}/{device}/modules/{module}/message")
async def message_form(request: web.Request) -> web.Response:
    name, client, device_id, module_id = await _target(request)
    waiting = await _must_exist(client, device_id, module_id)
    return _form(request, "device_message.html", name, device_id, module_id, {}, {}, waiting=waiting)


@routes.post("/devices/{hub}/{device}/message")
@routes.post("/devices/{hub}/{device}/modules/{module}/message")
async def send_message(request: web.Request) -> web.Response:
    name, client, device_id, module_id = await _target(request, changing=True)
    values = await form_values(request)
    errors: dict[str, str] = {}
    properties = _properties(values, errors)
    waiting = await _must_exist(client, device_id, module_id)
    if errors:
        return _form(
            request, "device_message.html", name, device_id, module_id, values, errors, status=422, waiting=waiting
        )
    asked = values.get("acknowledgement", "")
    message = CloudToDeviceMessage(
        body=values.get("body", "").encode(),
        message_id=values.get("message_id", "").strip() or None,
        content_type=values.get("content_type", "").strip() or None,
        content_encoding="utf-8",
        acknowledgement=Acknowledgement(asked) if asked in set(Acknowledgement) else Acknowledgement.NONE,
        properties=properties,
    )
    try:
        await client.send_message(device_id, message, module_id=module_id)
    except _REFUSALS as error:
        return _form(
            request, "device_message.html", name, device_id, module_id, values, {}, problem=error, waiting=waiting
        )
    here = f"{_path(name, device_id, module_id)}/message"
    return see(request, here, "The message is queued; the device gets it when it listens.")


@routes.post("/devices/{hub}/{device}/purge")
async def purge(request: web.Request) -> web.Response:
    name, client, device_id, _ = await _target(request, changing=True)
    number = await client.purge_messages(device_id)
    gone = "One message is" if number == 1 else f"{number} messages are"
    said = f"{gone} gone from the queue." if number else "The queue was empty."
    return see(request, f"{_path(name, device_id, None)}/message", said)


async def _target(request: web.Request, *, changing: bool = False) -> tuple[str, HubClient, str, str | None]:
    """Return what the address names: the hub, its client, the device, and the module if there is one."""
    name, client = await served_hub(request, changing=changing)
    device_id, module_id = request.match_info["device"], request.match_info.get("module")
    if {device_id, module_id} & {".", ".."}:
        raise web.HTTPNotFound
    return name, client, device_id, module_id


async def _must_exist(client: HubClient, device_id: str, module_id: str | None) -> int:
    """Return how many messages wait. Raises NotFoundError."""
    if module_id is None:
        return (await client.get_device(device_id)).cloud_to_device_message_count
    return (await client.get_module(device_id, module_id)).cloud_to_device_message_count


def _form(
    request: web.Request,
    template: str,
    name: str,
    device_id: str,
    module_id: str | None,
    values: Mapping[str, str],
    errors: Mapping[str, str],
    *,
    status: int = 200,
    problem: ProvisioningServiceError | None = None,
    **more: Any,
) -> web.Response:
    if problem is not None:
        # What a device did not do is no fault of the portal's: 404 and 504 would read so.
        status = 422 if problem.status in {404, 504} else problem.status
    return page(
        request,
        template,
        status=status,
        hub=name,
        device_id=device_id,
        module_id=module_id,
        here=_path(name, device_id, module_id),
        values=values,
        errors=errors,
        problem=problem,
        **more,
    )


def _path(name: str, device_id: str, module_id: str | None) -> str:
    within = "" if module_id is None else f"/modules/{segment(module_id)}"
    return f"/devices/{segment(name)}/{segment(device_id)}{within}"


def _parts(twin: Twin) -> dict[str, dict[str, Any]]:
    """Return the content of a twin's sections, without metadata."""
    sections = twin.properties
    return {
        name: {key: value for key, value in section.items() if key not in {"$metadata", "$version"}}
        for name, section in (
            ("desired", sections.desired if sections else {}),
            ("reported", sections.reported if sections else {}),
        )
    }


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _properties(values: Mapping[str, str], errors: dict[str, str]) -> dict[str, str]:
    """Read one property a line, `name=value`."""
    found = {}
    for line in values.get("properties", "").splitlines():
        name, equals, value = line.partition("=")
        if not line.strip():
            continue
        if not equals or not name.strip():
            errors["properties"] = "One property a line: name=value."
            break
        found[name.strip()] = value.strip()
    return found
