"""A hub's devices, modules and twins as Python values with the field's names (contract hub.md 4 to 7)."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

JsonObject = dict[str, Any]


class _Document(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """Only read, never written: a hub's answer."""


class DeviceCapabilities(_Document, kw_only=True, frozen=True):
    iot_edge: bool = False


class X509Thumbprint(_Document, kw_only=True, frozen=True):
    primary_thumbprint: str | None = None
    secondary_thumbprint: str | None = None


class DeviceSymmetricKey(_Document, kw_only=True, frozen=True):
    """The keys with which the device signs its tokens."""

    primary_key: str | None = None
    secondary_key: str | None = None

    def __repr__(self) -> str:
        return "DeviceSymmetricKey(…)"


class DeviceAuthentication(_Document, kw_only=True, frozen=True):
    """How the device proves itself to the hub: `sas`, `selfSigned` or `certificateAuthority`."""

    type: str = "sas"
    symmetric_key: DeviceSymmetricKey | None = None
    x509_thumbprint: X509Thumbprint | None = None


class Device(_Document, kw_only=True, frozen=True):
    """The record of a device in the hub's registry. The year 1 stands for a time that has not come yet."""

    device_id: str
    generation_id: str | None = None
    etag: str | None = None
    connection_state: str = "Disconnected"
    status: str = "enabled"
    status_reason: str | None = None
    connection_state_updated_time: datetime | None = None
    status_updated_time: datetime | None = None
    last_activity_time: datetime | None = None
    cloud_to_device_message_count: int = 0
    authentication: DeviceAuthentication | None = None
    capabilities: DeviceCapabilities | None = None
    device_scope: str | None = None
    parent_scopes: list[str] | None = None


class Module(_Document, kw_only=True, frozen=True):
    """The record of a module; whether it may connect is its device's status."""

    device_id: str
    module_id: str
    managed_by: str | None = None
    generation_id: str | None = None
    etag: str | None = None
    connection_state: str = "Disconnected"
    connection_state_updated_time: datetime | None = None
    last_activity_time: datetime | None = None
    cloud_to_device_message_count: int = 0
    authentication: DeviceAuthentication | None = None


class TwinProperties(_Document, kw_only=True, frozen=True):
    """The sections with their `$metadata` and `$version`."""

    desired: JsonObject = {}
    reported: JsonObject = {}


class Twin(_Document, kw_only=True, frozen=True):
    """The device's document in the hub."""

    device_id: str
    module_id: str | None = None
    model_id: str | None = None
    etag: str | None = None
    device_etag: str | None = None
    status: str | None = None
    status_reason: str | None = None
    status_update_time: datetime | None = None
    connection_state: str | None = None
    last_activity_time: datetime | None = None
    cloud_to_device_message_count: int = 0
    authentication_type: str | None = None
    x509_thumbprint: X509Thumbprint | None = None
    capabilities: DeviceCapabilities | None = None
    device_scope: str | None = None
    parent_scopes: list[str] | None = None
    version: int | None = None
    tags: JsonObject = {}
    properties: TwinProperties | None = None
    configurations: dict[str, dict[str, str]] = {}
    """What stands of the configurations that target it, by their ids."""


class MethodResult(_Document, kw_only=True, frozen=True):
    """What a device answered to a method: its own status, and JSON."""

    status: int
    payload: Any = None


class RegistryStatistics(_Document, kw_only=True, frozen=True):
    total_device_count: int
    enabled_device_count: int
    disabled_device_count: int


class ServiceStatistics(_Document, kw_only=True, frozen=True):
    connected_device_count: int


class PolicyKey(StrEnum):
    """Which of the two keys of a device."""

    PRIMARY = "primaryKey"
    SECONDARY = "secondaryKey"
    BOTH = "both"


class RegeneratedKeys(_Document, kw_only=True, frozen=True):
    """The keys of a device or module, the new ones among them."""

    id: str
    module_id: str | None = None
    primary_key: str
    secondary_key: str

    def __repr__(self) -> str:
        return f"RegeneratedKeys(id={self.id!r}, module_id={self.module_id!r}, …)"


class KeyRegenerationError(_Document, kw_only=True, frozen=True):
    """Why a device or module kept its keys."""

    id: str
    module_id: str | None = None
    error_code: str
    error_status: str


class KeyRegeneration(_Document, kw_only=True, frozen=True):
    """What came of making new keys, for each device on its own."""

    rotated_keys: list[RegeneratedKeys]
    errors: list[KeyRegenerationError]


class PurgeResult(_Document, kw_only=True, frozen=True):
    """How many messages a queue had when it was emptied."""

    device_id: str
    module_id: str | None = None
    total_messages_purged: int


class ImportMode(StrEnum):
    """What one entry of a bulk request does (contract hub.md 4.6)."""

    CREATE = "create"
    UPDATE = "update"
    UPDATE_IF_MATCH_ETAG = "updateIfMatchETag"
    CREATE_OR_UPDATE = "createOrUpdate"
    CREATE_OR_UPDATE_IF_MATCH_ETAG = "createOrUpdateIfMatchETag"
    DELETE = "delete"
    DELETE_IF_MATCH_ETAG = "deleteIfMatchETag"
    UPDATE_TWIN = "updateTwin"
    UPDATE_TWIN_IF_MATCH_ETAG = "updateTwinIfMatchETag"


class BulkTwinProperties(msgspec.Struct, rename="camel", kw_only=True, frozen=True, omit_defaults=True):
    """Content of the two sections, without metadata."""

    desired: JsonObject | None = None
    reported: JsonObject | None = None


class BulkDevice(msgspec.Struct, rename="camel", kw_only=True, frozen=True, omit_defaults=True):
    """One entry of a bulk request; members that are None are left out."""

    id: str
    module_id: str | None = None
    import_mode: ImportMode | None = None
    etag: str | None = msgspec.field(default=None, name="eTag")
    status: str | None = None
    status_reason: str | None = None
    authentication: DeviceAuthentication | None = None
    twin_etag: str | None = msgspec.field(default=None, name="twinETag")
    tags: Mapping[str, Any] | None = None
    properties: BulkTwinProperties | None = None
    capabilities: DeviceCapabilities | None = None


class BulkDeviceError(_Document, kw_only=True, frozen=True):
    """Why an entry was not carried out."""

    device_id: str
    module_id: str | None = None
    error_code: str
    error_status: str
    operation: str | None = None


class BulkDeviceWarning(_Document, kw_only=True, frozen=True):
    device_id: str
    warning_code: str
    warning_status: str


class BulkDeviceResult(_Document, kw_only=True, frozen=True):
    """What came of a bulk request; entries without an error were carried out."""

    is_successful: bool
    errors: list[BulkDeviceError]
    warnings: list[BulkDeviceWarning] = []


class FileUpload(_Document, kw_only=True, frozen=True):
    """Where a Homeport's hub keeps the files that devices upload.

    `container_url` opens all of them for an hour, to read, list and delete: keep it like a key.
    """

    enabled: bool
    storage: str
    """`built-in`, or the address of the container."""
    container_url: str
    sas_life_in_seconds: int
    notifications: bool

    def __repr__(self) -> str:
        return f"FileUpload(storage={self.storage!r})"


class FileUploadChanges(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """What to change; members that are not set stay as they are. No connection string (None): built in."""

    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    connection_string: str | msgspec.UnsetType | None = msgspec.UNSET
    container: str | msgspec.UnsetType | None = msgspec.UNSET
    sas_life_in_seconds: int | msgspec.UnsetType = msgspec.UNSET
    notifications: bool | msgspec.UnsetType = msgspec.UNSET

    def __repr__(self) -> str:
        return "FileUploadChanges(…)"
