"""Tries routes with a message that nobody sent: what each says, and where the message would arrive. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from homeport.hub.identifiers import device_of, module_of
from homeport.hub.model import MessageSource, Outgoing, Route, Routing, Telemetry, Twin
from homeport.hub.routing.router import Match, Router
from homeport.values import replace

_SYSTEM = {
    "messageid": "mid",
    "correlationid": "cid",
    "userid": "uid",
    "to": "to",
    "contenttype": "ct",
    "contentencoding": "ce",
    "outputname": "on",
    "messageschema": "schema",
}
_ANNOTATED = {
    "connectiondeviceid": "iothub-connection-device-id",
    "connectionmoduleid": "iothub-connection-module-id",
    "interfaceid": "iothub-interface-id",
    "creationtimeutc": "iothub-creation-time-utc",
}


class Trial(Struct, frozen=True, kw_only=True):
    """What came of it."""

    matches: Sequence[Match]
    deliveries: Sequence[Outgoing]


def sample(
    identity: str,
    source: MessageSource,
    body: bytes,
    *,
    properties: Mapping[str, str | None],
    system: Mapping[str, str | None],
    now: datetime,
) -> Telemetry:
    """Return a message as the hub would have it; names of system properties come in any letter case."""
    annotations = {"iothub-connection-device-id": device_of(identity), "iothub-message-source": source.annotation}
    if module_id := module_of(identity):
        annotations["iothub-connection-module-id"] = module_id
    keys: dict[str, str | None] = {}
    for name, value in system.items():
        if (key := _ANNOTATED.get(name.lower())) is not None:
            annotations[key] = value or ""
        else:
            keys[_SYSTEM.get(name.lower(), name)] = value
    return Telemetry(
        device_id=device_of(identity),
        body=body,
        system=keys,
        properties=properties,
        annotations=annotations,
        enqueued_at=now,
    )


def try_routes(
    routing: Routing, hub: str, source: MessageSource, message: Telemetry, twin: Twin | None, alone: Route | None = None
) -> Trial:
    """Ask the routes, or one that need not be there `alone`, about a message. Nothing is sent."""
    if alone is not None:
        routing = replace(routing, routes=(alone,), fallback=False)
    router = Router(routing, hub)
    return Trial(
        matches=router.matches(source, message, twin),
        deliveries=router.route(source, message, twin),
    )
