"""Twins (contract hub.md 6)."""

import base64
from collections.abc import Mapping

from msgspec import Struct, field

from homeport.hub.model.documents import JsonObject
from homeport.hub.model.identity import DeviceIdentity


class TwinSection(Struct, frozen=True, kw_only=True):
    """Desired or reported properties: the content, the time of each change, and the section's version.

    `metadata` mirrors `content` (`$lastUpdated`, for desired also `$lastUpdatedVersion`; contract hub.md 6.1).
    """

    content: JsonObject
    metadata: JsonObject
    version: int = 1


class Twin(Struct, frozen=True, kw_only=True):
    """The device's document in a hub; created and deleted with its identity."""

    device_id: str
    version: int = 1
    """Counts changes of tags and desired; the etag is made from it."""
    tags: JsonObject
    desired: TwinSection
    reported: TwinSection
    model_id: str | None = None
    configurations: Mapping[str, str] = field(default_factory=dict)
    """The status of each configuration that selects this twin (contract hub.md 11.3)."""

    @property
    def etag(self) -> str:
        """The Base64 of the version as eight big-endian bytes (contract hub.md 3.4)."""
        return base64.b64encode(self.version.to_bytes(8)).decode()


class Device(Struct, frozen=True, kw_only=True):
    """An identity and its twin, which are read and written together."""

    identity: DeviceIdentity
    twin: Twin
