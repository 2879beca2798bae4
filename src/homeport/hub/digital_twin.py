"""A device's twin as a Plug and Play digital twin, and JSON patches of it (contract hub.md 12). Pure.

A component is a section object with `"__t": "c"`. A reported object `{"value", "ac", "av", "ad"}` acknowledges a
desired value. Models are not read: what is a component, and what a property, is told by the twin alone.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import Device, JsonObject

_MARK = "__t"
_COMPONENT = "c"
_METADATA = "$metadata"
_ACKNOWLEDGED = frozenset({"value", "ac", "av"})
_ACKNOWLEDGING = _ACKNOWLEDGED | {"ad"}


class Operation(StrEnum):
    ADD = "add"
    REPLACE = "replace"
    REMOVE = "remove"


class Step(Struct, frozen=True, kw_only=True):
    """One operation of a patch, on `/{property}`, `/{component}` or `/{component}/{property}`."""

    operation: Operation
    path: tuple[str, ...]
    value: Any = None


def is_component(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get(_MARK) == _COMPONENT


def digital_twin(device: Device) -> dict[str, Any]:
    """Write the document: reported values, and for each property in `$metadata` what is desired and acknowledged."""
    twin = device.twin
    desired, reported = twin.desired, twin.reported
    metadata: dict[str, Any] = {"$model": twin.model_id or ""}
    document: dict[str, Any] = {"$dtId": twin.device_id, _METADATA: metadata}
    for name in sorted(desired.content.keys() | reported.content.keys()):
        wanted, said = desired.content.get(name), reported.content.get(name)
        wanted_metadata, said_metadata = desired.metadata.get(name, {}), reported.metadata.get(name, {})
        if is_component(wanted) or is_component(said):
            document[name] = _component(
                wanted if isinstance(wanted, Mapping) else {},
                said if isinstance(said, Mapping) else {},
                wanted_metadata,
                said_metadata,
            )
        else:
            _put(
                document,
                metadata,
                name,
                _Property(desired.content, reported.content, wanted_metadata, said_metadata),
            )
    return document


class _Property(Struct, frozen=True):
    """Where a property stands: the sections or components around it, and its own metadata."""

    desired: JsonObject
    reported: JsonObject
    desired_metadata: JsonObject
    reported_metadata: JsonObject


def _component(
    desired: JsonObject, reported: JsonObject, desired_metadata: JsonObject, reported_metadata: JsonObject
) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    document: dict[str, Any] = {_METADATA: metadata}
    for name in sorted((desired.keys() | reported.keys()) - {_MARK}):
        where = _Property(desired, reported, desired_metadata.get(name, {}), reported_metadata.get(name, {}))
        _put(document, metadata, name, where)
    return document


def _put(document: dict[str, Any], metadata: dict[str, Any], name: str, where: _Property) -> None:
    told: dict[str, Any] = {}
    if name in where.desired:
        told["desiredValue"] = where.desired[name]
        told["desiredVersion"] = where.desired_metadata.get("$lastUpdatedVersion", 1)
        told["lastUpdateTime"] = where.desired_metadata.get("$lastUpdated")
    if name in where.reported:
        value = where.reported[name]
        if isinstance(value, Mapping) and _ACKNOWLEDGED <= value.keys() <= _ACKNOWLEDGING:
            told |= {"ackValue": value["value"], "ackVersion": value["av"], "ackCode": value["ac"]}
            told["ackDescription"] = value.get("ad", "")
            value = value["value"]
        document[name] = value
        told["lastUpdateTime"] = where.reported_metadata.get("$lastUpdated")
    metadata[name] = told


def patched(device: Device, steps: Sequence[Step]) -> dict[str, Any]:
    """Return the desired properties after a patch.

    Raises HubError INVALID_PATCH_PATH or INVALID_DIGITAL_TWIN_PAYLOAD.
    """
    content = dict(device.twin.desired.content)
    for step in steps:
        name = step.path[0]
        wanted, said = content.get(name), device.twin.reported.content.get(name)
        known = is_component(wanted) or is_component(said)
        if len(step.path) == 1:
            _change(content, name, step.operation, _value(step, known=known))
            continue
        if not known and (wanted is not None or said is not None):
            raise HubError(HubCode.INVALID_PATCH_PATH, f"{name} is a property, not a component.")
        component = {_MARK: _COMPONENT, **(wanted if isinstance(wanted, Mapping) else {})}
        _change(component, step.path[1], step.operation, step.value)
        if step.operation is not Operation.REMOVE or wanted is not None:
            content[name] = component
    return content


def _change(content: dict[str, Any], name: str, operation: Operation, value: Any) -> None:
    if operation is Operation.REMOVE:
        content.pop(name, None)
    else:
        content[name] = value


def _value(step: Step, *, known: bool) -> Any:
    """Return what is written at the top: a component is told by its `$metadata`, which is not written."""
    value = step.value
    if step.operation is Operation.REMOVE:
        return None
    if isinstance(value, Mapping) and _METADATA in value:
        return {_MARK: _COMPONENT, **{name: each for name, each in value.items() if name != _METADATA}}
    if known:
        raise HubError(
            HubCode.INVALID_DIGITAL_TWIN_PAYLOAD,
            f'The value of the component {step.path[0]} needs "{_METADATA}": {{}}.',
        )
    return value
