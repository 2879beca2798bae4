"""Scheduled jobs of the hubs served here: list, one with what became of each device, a new one, cancel."""

import re
import secrets
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from homeport.client import BadRequestError, ConflictError, Job, ProvisioningServiceError
from homeport.client.aio import HubClient
from homeport.portal.context import page, portal, see
from homeport.portal.hub_pages import first_hub, form_values, json_field, number_field, object_field, served_hub
from homeport.portal.paging import SIZE, token_of
from homeport.portal.rendering import segment

routes = web.RouteTableDef()

MAX_JOBS = 500
"""Read at most so many, so that the newest can stand first; hubs list jobs by their ids."""
STATES = ("scheduled", "running", "completed", "failed", "cancelled")
PART_STATES = ("pending", "running", "completed", "failed", "canceled")
_ID = re.compile(r"[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}")
_LONGEST = 2_592_000


@routes.get("/jobs")
async def hubs(request: web.Request) -> web.Response:
    return first_hub(request, "jobs")


@routes.get("/jobs/{hub}")
async def index(request: web.Request) -> web.Response:
    name, client = await served_hub(request)
    status = request.query.get("status")
    status = status if status in STATES else None
    jobs: list[Job] = []
    after = None
    while True:
        found = await client.page_jobs(status=status, page_size=MAX_JOBS, continuation=after)
        jobs += found.items
        after = found.continuation
        if after is None or len(jobs) >= MAX_JOBS:
            break
    jobs.sort(key=lambda job: job.created_time or datetime.min.replace(tzinfo=UTC), reverse=True)
    return page(
        request,
        "jobs.html",
        hub=name,
        hubs=list(portal(request).api.hubs()),
        jobs=jobs,
        wanted=status,
        states=STATES,
        more=after is not None,
    )


@routes.get("/jobs/{hub}/{job}")
async def show(request: web.Request) -> web.Response:
    name, client = await served_hub(request)
    job = await client.get_job(_job_id(request))
    status = request.query.get("status")
    status = status if status in PART_STATES else None
    after = token_of(request)
    parts = await client.page_device_jobs(job.job_id, status=status, page_size=SIZE, continuation=after)
    return page(
        request,
        "job.html",
        hub=name,
        job=job,
        parts=parts.items,
        after=parts.continuation,
        first=after is None,
        wanted=status,
        states=PART_STATES,
    )


@routes.post("/jobs/{hub}/{job}/cancel")
async def cancel(request: web.Request) -> web.Response:
    name, client = await served_hub(request, changing=True)
    job = await client.cancel_job(_job_id(request))
    said = "is cancelled" if job.status == "cancelled" else f"had ended already: {job.status}"
    return see(request, _path(name, job.job_id), f"Job {job.job_id} {said}.")


@routes.get("/new/jobs/{hub}")
async def new(request: web.Request) -> web.Response:
    name, _ = await served_hub(request)
    values = {
        "id": f"job-{secrets.token_hex(4)}",
        "task": "twin",
        "which": "some",
        "condition": request.query.get("where", "")[:1024],
    }
    return _form(request, name, values, {})


@routes.post("/new/jobs/{hub}")
async def create(request: web.Request) -> web.Response:
    name, client = await served_hub(request, changing=True)
    values = await form_values(request)
    errors: dict[str, str] = {}
    task = _read(values, errors)
    if errors:
        return _form(request, name, values, errors)
    try:
        job = await _schedule(client, task)
    except (BadRequestError, ConflictError) as error:
        return _form(request, name, values, errors, error)
    return see(request, _path(name, job.job_id), f"Job {job.job_id} is {job.status}.")


def _read(values: dict[str, str], errors: dict[str, str]) -> dict[str, Any]:
    """Return what the form asks for; what is wrong goes to `errors`."""
    job_id = values.get("id", "").strip()
    if not _ID.fullmatch(job_id):
        errors["id"] = "1 to 128 letters, digits and signs, as a device's id."
    condition = "*" if values.get("which") == "all" else values.get("condition", "").strip()
    if not condition:
        errors["condition"] = "Say which devices, or choose all of them."
    asked: dict[str, Any] = {
        "id": job_id,
        "condition": condition,
        "start_time": _start(values, errors),
        "max_seconds": number_field(values, "max_seconds", errors, smallest=1, largest=_LONGEST),
    }
    if values.get("task") == "method":
        asked["method"] = values.get("method", "").strip()
        if not asked["method"]:
            errors["method"] = "Give the method's name."
        asked["payload"] = json_field(values, "payload", errors)
        asked["connect_timeout"] = number_field(values, "connect_timeout", errors, smallest=0, largest=300)
        return asked
    asked["tags"], asked["desired"] = object_field(values, "tags", errors), object_field(values, "desired", errors)
    if not (asked["tags"] or asked["desired"] or errors):
        errors["desired"] = "Say what to write: tags, desired properties, or both."
    return asked


async def _schedule(client: HubClient, asked: dict[str, Any]) -> Job:
    if "method" in asked:
        return await client.schedule_method(
            asked["id"],
            asked["condition"],
            asked["method"],
            asked["payload"],
            connect_timeout=asked["connect_timeout"],
            start_time=asked["start_time"],
            max_seconds=asked["max_seconds"],
        )
    return await client.schedule_twin_update(
        asked["id"],
        asked["condition"],
        tags=asked["tags"],
        desired=asked["desired"],
        start_time=asked["start_time"],
        max_seconds=asked["max_seconds"],
    )


def _start(values: dict[str, str], errors: dict[str, str]) -> datetime | None:
    text = values.get("start", "").strip()
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        errors["start"] = "A time such as 2026-05-01 06:00, in UTC; empty: at once."
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _form(
    request: web.Request,
    name: str,
    values: dict[str, str],
    errors: dict[str, str],
    problem: ProvisioningServiceError | None = None,
) -> web.Response:
    status = problem.status if problem else 422 if errors else 200
    return page(request, "job_form.html", status=status, hub=name, values=values, errors=errors, problem=problem)


def _job_id(request: web.Request) -> str:
    job_id = request.match_info["job"]
    if job_id in {".", ".."}:
        raise web.HTTPNotFound
    return job_id


def _path(name: str, job_id: str) -> str:
    return f"/jobs/{segment(name)}/{segment(job_id)}"
