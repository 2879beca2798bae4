"""What a service has, as it is compared with what is declared."""

from dataclasses import dataclass, field

from homeport.ascode.documents import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """One thing that a service has."""

    name: str
    document: JsonObject = field(repr=False)
    """As compared: see `documents.canonical`."""
    etag: str | None = None
