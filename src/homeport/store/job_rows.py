"""How scheduled jobs are kept: what is searched, leased or counted in columns, the rest here."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from homeport.hub.model import (
    DeviceJob,
    DeviceJobStatus,
    Job,
    JobAnswer,
    JobFault,
    JobStatus,
    JobType,
    MethodRequest,
    TwinUpdate,
)
from homeport.store.database import Row, Value
from homeport.store.rows import Codec, from_micros, to_micros


class MethodRow(Struct, tag="method"):
    name: str
    payload: bytes
    response_timeout: int
    connect_timeout: int


class TwinRow(Struct, tag="twin"):
    tags: dict[str, Any] | None
    desired: dict[str, Any] | None


class JobRow(Struct, kw_only=True, omit_defaults=True):
    task: MethodRow | TwinRow
    condition: str
    created_at: datetime
    max_seconds: int
    deadline: datetime | None = None
    has_targets: bool = False
    failure: str | None = None


class AnswerRow(Struct, array_like=True):
    status: int
    payload: bytes


class FaultRow(Struct, array_like=True):
    code: str
    description: str


class PartRow(Struct, kw_only=True, omit_defaults=True):
    job_type: JobType
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    answer: AnswerRow | None = None
    fault: FaultRow | None = None


_job_codec = Codec(JobRow)
_part_codec = Codec(PartRow)

JOB_COLUMNS = "job_id, status, start_at, ended_at, data"
"""The columns `job_of` expects, in its order."""

PART_COLUMNS = "job_id, device_id, status, updated_at, data"
"""The columns `part_of` expects, in its order."""


def job_values(job: Job) -> dict[str, Value]:
    task: MethodRow | TwinRow
    match job.task:
        case MethodRequest(name=name, payload=payload, response_timeout=response, connect_timeout=connect):
            task = MethodRow(name, payload, response, connect)
        case TwinUpdate(tags=tags, desired=desired):
            task = TwinRow(None if tags is None else dict(tags), None if desired is None else dict(desired))
    row = JobRow(
        task=task,
        condition=job.condition,
        created_at=job.created_at,
        max_seconds=job.max_seconds,
        deadline=job.deadline,
        has_targets=job.has_targets,
        failure=job.failure,
    )
    return {
        "job_id": job.job_id,
        "job_type": job.job_type.value,
        "status": job.status.value,
        "start_at": to_micros(job.start_at),
        "ended_at": to_micros(job.ended_at),
        "data": _job_codec.encode(row),
    }


def job_of(columns: Row) -> Job:
    job_id, status, start_at, ended_at, data = columns
    row = _job_codec.decode(data)
    task: MethodRequest | TwinUpdate
    match row.task:
        case MethodRow(name=name, payload=payload, response_timeout=response, connect_timeout=connect):
            task = MethodRequest(name=name, payload=payload, response_timeout=response, connect_timeout=connect)
        case TwinRow(tags=tags, desired=desired):
            task = TwinUpdate(tags=tags, desired=desired)
    return Job(
        job_id=job_id,
        task=task,
        condition=row.condition,
        created_at=row.created_at,
        start_at=from_micros(start_at),
        max_seconds=row.max_seconds,
        status=JobStatus(status),
        deadline=row.deadline,
        has_targets=row.has_targets,
        ended_at=from_micros(ended_at),
        failure=row.failure,
    )


def part_values(part: DeviceJob) -> dict[str, Value]:
    row = PartRow(
        job_type=part.job_type,
        created_at=part.created_at,
        started_at=part.started_at,
        ended_at=part.ended_at,
        answer=None if part.answer is None else AnswerRow(part.answer.status, part.answer.payload),
        fault=None if part.fault is None else FaultRow(part.fault.code, part.fault.description),
    )
    return {
        "job_id": part.job_id,
        "device_id": part.device_id,
        "status": part.status.value,
        "updated_at": to_micros(part.updated_at),
        "data": _part_codec.encode(row),
    }


def part_of(columns: Row) -> DeviceJob:
    job_id, device_id, status, updated_at, data = columns
    row = _part_codec.decode(data)
    return DeviceJob(
        job_id=job_id,
        device_id=device_id,
        job_type=row.job_type,
        status=DeviceJobStatus(status),
        created_at=row.created_at,
        updated_at=from_micros(updated_at),
        started_at=row.started_at,
        ended_at=row.ended_at,
        answer=None if row.answer is None else JobAnswer(status=row.answer.status, payload=row.answer.payload),
        fault=None if row.fault is None else JobFault(code=row.fault.code, description=row.fault.description),
    )
