"""Files that devices upload, as values: what was begun, what came of it, and where the hub keeps them (hub.md 17.3)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, field

from homeport.values import hiding

DEFAULT_SAS_LIFE = timedelta(hours=1)


@hiding("built_in_key", "connection_string")
class FileUploadSettings(Struct, frozen=True, kw_only=True):
    """Where a hub's files go. `built_in_key` signs for the built-in store, whatever is in use."""

    built_in_key: bytes
    connection_string: str | None = None
    """Of a storage account; None: the built-in store."""
    container: str | None = None
    """In the account; not used by the built-in store."""
    sas_life: timedelta = DEFAULT_SAS_LIFE
    notifications: bool = True
    enabled: bool = True
    """False refuses devices that want to upload."""


@hiding("sas_token")
class UploadPlace(Struct, frozen=True, kw_only=True):
    """Where a device puts one blob, and the right to do so; `sas_token` begins with a question mark."""

    host_name: str
    container: str
    sas_token: str


class FileUpload(Struct, frozen=True, kw_only=True):
    """An upload that was begun; its device says when it is over."""

    correlation_id: str
    target: str
    """A device id, or `{device}/{module}`."""
    blob_name: str
    blob_uri: str
    expires_at: datetime


class FoundBlob(Struct, frozen=True, kw_only=True):
    """What a storage says of a blob."""

    size: int
    last_modified: datetime


class FileNotification(Struct, frozen=True, kw_only=True):
    """What services are told of a file (contract hub.md 18.4)."""

    device_id: str
    blob_uri: str
    blob_name: str
    last_updated_at: datetime
    size: int
    enqueued_at: datetime


class BlobProperties(Struct, frozen=True, kw_only=True):
    """What the one who writes a blob says of it."""

    content_type: str = "application/octet-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Content-Encoding and its like, and `x-ms-meta-…`, to be told with the blob."""


class Block(Struct, frozen=True, kw_only=True):
    """A part of a blob, by the id its writer gave it."""

    id: str
    size: int


class StoredBlob(Struct, frozen=True, kw_only=True):
    """A complete blob of the built-in store."""

    name: str
    size: int
    etag: str
    """In quotes."""
    last_modified: datetime
    file: str
    """Under which name its content lies."""
    properties: BlobProperties
    blocks: Sequence[Block] = ()
    """Of what it was put together, in order; none if it came in one piece."""
