"""The hub's service documents exactly as clients see them: identities, twins, bulk, query, statistics, errors.

Spellings and JSON only (contract hub.md 4 to 6, 8, 22); what the values mean is `hub.translate`'s business.
What clients send and what they get are two types where they differ: read-only members that come back are not read.
"""

from typing import Any, Literal

from msgspec import UNSET, Raw, UnsetType, field
from msgspec.json import Decoder

from homeport.wire import WireStruct

# ---------------------------------------------------------------- identities


class SymmetricKey(WireStruct, frozen=True, kw_only=True):
    primary_key: str | None = None
    secondary_key: str | None = None

    def __repr__(self) -> str:
        return "SymmetricKey(…)"


class X509Thumbprint(WireStruct, frozen=True, kw_only=True):
    primary_thumbprint: str | None = None
    secondary_thumbprint: str | None = None


class Authentication(WireStruct, frozen=True, kw_only=True):
    """Written in full, nulls included: Java needs every member (contract hub.md 4.1)."""

    symmetric_key: SymmetricKey | None = None
    x509_thumbprint: X509Thumbprint | None = field(default=None, name="x509Thumbprint")
    type: str | None = None


class Capabilities(WireStruct, frozen=True, kw_only=True):
    iot_edge: bool | None = None


class DeviceWrite(WireStruct, frozen=True, kw_only=True):
    """What a client may set on a device identity (contract hub.md 4.1)."""

    device_id: str | None = None
    status: str | None = None
    status_reason: str | None = None
    authentication: Authentication | None = None
    capabilities: Capabilities | None = None
    device_scope: str | None = None
    parent_scopes: list[str] | None = None


class Device(WireStruct, frozen=True, kw_only=True):
    """A device identity. Note `statusUpdatedTime` here and `statusUpdateTime` on twins."""

    device_id: str
    generation_id: str
    etag: str
    connection_state: str
    status: str
    status_reason: str | None
    connection_state_updated_time: str
    status_updated_time: str
    last_activity_time: str
    cloud_to_device_message_count: int = 0
    authentication: Authentication
    capabilities: Capabilities
    device_scope: str | UnsetType = UNSET
    parent_scopes: list[str] | UnsetType = UNSET


class ModuleWrite(WireStruct, frozen=True, kw_only=True):
    """What a client may set on a module identity (contract hub.md 4.2)."""

    module_id: str | None = None
    device_id: str | None = None
    managed_by: str | None = None
    authentication: Authentication | None = None


class Module(WireStruct, frozen=True, kw_only=True):
    """A module identity; it has no status of its own."""

    module_id: str
    managed_by: str | None
    device_id: str
    generation_id: str
    etag: str
    connection_state: str
    connection_state_updated_time: str
    last_activity_time: str
    cloud_to_device_message_count: int = 0
    authentication: Authentication


# ---------------------------------------------------------------- twins


class TwinPropertiesWrite(WireStruct, frozen=True, kw_only=True):
    desired: dict[str, Any] | None = None
    reported: dict[str, Any] | None = None


class TwinWrite(WireStruct, frozen=True, kw_only=True):
    """What a client may set on a twin; the REST calls read `reported` of nobody but bulk (contract hub.md 6.2)."""

    tags: dict[str, Any] | None = None
    properties: TwinPropertiesWrite | None = None


class TwinProperties(WireStruct, frozen=True, kw_only=True):
    """Content, `$metadata` and `$version` of each section, already put together."""

    desired: dict[str, Any]
    reported: dict[str, Any]


class Twin(WireStruct, frozen=True, kw_only=True):
    device_id: str
    module_id: str | UnsetType = UNSET
    etag: str
    device_etag: str
    status: str
    status_reason: str | UnsetType = UNSET
    status_update_time: str
    connection_state: str
    last_activity_time: str
    cloud_to_device_message_count: int = 0
    authentication_type: str
    x509_thumbprint: X509Thumbprint = field(name="x509Thumbprint")
    model_id: str
    version: int
    tags: dict[str, Any]
    properties: TwinProperties
    configurations: dict[str, dict[str, str]] | UnsetType = UNSET
    capabilities: Capabilities
    device_scope: str | UnsetType = UNSET
    parent_scopes: list[str] | UnsetType = UNSET


# ---------------------------------------------------------------- bulk


class BulkEntry(WireStruct, frozen=True, kw_only=True):
    """One line of `POST /devices` (contract hub.md 4.6)."""

    id: str
    module_id: str | None = None
    etag: str | None = field(default=None, name="eTag")
    import_mode: str | None = None
    status: str | None = None
    status_reason: str | None = None
    authentication: Authentication | None = None
    twin_etag: str | None = field(default=None, name="twinETag")
    tags: dict[str, Any] | None = None
    properties: TwinPropertiesWrite | None = None
    capabilities: Capabilities | None = None
    device_scope: str | None = None
    parent_scopes: list[str] | None = None


class ExportEntry(WireStruct, frozen=True, kw_only=True):
    """One line of an export, which an import takes as a `BulkEntry` (contract hub.md 10)."""

    id: str
    module_id: str | UnsetType = UNSET
    etag: str = field(name="eTag")
    import_mode: str | UnsetType = UNSET
    status: str
    status_reason: str | UnsetType = UNSET
    authentication: Authentication
    twin_etag: str = field(name="twinETag")
    tags: dict[str, Any]
    properties: TwinProperties
    capabilities: Capabilities | UnsetType = UNSET
    device_scope: str | UnsetType = UNSET
    parent_scopes: list[str] | UnsetType = UNSET


class ImportFault(WireStruct, frozen=True, kw_only=True):
    """One line of the log that an import leaves; `errorCode` is a number here."""

    device_id: str
    module_id: str | UnsetType = UNSET
    error_code: int
    error_status: str


class BulkError(WireStruct, frozen=True, kw_only=True):
    device_id: str
    module_id: str | None = None
    error_code: str
    error_status: str
    operation: str


class BulkWarning(WireStruct, frozen=True, kw_only=True):
    device_id: str
    warning_code: str
    warning_status: str


class BulkResult(WireStruct, frozen=True, kw_only=True):
    is_successful: bool
    errors: list[BulkError]
    warnings: list[BulkWarning]


class PurgeResult(WireStruct, frozen=True, kw_only=True):
    """How many messages a queue had (contract hub.md 4.3)."""

    device_id: str
    module_id: str | None = None
    total_messages_purged: int


class KeyOwner(WireStruct, frozen=True, kw_only=True):
    id: str
    module_id: str | None = None


class KeyRegeneration(WireStruct, frozen=True, kw_only=True):
    """Body of `POST /devices/keys/regenerate` (contract hub.md 4.8)."""

    policy_key: str
    devices: list[KeyOwner]


class RotatedKeys(WireStruct, frozen=True, kw_only=True):
    id: str
    module_id: str | UnsetType = UNSET
    primary_key: str
    secondary_key: str

    def __repr__(self) -> str:
        return "RotatedKeys(…)"


class RotationError(WireStruct, frozen=True, kw_only=True):
    id: str
    module_id: str | UnsetType = UNSET
    error_code: str
    error_status: str


class KeyRegenerationResult(WireStruct, frozen=True, kw_only=True):
    policy_key: str
    rotated_keys: list[RotatedKeys]
    errors: list[RotationError]


# ---------------------------------------------------------------- direct methods


class MethodCall(WireStruct, frozen=True, kw_only=True):
    """Body of `POST /twins/{d}/methods` (contract hub.md 7); the payload goes to the device byte for byte."""

    method_name: str
    payload: Raw = Raw(b"")
    response_timeout_in_seconds: int | None = None
    connect_timeout_in_seconds: int | None = None


class MethodResult(WireStruct, frozen=True, kw_only=True):
    """What the device answered; C needs the payload, null included."""

    status: int
    payload: Raw


# ---------------------------------------------------------------- query, statistics, errors


class QuerySpecification(WireStruct, frozen=True, kw_only=True):
    query: str


class RegistryStatistics(WireStruct, frozen=True, kw_only=True):
    total_device_count: int
    enabled_device_count: int
    disabled_device_count: int


class ServiceStatistics(WireStruct, frozen=True, kw_only=True):
    connected_device_count: int


class ErrorBody(WireStruct, frozen=True, kw_only=True, rename="pascal"):
    """`Message` is `ErrorCode:{name};{text}`: Node splits it at `;` and `:` (contract hub.md 22.1)."""

    message: str
    exception_message: str


ItemType = Literal["Twin", "DeviceJob", "JobResponse", "Raw"]
"""The only spellings of `x-ms-item-type` that C# reads (contract hub.md 8.1)."""

device_decoder = Decoder(DeviceWrite)
module_decoder = Decoder(ModuleWrite)
twin_decoder = Decoder(TwinWrite)
key_regeneration_decoder = Decoder(KeyRegeneration)
bulk_decoder = Decoder(list[BulkEntry])
query_decoder = Decoder(QuerySpecification)
method_decoder = Decoder(MethodCall)
json_decoder = Decoder(Raw)
line_decoder = Decoder(BulkEntry)
