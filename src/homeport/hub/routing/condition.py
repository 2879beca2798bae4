"""The conditions of routes: read, and judged for a message (contract hub.md 8.2; Azure's routing query syntax). Pure.

An application property stands by its name, a system property by `$` and its name, in any letter case. `$body` is the
message's JSON, `$twin` the device's twin. `{…}` quotes a name that is no word. What is not there is undefined, and what
is undefined matches nothing.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from homeport.hub.model import Telemetry, Twin, format_time
from homeport.hub.query import ROUTE_FUNCTIONS, UNDEFINED, QueryError, attributes_of, parse_condition, renamed, value_of
from homeport.hub.query.syntax import Expression, Literal

_PROPERTIES, _SYSTEM, _BODY, _TWIN = "properties", "system", "$body", "$twin"

_SYSTEM_KEYS: Mapping[str, str] = {
    "messageid": "mid",
    "correlationid": "cid",
    "userid": "uid",
    "to": "to",
    "contenttype": "ct",
    "contentencoding": "ce",
    "expirytimeutc": "exp",
    "outputname": "on",
    "messageschema": "schema",
    "creationtimeutc": "ctime",
    "connectiondeviceid": "iothub-connection-device-id",
    "connectionmoduleid": "iothub-connection-module-id",
    "connectionauthmethod": "iothub-connection-auth-method",
    "interfaceid": "iothub-interface-id",
    "messagesource": "iothub-message-source",
    "dt-dataschema": "dt-dataschema",
    "dt-subject": "dt-subject",
    "enqueuedtime": "iothub-enqueuedtime",
}
"""The names of system properties in lower case, and where a message has them: system key or annotation."""
_ENQUEUED = "iothub-enqueuedtime"
_TWIN_PATHS = (("tags",), ("properties", "desired"), ("properties", "reported"))
_ENCODINGS = {"utf-8": "utf-8", "utf8": "utf-8", "utf-16": "utf-16", "utf-32": "utf-32"}


class Condition(Struct, frozen=True, kw_only=True):
    """A condition, and what of a message and its device it is about."""

    expression: Expression
    needs_system: bool
    needs_body: bool
    needs_twin: bool

    @property
    def always(self) -> bool:
        """Whether every message satisfies it."""
        return isinstance(self.expression, Literal) and self.expression.value is True

    def value(self, document: Mapping[str, Any]) -> bool | None:
        """Return whether a message's document satisfies it; None for undefined, which is not a match."""
        value = value_of(self.expression, document)
        return value if isinstance(value, bool) else None


def read_condition(text: str) -> Condition:
    """Read a condition; nothing is `true`. Raises QueryError."""
    parsed = parse_condition(text, None, functions=ROUTE_FUNCTIONS)
    expression = Literal(True) if parsed is None else renamed(parsed, _renamed)
    roots = {path[0] for path in attributes_of(expression)}
    return Condition(
        expression=expression, needs_system=_SYSTEM in roots, needs_body=_BODY in roots, needs_twin=_TWIN in roots
    )


def document_of(message: Telemetry, twin: Twin | None, *, system: bool = True, body: bool) -> dict[str, Any]:
    """Return what conditions see of a message; system properties and its JSON only if they are asked for."""
    document: dict[str, Any] = {_PROPERTIES: {name.lower(): value for name, value in message.properties.items()}}
    if system:
        enqueued = format_time(message.enqueued_at)
        document[_SYSTEM] = {**message.system, **message.annotations, _ENQUEUED: enqueued}
    if twin is not None:
        document[_TWIN] = twin_view(twin)
    if body:
        document[_BODY] = _json(message)
    return document


def twin_view(twin: Twin) -> dict[str, Any]:
    """Return a twin as `$twin` shows it."""
    return {
        "tags": twin.tags,
        "properties": {"desired": twin.desired.content, "reported": twin.reported.content},
    }


def twin_path(text: str) -> tuple[str, ...]:
    """Read the path of a value in a twin: `$twin.tags.site`. Raises QueryError for anything else."""
    expression = read_condition(f"IS_DEFINED({text})").expression
    (path,) = attributes_of(expression)
    if path[0] != _TWIN:
        raise QueryError(f"'{text[:60]}' is no path into a twin.")
    return path[1:]


def _renamed(path: tuple[str, ...]) -> tuple[str, ...]:
    """Say where in a message's document an attribute is. Raises QueryError for what no message has."""
    first = path[0].lower()
    if not first.startswith("$"):
        return (_PROPERTIES, ".".join(path).lower())
    if first == _BODY:
        return (_BODY, *path[1:])
    if first == _TWIN:
        rest = (path[1].lower(), *path[2:]) if len(path) > 1 else ()
        if rest[:1] == ("properties",) and len(rest) > 1:
            rest = ("properties", rest[1].lower(), *rest[2:])
        if not any(rest[: len(known)] == known for known in _TWIN_PATHS):
            raise QueryError("$twin has tags, properties.desired and properties.reported.")
        return (_TWIN, *rest)
    key = _SYSTEM_KEYS.get(first[1:])
    if key is None or len(path) > 1:
        raise QueryError(f"'{'.'.join(path)[:60]}' is no system property, nor $body or $twin.")
    return (_SYSTEM, key)


def _json(message: Telemetry) -> Any:
    """Return the body as JSON if it says that it is some, in an encoding that it names; else UNDEFINED."""
    content_type = (message.system.get("ct") or "").partition(";")[0].strip().lower()
    encoding = _ENCODINGS.get((message.system.get("ce") or "").strip().lower())
    if content_type not in {"application/json", "application/json-patch+json"} or encoding is None:
        return UNDEFINED
    try:
        text = message.body if encoding == "utf-8" else message.body.decode(encoding).encode()
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return UNDEFINED
