"""Twins (contract hub.md 6)."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field

from homeport.hub.model.documents import JsonObject
from homeport.hub.model.identity import DeviceIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinSection:
    """Desired or reported properties: the content, the time of each change, and the section's version.

    `metadata` mirrors `content` (`$lastUpdated`, for desired also `$lastUpdatedVersion`; contract hub.md 6.1).
    """

    content: JsonObject
    metadata: JsonObject
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An identity and its twin, which are read and written together."""

    identity: DeviceIdentity
    twin: Twin
