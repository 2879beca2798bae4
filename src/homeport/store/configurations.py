"""The configurations of one hub in SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import Configuration, ConfigurationContent, ConfigurationResults
from homeport.store.database import Database, Parameters, Row, Transaction, Value
from homeport.store.rows import Codec, key_of

_COLUMNS = "configuration_id, version, data, results"
_ONE = "WHERE hub = :hub AND configuration_id = :configuration_id"
_LIVING = "is_deleted = 0"

_ALL = f"SELECT {_COLUMNS} FROM configurations WHERE hub = :hub AND {_LIVING} ORDER BY configuration_id"
_GET = f"SELECT {_COLUMNS} FROM configurations {_ONE} AND {_LIVING}"
_COUNT = f"SELECT count(*) FROM configurations WHERE hub = :hub AND {_LIVING}"
_CREATE = """
    INSERT INTO configurations (hub, configuration_id, version, is_deleted, data, results)
    VALUES (:hub, :configuration_id, :version, 0, :data, :results)
    ON CONFLICT (hub, configuration_id) DO UPDATE
    SET version = excluded.version, is_deleted = 0, data = excluded.data, results = excluded.results
    WHERE configurations.is_deleted = 1"""
_REPLACE = f"UPDATE configurations SET version = :version, data = :data {_ONE} AND {_LIVING} AND version = :expected"
_DELETE = f"""
    UPDATE configurations SET is_deleted = 1 {_ONE} AND {_LIVING}
    AND (CAST(:expected AS BIGINT) IS NULL OR version = :expected)"""
_TRACES = "SELECT configuration_id FROM configurations WHERE hub = :hub AND is_deleted = 1 ORDER BY configuration_id"
_RECORD = f"UPDATE configurations SET results = :results {_ONE} AND {_LIVING}"
_FORGET = f"DELETE FROM configurations {_ONE} AND is_deleted = 1"


class ContentRow(Struct, omit_defaults=True):
    device: dict[str, Any] | None = None
    module: dict[str, Any] | None = None
    modules: dict[str, dict[str, Any]] | None = None


class ConfigurationRow(Struct, kw_only=True):
    schema_version: str
    labels: dict[str, str]
    content: ContentRow
    target_condition: str
    priority: int
    metrics: dict[str, str]
    created_at: datetime
    updated_at: datetime


class ResultsRow(Struct):
    system: dict[str, int]
    custom: dict[str, int]


_codec = Codec(ConfigurationRow)
_results_codec = Codec(ResultsRow)


class SqlConfigurationStore:
    """ConfigurationStore of one hub over a Database."""

    def __init__(self, database: Database, hub: str) -> None:
        self._database = database
        self._hub = key_of(hub)

    async def create(self, configuration: Configuration, *, limit: int) -> None:
        values: Parameters = {
            "hub": self._hub,
            **_values(configuration),
            "results": _results_values(configuration.results),
        }

        async def work(transaction: Transaction) -> None:
            if not await transaction.execute(_CREATE, values):
                raise HubError(
                    HubCode.CONFIGURATION_ALREADY_EXISTS,
                    f"There is a configuration {configuration.configuration_id} already.",
                )
            count = await transaction.fetch_one(_COUNT, {"hub": self._hub})
            if count is not None and count[0] > limit:
                raise HubError(HubCode.TOO_MANY_CONFIGURATIONS, f"A hub has at most {limit} configurations.")

        await self._database.write(work)

    async def get(self, configuration_id: str) -> Configuration | None:
        row = await self._database.fetch_one(_GET, {"hub": self._hub, "configuration_id": configuration_id})
        return None if row is None else _configuration(row)

    async def all(self) -> Sequence[Configuration]:
        return [_configuration(row) for row in await self._database.fetch_all(_ALL, {"hub": self._hub})]

    async def replace(self, configuration: Configuration, *, expected_version: int) -> bool:
        values = {"hub": self._hub, **_values(configuration), "expected": expected_version}
        return await self._database.execute(_REPLACE, values) > 0

    async def delete(self, configuration_id: str, *, expected_version: int | None) -> bool:
        where: Parameters = {"hub": self._hub, "configuration_id": configuration_id, "expected": expected_version}
        return await self._database.execute(_DELETE, where) > 0

    async def traces(self) -> Sequence[str]:
        return [row[0] for row in await self._database.fetch_all(_TRACES, {"hub": self._hub})]

    async def record(self, results: Mapping[str, ConfigurationResults], *, rid_of: Sequence[str]) -> None:
        async def work(transaction: Transaction) -> None:
            for configuration_id, counted in results.items():
                await transaction.execute(
                    _RECORD,
                    {
                        "hub": self._hub,
                        "configuration_id": configuration_id,
                        "results": _results_values(counted),
                    },
                )
            for configuration_id in rid_of:
                await transaction.execute(_FORGET, {"hub": self._hub, "configuration_id": configuration_id})

        await self._database.write(work)


def _values(configuration: Configuration) -> dict[str, Value]:
    content = configuration.content
    row = ConfigurationRow(
        schema_version=configuration.schema_version,
        labels=dict(configuration.labels),
        content=ContentRow(
            device=None if content.device is None else dict(content.device),
            module=None if content.module is None else dict(content.module),
            modules=None
            if content.modules is None
            else {name: dict(settings) for name, settings in content.modules.items()},
        ),
        target_condition=configuration.target_condition,
        priority=configuration.priority,
        metrics=dict(configuration.metrics),
        created_at=configuration.created_at,
        updated_at=configuration.updated_at,
    )
    return {
        "configuration_id": configuration.configuration_id,
        "version": configuration.version,
        "data": _codec.encode(row),
    }


def _results_values(results: ConfigurationResults) -> str:
    return _results_codec.encode(ResultsRow(dict(results.system), dict(results.custom)))


def _configuration(columns: Row) -> Configuration:
    configuration_id, version, data, results = columns
    row, counted = _codec.decode(data), _results_codec.decode(results)
    return Configuration(
        configuration_id=configuration_id,
        schema_version=row.schema_version,
        labels=row.labels,
        content=ConfigurationContent(device=row.content.device, module=row.content.module, modules=row.content.modules),
        target_condition=row.target_condition,
        priority=row.priority,
        metrics=row.metrics,
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=version,
        results=ConfigurationResults(system=counted.system, custom=counted.custom),
    )
