"""The nouns of the hub as values. No serialization, no transport, no SQL (contract hub.md 4, 6, 17, 19, 21)."""

from homeport.hub.model.cloud_message import (
    Acknowledgement,
    Change,
    CloudMessage,
    Feedback,
    FeedbackRecord,
    FeedbackStatus,
    Lock,
    QueuedMessage,
    Waiting,
)
from homeport.hub.model.documents import NEVER, JsonObject, format_time
from homeport.hub.model.file_upload import (
    BlobProperties,
    Block,
    FileNotification,
    FileUpload,
    FileUploadSettings,
    FoundBlob,
    StoredBlob,
    UploadPlace,
)
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
from homeport.hub.model.telemetry import StoredTelemetry, Telemetry
from homeport.hub.model.twin import Device, Twin, TwinSection

__all__ = [
    "NEVER",
    "Acknowledgement",
    "Authentication",
    "BlobProperties",
    "Block",
    "CaAuthentication",
    "Change",
    "CloudMessage",
    "ConnectionState",
    "Device",
    "DeviceIdentity",
    "DeviceStatus",
    "Feedback",
    "FeedbackRecord",
    "FeedbackStatus",
    "FileNotification",
    "FileUpload",
    "FileUploadSettings",
    "FoundBlob",
    "Hub",
    "JsonObject",
    "Lock",
    "NoAuthentication",
    "Policy",
    "QueuedMessage",
    "RegistryStatistics",
    "SasAuthentication",
    "SelfSignedAuthentication",
    "StoredBlob",
    "StoredTelemetry",
    "Telemetry",
    "Twin",
    "TwinSection",
    "UploadPlace",
    "Waiting",
    "format_time",
]
