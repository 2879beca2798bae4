"""Documents of scheduled jobs to values and back (contract hub.md 9). Refusals are HubError with ARGUMENT_INVALID."""

from datetime import UTC, datetime, timedelta

from msgspec import UNSET, Raw

from homeport.hub import translate
from homeport.hub.errors import HubCode, HubError
from homeport.hub.identifiers import is_part
from homeport.hub.invocation import method_request
from homeport.hub.jobs.scheduled import CountedJob
from homeport.hub.model import (
    DeviceJobStatus,
    Job,
    JobStatus,
    JobType,
    MethodRequest,
    TwinUpdate,
    format_time,
)
from homeport.hub.selection import read_selection
from homeport.hub.twin_patch import check_content
from homeport.security.explain import quoted
from homeport.wire import hub_jobs as wire
from homeport.wire import hub_service, parse_time

DEFAULT_SECONDS = 3600
MAX_CONDITION = 8192

_LONGEST = timedelta(days=30)
_QUERY = "query"
"""`jobs/v2/query` is how jobs are listed, so that no job can have this name."""


def read_job(job_id: str, document: wire.JobRequest, now: datetime) -> Job:
    """Read a job that is to be made; it begins now if it has no time or one that is past.

    Raises HubError, also as `method_request`, and QueryError for a condition that is none.
    """
    if not is_part(job_id) or job_id.lower() == _QUERY:
        raise _invalid(f"{quoted(job_id)} is not the id of a job: it is like a device's, and not {_QUERY}.")
    if document.job_id is not None and document.job_id != job_id:
        raise _invalid(f"The body is about {quoted(document.job_id)}, the path about {quoted(job_id)}.")
    if document.query_condition is None:
        raise _invalid("queryCondition is missing; * selects every device.")
    if len(document.query_condition) > MAX_CONDITION:
        raise _invalid(f"queryCondition is longer than {MAX_CONDITION} characters.")
    read_selection(document.query_condition)
    seconds = document.max_execution_time_in_seconds
    if seconds is not None and not 1 <= seconds <= _LONGEST.total_seconds():
        raise _invalid(f"maxExecutionTimeInSeconds is not between 1 and {_LONGEST.total_seconds():.0f}.")
    return Job(
        job_id=job_id,
        task=_read_task(document),
        condition=document.query_condition,
        created_at=now,
        start_at=max(now, _read_time(document.start_time) or now),
        max_seconds=seconds or DEFAULT_SECONDS,
        status=JobStatus.QUEUED,
    )


def _read_task(document: wire.JobRequest) -> MethodRequest | TwinUpdate:
    match document.type.lower():
        case "scheduledevicemethod":
            call = document.cloud_to_device_method
            if call is None:
                raise _invalid("A job of the type scheduleDeviceMethod needs cloudToDeviceMethod.")
            return method_request(
                call.method_name,
                bytes(call.payload),
                response_timeout=call.response_timeout_in_seconds,
                connect_timeout=call.connect_timeout_in_seconds,
            )
        case "scheduleupdatetwin":
            return _read_update(document.update_twin)
        case _:
            raise _invalid(f"type is scheduleDeviceMethod or scheduleUpdateTwin, not {quoted(document.type)}.")


def _read_update(document: wire.TwinUpdate | None) -> TwinUpdate:
    if document is None:
        raise _invalid("A job of the type scheduleUpdateTwin needs updateTwin.")
    if document.etag is None or translate.read_etag(document.etag) is not None:
        raise _invalid('updateTwin.etag must be "*": the job is for many twins.')
    update = translate.read_twin(document)
    if not (update.tags or update.desired):
        raise _invalid("updateTwin has neither tags nor desired properties.")
    check_content(update.tags or {}, "tags")
    check_content(update.desired or {}, "properties.desired")
    return TwinUpdate(tags=update.tags, desired=update.desired)


def _read_time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return parse_time(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _invalid(f"startTime is no time such as 2026-01-31T12:00:00Z: {quoted(text)}.") from None


def job_document(counted: CountedJob) -> wire.JobResponse:
    """Write a job."""
    job, statistics = counted.job, counted.statistics
    method: hub_service.MethodCall | None = None
    update: wire.TwinUpdateMade | None = None
    match job.task:
        case MethodRequest(name=name, payload=payload, response_timeout=response, connect_timeout=connect):
            method = hub_service.MethodCall(
                method_name=name,
                payload=Raw(payload),
                response_timeout_in_seconds=response,
                connect_timeout_in_seconds=connect,
            )
        case TwinUpdate(tags=tags, desired=desired):
            update = wire.TwinUpdateMade(
                etag="*",
                tags=UNSET if tags is None else dict(tags),
                properties=UNSET if desired is None else wire.DesiredMade(desired=dict(desired)),
            )
    return wire.JobResponse(
        job_id=job.job_id,
        query_condition=job.condition,
        created_time=format_time(job.created_at),
        start_time=format_time(job.start_at),
        end_time=UNSET if job.ended_at is None else format_time(job.ended_at),
        max_execution_time_in_seconds=job.max_seconds,
        type=job.job_type.value,
        cloud_to_device_method=method or UNSET,
        update_twin=update or UNSET,
        status=job.status.value,
        failure_reason=job.failure or UNSET,
        device_job_statistics=wire.JobStatistics(
            device_count=sum(statistics.values()),
            failed_count=statistics.get(DeviceJobStatus.FAILED, 0),
            succeeded_count=statistics.get(DeviceJobStatus.COMPLETED, 0),
            running_count=statistics.get(DeviceJobStatus.RUNNING, 0),
            pending_count=statistics.get(DeviceJobStatus.PENDING, 0),
        ),
    )


def unknown_job(job_id: str) -> wire.JobResponse:
    """Write what is told of a job that does not exist (contract hub.md 9.3)."""
    return wire.JobResponse(job_id=job_id, type="unknown", status="unknown")


def read_type(text: str | None) -> JobType | None:
    """Read what a listing is narrowed to; None for every type. Raises KeyError for a type that no job here has."""
    return {each.value.lower(): each for each in JobType}[text.lower()] if text else None


def read_status(text: str | None) -> JobStatus | None:
    """Read as `read_type` does."""
    return {each.value: each for each in JobStatus}[text.lower()] if text else None


def _invalid(message: str) -> HubError:
    return HubError(HubCode.ARGUMENT_INVALID, message)
