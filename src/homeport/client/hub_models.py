"""A hub's devices and twins as Python values with the field's names (contract hub.md 4.1, 5, 6.1)."""

from datetime import datetime
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


class RegistryStatistics(_Document, kw_only=True, frozen=True):
    total_device_count: int
    enabled_device_count: int
    disabled_device_count: int


class ServiceStatistics(_Document, kw_only=True, frozen=True):
    connected_device_count: int


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
