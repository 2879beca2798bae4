"""A hub's configurations as Python values (contract hub.md 11)."""

from datetime import datetime
from typing import Any

import msgspec

Settings = dict[str, Any]
"""Dotted paths below `properties.desired`, and their values."""


class ConfigurationContent(msgspec.Struct, rename="camel", kw_only=True, frozen=True, omit_defaults=True):
    """What a configuration writes: just one of the three."""

    device_content: Settings | None = None
    module_content: Settings | None = None
    modules_content: dict[str, Settings] | None = None
    """By module: a deployment for Edge devices."""


class ConfigurationMetrics(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """Queries by name, and how many rows each found when the hub last looked."""

    results: dict[str, int] = {}
    queries: dict[str, str] = {}


class Configuration(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """What the devices that a condition targets are to have in their desired properties.

    Times, etag, results and system metrics are the hub's and are not written.
    """

    id: str
    content: ConfigurationContent
    target_condition: str = ""
    """`*`, or what stands after WHERE; empty targets none."""
    priority: int = 0
    """Where several target a device, the highest wins, then the newest."""
    labels: dict[str, str] = {}
    metrics: ConfigurationMetrics = ConfigurationMetrics()
    schema_version: str = "1.0"
    created_time_utc: datetime | None = None
    last_updated_time_utc: datetime | None = None
    system_metrics: ConfigurationMetrics = ConfigurationMetrics()
    etag: str | None = None


class ConfigurationTest(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """What is wrong with a condition and with metrics; None and nothing if all is well."""

    target_condition_error: str | None = None
    custom_metric_query_errors: dict[str, str] = {}
