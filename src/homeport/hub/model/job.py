"""Scheduled jobs as values: one method call or twin update for each of many devices (contract hub.md 9)."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from homeport.hub.model.documents import JsonObject
from homeport.values import hiding


class JobType(StrEnum):
    UPDATE_TWIN = "scheduleUpdateTwin"
    DEVICE_METHOD = "scheduleDeviceMethod"


class JobStatus(StrEnum):
    """Where a job stands. The last three are ends."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        return self in {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}


class DeviceJobStatus(StrEnum):
    """Where a job stands with one device; `canceled` has one l here (contract hub.md 9.4)."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


@hiding("payload")
class MethodRequest(Struct, frozen=True, kw_only=True):
    """A direct method to be called: the payload is JSON, the times are seconds (contract hub.md 7)."""

    name: str
    payload: bytes
    response_timeout: int
    connect_timeout: int


class TwinUpdate(Struct, frozen=True, kw_only=True):
    """What is merged into each twin; None is not written."""

    tags: JsonObject | None
    desired: JsonObject | None


class Job(Struct, frozen=True, kw_only=True):
    """A scheduled job. `task` is what every device that `condition` selects at the start is given."""

    job_id: str
    task: MethodRequest | TwinUpdate
    condition: str
    created_at: datetime
    start_at: datetime
    max_seconds: int
    status: JobStatus
    deadline: datetime | None = None
    """When the execution time is over; None until it has begun."""
    has_targets: bool = False
    """Whether the devices have been selected."""
    ended_at: datetime | None = None
    failure: str | None = None

    @property
    def job_type(self) -> JobType:
        return JobType.UPDATE_TWIN if isinstance(self.task, TwinUpdate) else JobType.DEVICE_METHOD


class JobFault(Struct, frozen=True, kw_only=True):
    """Why a device's part came to nothing: the error a call of one's own would have met."""

    code: str
    description: str


@hiding("payload")
class JobAnswer(Struct, frozen=True, kw_only=True):
    """What a device answered to a job's method: its own status, and JSON."""

    status: int
    payload: bytes


class DeviceJob(Struct, frozen=True, kw_only=True):
    """A job's part for one device or module, and what came of it (contract hub.md 9.4)."""

    job_id: str
    device_id: str
    job_type: JobType
    status: DeviceJobStatus
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    answer: JobAnswer | None = None
    fault: JobFault | None = None


JobStatistics = Mapping[DeviceJobStatus, int]
"""How many devices of a job stand where."""
