"""A job's part for one device, as services see it (contract hub.md 9.4)."""

from msgspec import UNSET, Raw

from homeport.hub.identifiers import device_of, module_of
from homeport.hub.model import DeviceJob, DeviceJobStatus, format_time
from homeport.wire import hub_jobs as wire


def device_job_document(part: DeviceJob) -> wire.DeviceJob:
    """Write a row of `devices.jobs`."""
    outcome: wire.Outcome | None = None
    if part.status is DeviceJobStatus.COMPLETED:
        answer = part.answer
        outcome = wire.Outcome(
            device_method_response=None
            if answer is None
            else wire.MethodOutcome(status=answer.status, payload=Raw(answer.payload))
        )
    return wire.DeviceJob(
        device_id=device_of(part.device_id),
        module_id=module_of(part.device_id) or UNSET,
        job_id=part.job_id,
        job_type=part.job_type.value,
        status=part.status.value,
        start_time_utc=UNSET if part.started_at is None else format_time(part.started_at),
        end_time_utc=UNSET if part.ended_at is None else format_time(part.ended_at),
        created_date_time_utc=format_time(part.created_at),
        last_updated_date_time_utc=format_time(part.updated_at),
        outcome=outcome or UNSET,
        error=UNSET if part.fault is None else wire.Fault(code=part.fault.code, description=part.fault.description),
    )
