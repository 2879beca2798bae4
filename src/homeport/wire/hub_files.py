"""The documents of file upload exactly as devices and services see them (contract hub.md 17.3, 18.4)."""

from msgspec import UNSET, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct


class UploadRequest(WireStruct, frozen=True, kw_only=True):
    blob_name: str = ""


class UploadAnswer(WireStruct, frozen=True, kw_only=True):
    """All five members: C fails without one."""

    correlation_id: str
    host_name: str
    container_name: str
    blob_name: str
    sas_token: str

    def __repr__(self) -> str:
        return f"UploadAnswer({self.blob_name!r})"


class UploadEnd(WireStruct, frozen=True, kw_only=True):
    """What a device says of an upload; the correlation id may stand in the path instead."""

    correlation_id: str | None = None
    is_success: bool | None = None
    status_code: int | None = None
    status_description: str | None = None


class FileNotification(WireStruct, frozen=True, kw_only=True):
    device_id: str
    blob_uri: str
    blob_name: str
    last_updated_time: str
    blob_size_in_bytes: int
    enqueued_time_utc: str


class SettingsWrite(WireStruct, frozen=True, kw_only=True):
    """What an administrator sets; members that are left out stay as they are. No connection string: built in."""

    enabled: bool | UnsetType = UNSET
    connection_string: str | UnsetType | None = UNSET
    container: str | UnsetType | None = UNSET
    sas_life_in_seconds: int | UnsetType = UNSET
    notifications: bool | UnsetType = UNSET

    def __repr__(self) -> str:
        return "SettingsWrite(…)"


class Settings(WireStruct, frozen=True, kw_only=True):
    """How a hub keeps files; the account's key is not told, `containerUrl` opens it for reading for an hour."""

    enabled: bool
    storage: str
    container_url: str
    sas_life_in_seconds: int
    notifications: bool

    def __repr__(self) -> str:
        return f"Settings({self.storage!r})"


request_decoder = Decoder(UploadRequest)
end_decoder = Decoder(UploadEnd)
settings_decoder = Decoder(SettingsWrite)
