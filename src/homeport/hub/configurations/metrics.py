"""What is counted of configurations: their own numbers, and the rows of their queries (contract hub.md 11.1)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from homeport.hub.configurations.content import EDGE_AGENT
from homeport.hub.model import Configuration, ConfigurationResults, Twin
from homeport.hub.query import Aggregation, Query, QueryError, Source, holds, parse
from homeport.hub.selection import bare_condition

_OF_DEVICES = "select deviceId from devices"
_OF_MODULES = "select deviceId from devices.modules"

TARGETED = "targetedCount"
APPLIED = "appliedCount"


class EdgeReport(Enum):
    """What the Edge agent says of the deployment it was given last."""

    SUCCESSFUL = "reportedSuccessfulCount"
    FAILED = "reportedFailedCount"


_FIRST_FAILURE = 400


def edge_report(agent: Twin) -> EdgeReport | None:
    """Read the Edge agent's twin; None as long as it has said nothing of what is desired now."""
    reported = agent.reported.content
    last = reported.get("lastDesiredStatus")
    code = last.get("code") if isinstance(last, Mapping) else None
    if reported.get("lastDesiredVersion") != agent.desired.version or not isinstance(code, int):
        return None
    return EdgeReport.FAILED if code >= _FIRST_FAILURE else EdgeReport.SUCCESSFUL


def read_metric(text: str) -> Query:
    """Read the query of a metric, over devices or modules. Raises QueryError."""
    query = parse(text)
    if query.source is Source.JOBS:
        raise QueryError("A metric is a query of devices or devices.modules.")
    return query


def system_queries(configuration: Configuration) -> dict[str, str]:
    """Return queries that find what the system metrics count, for those who want to see it."""
    condition = bare_condition(configuration.target_condition)
    content = configuration.content
    rows = _OF_MODULES if content.module is not None else _OF_DEVICES
    status = f"configurations.[[{configuration.configuration_id}]].status"
    if content.modules is None:
        return {TARGETED: f"{rows} where {condition}", APPLIED: f"{rows} where {status} = 'Applied'"}
    agents = f"{_OF_MODULES} where moduleId = '{EDGE_AGENT}' and {status} = 'Applied'"
    code = "properties.reported.lastDesiredStatus.code"
    return {
        TARGETED: f"{rows} where capabilities.iotEdge = true and ({condition})",
        APPLIED: agents,
        EdgeReport.SUCCESSFUL.value: f"{agents} and {code} < {_FIRST_FAILURE}",
        EdgeReport.FAILED.value: f"{agents} and {code} >= {_FIRST_FAILURE}",
    }


class Tally:
    """Counts in one pass over all twins."""

    def __init__(self, configurations: Iterable[Configuration]) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._rows = [
            (each.configuration_id, name, _Rows(read_metric(text)))
            for each in configurations
            for name, text in each.metrics.items()
        ]
        for each in configurations:
            names = [TARGETED, APPLIED]
            if each.content.modules is not None:
                names += [report.value for report in EdgeReport]
            self._counts[each.configuration_id] = Counter(dict.fromkeys(names, 0))

    def add(self, configurations: Iterable[Configuration], metric: str) -> None:
        """Count one twin for each of these."""
        for each in configurations:
            self._counts[each.configuration_id][metric] += 1

    def add_row(self, source: Source, document: Mapping[str, Any]) -> None:
        """Let a twin's document be judged by every custom metric."""
        for _, _, rows in self._rows:
            rows.add(source, document)

    def results(self) -> dict[str, ConfigurationResults]:
        """Return what was counted, by configuration."""
        custom: dict[str, dict[str, int]] = {}
        for configuration_id, name, rows in self._rows:
            custom.setdefault(configuration_id, {})[name] = rows.count()
        return {
            configuration_id: ConfigurationResults(system=dict(counts), custom=custom.get(configuration_id, {}))
            for configuration_id, counts in self._counts.items()
        }


class _Rows:
    """How many rows a query would have."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._groups = Aggregation(query) if query.aggregates else None
        self._count = 0

    def add(self, source: Source, document: Mapping[str, Any]) -> None:
        if source is not self._query.source or not holds(self._query.condition, document):
            return
        if self._groups is None:
            self._count += 1
        else:
            self._groups.add(document)

    def count(self) -> int:
        count = self._count if self._groups is None else sum(1 for _ in self._groups.rows())
        return count if self._query.top is None else min(count, self._query.top)
