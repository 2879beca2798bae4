"""What a service has, as it is compared with what is declared."""

from msgspec import Struct

from homeport.ascode.documents import JsonObject
from homeport.values import hiding


@hiding("document")
class Existing(Struct, frozen=True, kw_only=True):
    """One thing that a service has."""

    name: str
    document: JsonObject
    """As compared: see `documents.canonical`."""
    etag: str | None = None
