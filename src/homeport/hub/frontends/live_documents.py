"""What live readers and administrators are told of a hub, as documents: messages, connections, twins, identities."""

import base64
from typing import Any

import msgspec

from homeport.hub.identifiers import device_of, module_of
from homeport.hub.model import (
    SERVICE_NAMES,
    Device,
    DeviceIdentity,
    JsonObject,
    StoredTelemetry,
    TwinSection,
    format_time,
)

MAX_JSON_DEPTH = 32
"""A device's JSON nested deeper is handed on as text, so that no reader's parser gives up on the whole answer."""

_SYSTEM_NAMES = {
    **SERVICE_NAMES,
    "ctime": "creationTimeUtc",
    "cdid": "connectionDeviceId",
    "cmid": "connectionModuleId",
    "ifid": "interfaceId",
    "sub": "component",
}


def telemetry_document(stored: StoredTelemetry) -> dict[str, Any]:
    """Return a message as JSON: `body` is JSON, text or Base64 as `bodyEncoding` (json, text, base64) says.

    System properties have the names service SDKs give them (contract hub.md 13.4, 21.1).
    """
    message = stored.telemetry
    encoding, body = _readable(message.body, (message.system.get("ct") or "").lower())
    return {
        "deviceId": message.device_id,
        "partition": stored.partition,
        "offset": stored.offset,
        "enqueuedTime": format_time(message.enqueued_at),
        "size": len(message.body),
        "bodyEncoding": encoding,
        "body": body,
        "systemProperties": {_SYSTEM_NAMES.get(key, key): value for key, value in message.system.items()},
        "properties": dict(message.properties),
        "annotations": dict(message.annotations),
    }


def _readable(body: bytes, content_type: str) -> tuple[str, Any]:
    """Choose the form in which people can read a body; JSON only if it says so or looks it."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "base64", base64.b64encode(body).decode()
    if "json" in content_type or text.lstrip()[:1] in {"{", "["}:
        try:
            document = msgspec.json.decode(body)
            # Written once to know that it can be: lone surrogates and such can be read but not said again.
            if _is_shallow(document, MAX_JSON_DEPTH):
                return "json", msgspec.Raw(msgspec.json.encode(document))
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
            pass
    if all(character.isprintable() or character in "\t\r\n" for character in text):
        return "text", text
    return "base64", base64.b64encode(body).decode()


def _is_shallow(document: Any, depth: int) -> bool:
    if not isinstance(document, dict | list):
        return True
    members = document.values() if isinstance(document, dict) else document
    return depth > 0 and all(_is_shallow(member, depth - 1) for member in members)


def connection_document(identity: DeviceIdentity) -> dict[str, Any]:
    """Return how a device is connected now."""
    return {
        "deviceId": identity.device_id,
        "connectionState": identity.connection_state.value,
        "connectionStateUpdatedTime": format_time(identity.connection_state_updated_at),
        "lastActivityTime": format_time(identity.last_activity_at),
    }


def identity_document(device_id: str, identity: DeviceIdentity | None) -> dict[str, Any]:
    """Return how an identity is now; None: it is gone."""
    if identity is None:
        return {**_named(device_id), "status": "deleted"}
    return {**_named(device_id), "status": identity.status.value, "statusReason": identity.status_reason}


TwinPlace = tuple[int, str, str]
"""What somebody knows of a twin: its version, and when each section was last changed."""


def twin_place(device: Device) -> TwinPlace:
    """Return what whoever sees this twin knows of it."""
    twin = device.twin
    return twin.version, _changed_at(twin.desired.metadata), _changed_at(twin.reported.metadata)


def twin_document(device: Device, seen: TwinPlace | None) -> dict[str, Any]:
    """Return what is new in a twin since somebody has `seen` it; None stands for what the last change brought.

    Removed properties leave no trace in a twin, so they are not told; the versions show that something changed.
    """
    twin, (version, desired, reported) = device.twin, twin_place(device)
    if seen is None:
        newest = max(desired, reported)
        seen = version, "" if desired == newest else desired, "" if reported == newest else reported
        tags = False
    else:
        tags = version != seen[0] and desired == seen[1]
    told = {
        **_named(twin.device_id),
        "version": version,
        "desiredVersion": twin.desired.version,
        "reportedVersion": twin.reported.version,
    }
    if desired != seen[1]:
        told["desired"] = _since(twin.desired, seen[1])
    if reported != seen[2]:
        told["reported"] = _since(twin.reported, seen[2])
    if tags:
        told["tags"] = twin.tags
    return told


def _since(section: TwinSection, moment: str) -> dict[str, Any]:
    """Return the properties of the first level that changed later; without a moment, those that changed last."""
    newest = _changed_at(section.metadata)
    changed = {}
    for name, value in section.content.items():
        at = _changed_at(section.metadata.get(name) or {})
        if at > moment if moment else at == newest:
            changed[name] = value
    return changed


def _changed_at(metadata: JsonObject) -> str:
    # Written by one function, so that texts compare as times do.
    return str(metadata.get("$lastUpdated", ""))


def _named(identity: str) -> dict[str, Any]:
    module_id = module_of(identity)
    return {"deviceId": device_of(identity)} | ({} if module_id is None else {"moduleId": module_id})
