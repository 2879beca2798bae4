# Made by scripts/unasync.py: change its twin in _async instead.
"""The client of a hub's scheduled jobs (contract hub.md 9)."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from homeport.client._sync.http import only, segment
from homeport.client._sync.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.errors import NotFoundError
from homeport.client.hub_job_models import DeviceJob, Job, JobType
from homeport.client.hub_registry_requests import quoted
from homeport.client.models import Page

_JOBS = "/jobs/v2"


class HubJobsClient(ServiceClient):
    """Schedules twin updates and method calls for many devices, and tells what became of each.

    `condition` is what stands after WHERE in a query; `*` is every device. A job begins at `start_time` (aware; at
    once if it is None or past) and has `max_seconds` (an hour if None) for all of its devices.
    Every method raises ProvisioningServiceError or TransportError.
    """

    def schedule_twin_update(
        self,
        job_id: str,
        condition: str,
        *,
        tags: Mapping[str, Any] | None = None,
        desired: Mapping[str, Any] | None = None,
        start_time: datetime | None = None,
        max_seconds: int | None = None,
    ) -> Job:
        """Merge into the twins of the devices that the condition finds. ConflictError if the id is taken."""
        update: dict[str, Any] = {"etag": "*"}
        if tags is not None:
            update["tags"] = tags
        if desired is not None:
            update["properties"] = {"desired": desired}
        return self._schedule(job_id, JobType.UPDATE_TWIN, condition, {"updateTwin": update}, start_time, max_seconds)

    def schedule_method(
        self,
        job_id: str,
        condition: str,
        method: str,
        payload: Any = None,
        *,
        response_timeout: int | None = None,
        connect_timeout: int | None = None,
        start_time: datetime | None = None,
        max_seconds: int | None = None,
    ) -> Job:
        """Call a method of the devices that the condition finds; times are in seconds. ConflictError as above."""
        call: dict[str, Any] = {"methodName": method, "payload": payload}
        if response_timeout is not None:
            call["responseTimeoutInSeconds"] = response_timeout
        if connect_timeout is not None:
            call["connectTimeoutInSeconds"] = connect_timeout
        return self._schedule(
            job_id, JobType.DEVICE_METHOD, condition, {"cloudToDeviceMethod": call}, start_time, max_seconds
        )

    def get_job(self, job_id: str) -> Job:
        """Return a job as it stands. NotFoundError if there is none."""
        job = self._get(f"{_JOBS}/{segment(job_id)}", Job)
        if job.status == "unknown":  # how hubs say so (contract hub.md 9.3)
            raise NotFoundError(f"there is no job {job_id}", status=404, code="JobNotFound")
        return job

    def cancel_job(self, job_id: str) -> Job:
        """Stop a job: devices it has not come to are left alone. One that has ended stays so. NotFoundError if none."""
        response = self._session.send("POST", f"{_JOBS}/{segment(job_id)}/cancel", repeatable=True)
        return decode(response.content, Job)

    def jobs(
        self, *, job_type: JobType | None = None, status: str | None = None, page_size: int | None = None
    ) -> Iterator[Job]:
        """Yield jobs by their id; further pages are asked for when they are reached."""
        continuation = None
        while True:
            page = self.page_jobs(job_type=job_type, status=status, page_size=page_size, continuation=continuation)
            yield from page.items
            continuation = page.continuation
            if continuation is None:
                return

    def page_jobs(
        self,
        *,
        job_type: JobType | None = None,
        status: str | None = None,
        page_size: int | None = None,
        continuation: str | None = None,
    ) -> Page[Job]:
        """Return one page; `continuation` is that of the page before, with the same filters."""
        size = None if page_size is None else str(page_size)
        response = self._session.send(
            "GET",
            f"{_JOBS}/query",
            headers=only({"x-ms-max-item-count": size, "x-ms-continuation": continuation}),
            query=only({"jobType": None if job_type is None else job_type.value, "jobStatus": status}),
            repeatable=True,
        )
        return Page(
            items=decode(response.content, list[Job]),
            continuation=response.headers.get("x-ms-continuation") or None,
        )

    def device_jobs(
        self, job_id: str, *, status: str | None = None, page_size: int | None = None
    ) -> Iterator[DeviceJob]:
        """Yield what became of a job's devices, by device id; `status` narrows to the parts that stand there."""
        return self._every("/devices/query", DeviceJob, query=_parts(job_id, status), page_size=page_size)

    def page_device_jobs(
        self, job_id: str, *, status: str | None = None, page_size: int | None = None, continuation: str | None = None
    ) -> Page[DeviceJob]:
        """Return one page of it."""
        return self._page(
            "/devices/query", DeviceJob, query=_parts(job_id, status), page_size=page_size, continuation=continuation
        )

    def _schedule(
        self,
        job_id: str,
        job_type: JobType,
        condition: str,
        task: Mapping[str, Any],
        start_time: datetime | None,
        max_seconds: int | None,
    ) -> Job:
        document: dict[str, Any] = {"jobId": job_id, "type": job_type.value, "queryCondition": condition, **task}
        if start_time is not None:
            document["startTime"] = start_time.astimezone(UTC)
        if max_seconds is not None:
            document["maxExecutionTimeInSeconds"] = max_seconds
        response = self._session.send(
            "PUT", f"{_JOBS}/{segment(job_id)}", body=msgspec.json.encode(document), repeatable=False
        )
        return decode(response.content, Job)


def _parts(job_id: str, status: str | None) -> str:
    condition = f"devices.jobs.jobId = {quoted(job_id)}"
    if status:
        condition += f" AND devices.jobs.status = {quoted(status)}"
    return f"SELECT * FROM devices.jobs WHERE {condition}"  # noqa: S608  # texts are quoted; nothing here is SQL
