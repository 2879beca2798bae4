"""The nouns of the hub as values. No serialization, no transport, no SQL (contract hub.md 4, 6, 19, 21)."""

from homeport.hub.model.cloud_message import (
    Acknowledgement,
    Change,
    CloudMessage,
    Feedback,
    FeedbackRecord,
    FeedbackStatus,
    Lock,
    QueuedMessage,
)
from homeport.hub.model.documents import NEVER, JsonObject, format_time
from homeport.hub.model.hub import Hub, Policy
from homeport.hub.model.identity import (
    Authentication,
    CaAuthentication,
    ConnectionState,
    DeviceIdentity,
    DeviceStatus,
    NoAuthentication,
    RegistryStatistics,
    SasAuthentication,
    SelfSignedAuthentication,
)
from homeport.hub.model.job import (
    DeviceJob,
    DeviceJobStatus,
    Job,
    JobAnswer,
    JobFault,
    JobStatistics,
    JobStatus,
    JobType,
    MethodRequest,
    TwinUpdate,
)
from homeport.hub.model.telemetry import StoredTelemetry, Telemetry
from homeport.hub.model.twin import Device, Twin, TwinSection

__all__ = [
    "NEVER",
    "Acknowledgement",
    "Authentication",
    "CaAuthentication",
    "Change",
    "CloudMessage",
    "ConnectionState",
    "Device",
    "DeviceIdentity",
    "DeviceJob",
    "DeviceJobStatus",
    "DeviceStatus",
    "Feedback",
    "FeedbackRecord",
    "FeedbackStatus",
    "Hub",
    "Job",
    "JobAnswer",
    "JobFault",
    "JobStatistics",
    "JobStatus",
    "JobType",
    "JsonObject",
    "Lock",
    "MethodRequest",
    "NoAuthentication",
    "Policy",
    "QueuedMessage",
    "RegistryStatistics",
    "SasAuthentication",
    "SelfSignedAuthentication",
    "StoredTelemetry",
    "Telemetry",
    "Twin",
    "TwinSection",
    "TwinUpdate",
    "format_time",
]
