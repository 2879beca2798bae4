"""Configurations and deployments: what a hub keeps in the desired properties of many twins (contract hub.md 11)."""

import base64
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field

from homeport.hub.model.documents import JsonObject

Settings = JsonObject
"""Values by where they belong: `properties.desired`, or a dotted path below it."""


class ConfigurationContent(Struct, frozen=True, kw_only=True):
    """What is written: to devices, to modules, or, by module, to the modules of Edge devices. Just one is given."""

    device: Settings | None = None
    module: Settings | None = None
    modules: Mapping[str, Settings] | None = None


class ConfigurationStatus(StrEnum):
    """What a configuration is to one twin it selects: written there, or outdone by one of a higher priority."""

    TARGETED = "Targeted"
    APPLIED = "Applied"


class ConfigurationResults(Struct, frozen=True, kw_only=True):
    """What was counted last, by the metric's name."""

    system: Mapping[str, int] = field(default_factory=dict)
    custom: Mapping[str, int] = field(default_factory=dict)


class Configuration(Struct, frozen=True, kw_only=True):
    """A configuration; with `content.modules` a deployment. The content never changes."""

    configuration_id: str
    schema_version: str
    labels: Mapping[str, str]
    content: ConfigurationContent
    target_condition: str
    priority: int
    metrics: Mapping[str, str]
    """Queries by the metric's name; a metric is how many rows its query has."""
    created_at: datetime
    updated_at: datetime
    version: int = 1
    results: ConfigurationResults = field(default_factory=ConfigurationResults)

    @property
    def etag(self) -> str:
        return base64.b64encode(str(self.version).encode()).decode()
