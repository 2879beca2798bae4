"""Imports and exports as services see them (contract hub.md 10). Addresses of containers are never written."""

from msgspec import UNSET, Struct, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct


class JobRequest(WireStruct, frozen=True, kw_only=True):
    type: str = ""
    input_blob_container_uri: str | None = None
    input_blob_name: str | None = None
    output_blob_container_uri: str | None = None
    output_blob_name: str | None = None
    exclude_keys_in_export: bool | None = None
    storage_authentication_type: str | None = None
    include_configurations: bool | None = None
    configurations_blob_name: str | None = None

    def __repr__(self) -> str:
        return f"JobRequest({self.type!r})"


class JobProperties(WireStruct, frozen=True, kw_only=True):
    job_id: str
    start_time_utc: str
    end_time_utc: str | UnsetType = UNSET
    type: str
    status: str
    progress: int
    input_blob_name: str | UnsetType = UNSET
    output_blob_name: str | UnsetType = UNSET
    exclude_keys_in_export: bool
    storage_authentication_type: str
    include_configurations: bool
    configurations_blob_name: str | UnsetType = UNSET
    failure_reason: str | UnsetType = UNSET


class ConfigurationLine(Struct, frozen=True, rename="camel"):
    """What an import must know of a line of configurations before it is read as one."""

    id: str = ""
    import_mode: str | None = None


job_decoder = Decoder(JobRequest)
configuration_line_decoder = Decoder(ConfigurationLine)
