"""Decides where a message goes: routes, the fallback route, and enrichments on the way (contract hub.md 21.2). Pure.

A message that several routes send to one endpoint arrives there once. What no route takes goes to the built-in
endpoint, if it is a device's message and the fallback route is on; anything else is dropped.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from homeport.hub.model import BUILT_IN, Enrichment, MessageSource, Outgoing, Route, Routing, Telemetry, Twin
from homeport.hub.query import QueryError
from homeport.hub.routing.condition import Condition, document_of, read_condition, twin_path, twin_view
from homeport.values import replace

HUB_NAME = "$iothubname"


class Match(Struct, frozen=True, kw_only=True):
    """What a route says of a message; `value` None is undefined."""

    route: Route
    value: bool | None


class Addition(Struct, frozen=True, kw_only=True):
    """An enrichment that has been read: a text, or a path into the twin."""

    key: str
    text: str
    path: tuple[str, ...] | None


class _Needs(Struct, frozen=True, kw_only=True):
    """What must be known of a message to route it."""

    system: bool
    body: bool
    twin: bool


class Router:
    """One hub's routing, ready to decide."""

    def __init__(self, routing: Routing, hub: str) -> None:
        """Read the conditions; a route whose condition cannot be read (none was taken like that) matches nothing."""
        self.routing = routing
        self._partitions = {
            BUILT_IN: routing.built_in_partitions,
            **{endpoint.name: endpoint.partitions for endpoint in routing.endpoints},
        }
        self._routes: dict[MessageSource, list[tuple[Route, Condition]]] = {source: [] for source in MessageSource}
        for route in routing.routes:
            if route.enabled:
                try:
                    self._routes[route.source].append((route, read_condition(route.condition)))
                except QueryError:
                    continue
        self._additions: defaultdict[str, list[Addition]] = defaultdict(list)
        for enrichment in routing.enrichments:
            addition = read_enrichment(enrichment, hub)
            for endpoint in enrichment.endpoints:
                self._additions[endpoint].append(addition)
        self._needs = {source: self._what_is_needed(source) for source in MessageSource}
        self.plain = (
            routing.fallback and not self._routes[MessageSource.DEVICE_MESSAGES] and BUILT_IN not in self._additions
        )
        """Whether device messages go to the built-in endpoint as they are: then nobody need ask."""

    def takes(self, source: MessageSource) -> bool:
        """Tell whether anything of this source goes anywhere; if not, no event need be made."""
        return bool(self._routes[source]) or (source is MessageSource.DEVICE_MESSAGES and self.routing.fallback)

    def needs_twin(self, source: MessageSource) -> bool:
        """Tell whether the device's twin must be known to route messages of this source."""
        return self._needs[source].twin

    def route(self, source: MessageSource, message: Telemetry, twin: Twin | None) -> Sequence[Outgoing]:
        """Return the message for each endpoint that it goes to."""
        routes, needs = self._routes[source], self._needs[source]
        endpoints: dict[str, None] = {}
        if routes:
            document: Mapping[str, Any] | None = None
            for route, condition in routes:
                if not condition.always:
                    if document is None:
                        document = document_of(message, twin, system=needs.system, body=needs.body)
                    if condition.value(document) is not True:
                        continue
                endpoints.update(dict.fromkeys(route.endpoints))
        if not endpoints and source is MessageSource.DEVICE_MESSAGES and self.routing.fallback:
            endpoints[BUILT_IN] = None
        enriched = source is not MessageSource.DIGITAL_TWIN_CHANGES
        return [
            Outgoing(
                endpoint=name,
                partitions=self._partitions[name],
                message=self._enriched(message, name, twin) if enriched else message,
            )
            for name in endpoints
            if name in self._partitions
        ]

    def matches(self, source: MessageSource, message: Telemetry, twin: Twin | None) -> Sequence[Match]:
        """Return what each enabled route of the source says of a message."""
        document = document_of(message, twin, body=True)
        return [Match(route=route, value=condition.value(document)) for route, condition in self._routes[source]]

    def _what_is_needed(self, source: MessageSource) -> "_Needs":
        conditions = [condition for _, condition in self._routes[source]]
        return _Needs(
            system=any(each.needs_system for each in conditions),
            body=any(each.needs_body for each in conditions),
            twin=self._looks_at_twin(source),
        )

    def _looks_at_twin(self, source: MessageSource) -> bool:
        reached = {name for route, _ in self._routes[source] for name in route.endpoints}
        if source is MessageSource.DEVICE_MESSAGES and self.routing.fallback:
            reached.add(BUILT_IN)
        return any(condition.needs_twin for _, condition in self._routes[source]) or any(
            addition.path is not None for name in reached for addition in self._additions.get(name, ())
        )

    def _enriched(self, message: Telemetry, endpoint: str, twin: Twin | None) -> Telemetry:
        additions = self._additions.get(endpoint)
        if not additions:
            return message
        view = None if twin is None else twin_view(twin)
        added = {addition.key: _value(addition, view) for addition in additions}
        return replace(message, properties={**message.properties, **added})


def read_enrichment(enrichment: Enrichment, hub: str) -> Addition:
    """Read an enrichment's value; a text that is no path into a twin is meant as it stands."""
    value = enrichment.value
    if value.lower() == HUB_NAME:
        return Addition(key=enrichment.key, text=hub, path=None)
    path = None
    if value.lower().startswith("$twin."):
        try:
            path = twin_path(value)
        except QueryError:
            path = None
    return Addition(key=enrichment.key, text=value, path=path)


def _value(addition: Addition, view: Any) -> str:
    """Return what a message is given; the path itself where the twin has no such value, as Azure does."""
    if addition.path is None:
        return addition.text
    for name in addition.path:
        if not isinstance(view, Mapping) or name not in view:
            return addition.text
        view = view[name]
    return view if isinstance(view, str) else msgspec.json.encode(view).decode()
