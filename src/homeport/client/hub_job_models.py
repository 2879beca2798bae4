"""A hub's scheduled jobs as Python values (contract hub.md 9)."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from homeport.client.hub_models import JsonObject, MethodResult


class _Document(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """Only read, never written: a hub's answer."""


class JobType(StrEnum):
    """What a job does with each of its devices."""

    UPDATE_TWIN = "scheduleUpdateTwin"
    DEVICE_METHOD = "scheduleDeviceMethod"


class JobMethod(_Document, kw_only=True, frozen=True):
    """The method a job calls; times are in seconds."""

    method_name: str
    payload: Any = None
    response_timeout_in_seconds: int | None = None
    connect_timeout_in_seconds: int | None = None


class JobTwinProperties(_Document, kw_only=True, frozen=True):
    desired: JsonObject = {}


class JobTwinUpdate(_Document, kw_only=True, frozen=True):
    """What a job merges into each twin."""

    tags: JsonObject = {}
    properties: JobTwinProperties | None = None


class JobStatistics(_Document, kw_only=True, frozen=True):
    """How many devices of a job stand where."""

    device_count: int = 0
    failed_count: int = 0
    succeeded_count: int = 0
    running_count: int = 0
    pending_count: int = 0

    @property
    def ended_count(self) -> int:
        """Those that will not change any more."""
        return self.failed_count + self.succeeded_count


class Job(_Document, kw_only=True, frozen=True):
    """A scheduled job."""

    job_id: str
    type: str
    status: str
    """`queued`, `scheduled`, `running`, `completed`, `failed` or `cancelled`."""
    query_condition: str | None = None
    created_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    max_execution_time_in_seconds: int | None = None
    cloud_to_device_method: JobMethod | None = None
    update_twin: JobTwinUpdate | None = None
    failure_reason: str | None = None
    device_job_statistics: JobStatistics | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.status in {"completed", "failed", "cancelled"}


class JobOutcome(_Document, kw_only=True, frozen=True):
    """What a device's part came to; no answer in a job that updates twins."""

    device_method_response: MethodResult | None = None


class JobError(_Document, kw_only=True, frozen=True):
    """Why a device's part came to nothing."""

    code: str
    description: str = ""


class DeviceJob(_Document, kw_only=True, frozen=True):
    """A job's part for one device or module."""

    device_id: str
    module_id: str | None = None
    job_id: str
    job_type: str
    status: str
    """`pending`, `running`, `completed`, `failed` or `canceled`."""
    start_time_utc: datetime | None = None
    end_time_utc: datetime | None = None
    created_date_time_utc: datetime | None = None
    last_updated_date_time_utc: datetime | None = None
    outcome: JobOutcome | None = None
    error: JobError | None = None
