"""The documents of configurations exactly as clients see them (contract hub.md 11)."""

from typing import Any

from msgspec.json import Decoder

from homeport.wire import WireStruct


class Content(WireStruct, frozen=True, kw_only=True):
    device_content: dict[str, Any] | None = None
    modules_content: dict[str, dict[str, Any]] | None = None
    module_content: dict[str, Any] | None = None


class Metrics(WireStruct, frozen=True, kw_only=True):
    results: dict[str, int] | None = None
    queries: dict[str, str] | None = None


class ConfigurationWrite(WireStruct, frozen=True, kw_only=True):
    """What a client may set; metrics' results come back from it and are not read."""

    id: str | None = None
    schema_version: str | None = None
    labels: dict[str, str] | None = None
    content: Content | None = None
    target_condition: str | None = None
    priority: int | None = None
    metrics: Metrics | None = None


class Configuration(WireStruct, frozen=True, kw_only=True):
    id: str
    schema_version: str
    labels: dict[str, str]
    content: Content
    target_condition: str
    created_time_utc: str
    last_updated_time_utc: str
    priority: int
    system_metrics: Metrics
    metrics: Metrics
    etag: str


class TestQueries(WireStruct, frozen=True, kw_only=True):
    target_condition: str | None = None
    custom_metric_queries: dict[str, str] | None = None


class TestQueriesResult(WireStruct, frozen=True, kw_only=True):
    target_condition_error: str | None
    custom_metric_query_errors: dict[str, str]


configuration_decoder = Decoder(ConfigurationWrite)
content_decoder = Decoder(Content)
test_decoder = Decoder(TestQueries)
