"""The documents of scheduled jobs exactly as clients see them (contract hub.md 9).

Of pairs such as `type` and `jobType` a document has one, never both: Java refuses them.
"""

from msgspec import UNSET, Raw, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct
from homeport.wire.hub_service import MethodCall, TwinWrite


class TwinUpdate(TwinWrite, frozen=True, kw_only=True):
    etag: str | None = None


class JobRequest(WireStruct, frozen=True, kw_only=True):
    job_id: str | None = None
    type: str
    cloud_to_device_method: MethodCall | None = None
    update_twin: TwinUpdate | None = None
    query_condition: str | None = None
    start_time: str | None = None
    max_execution_time_in_seconds: int | None = None


class JobStatistics(WireStruct, frozen=True, kw_only=True):
    device_count: int
    failed_count: int
    succeeded_count: int
    running_count: int
    pending_count: int


class DesiredMade(WireStruct, frozen=True, kw_only=True):
    desired: dict[str, object]


class TwinUpdateMade(WireStruct, frozen=True, kw_only=True):
    """The update as it was asked for; what it does not write is left out."""

    etag: str
    tags: dict[str, object] | UnsetType = UNSET
    properties: DesiredMade | UnsetType = UNSET


class JobResponse(WireStruct, frozen=True, kw_only=True):
    job_id: str
    query_condition: str | UnsetType = UNSET
    created_time: str | UnsetType = UNSET
    start_time: str | UnsetType = UNSET
    end_time: str | UnsetType = UNSET
    max_execution_time_in_seconds: int | UnsetType = UNSET
    type: str
    cloud_to_device_method: MethodCall | UnsetType = UNSET
    update_twin: TwinUpdateMade | UnsetType = UNSET
    status: str
    failure_reason: str | UnsetType = UNSET
    device_job_statistics: JobStatistics | UnsetType = UNSET


class MethodOutcome(WireStruct, frozen=True, kw_only=True):
    status: int
    payload: Raw


class Outcome(WireStruct, frozen=True, kw_only=True):
    device_method_response: MethodOutcome | None


class Fault(WireStruct, frozen=True, kw_only=True):
    code: str
    description: str


class DeviceJob(WireStruct, frozen=True, kw_only=True):
    """A row of `devices.jobs`."""

    device_id: str
    module_id: str | UnsetType = UNSET
    job_id: str
    job_type: str
    status: str
    start_time_utc: str | UnsetType = UNSET
    end_time_utc: str | UnsetType = UNSET
    created_date_time_utc: str
    last_updated_date_time_utc: str
    outcome: Outcome | UnsetType = UNSET
    error: Fault | UnsetType = UNSET


job_decoder = Decoder(JobRequest)
