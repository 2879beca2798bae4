"""How requests to a hub's registry are written: texts in queries, identities. No I/O."""

from typing import Any

import msgspec

from homeport.client.hub_models import Device, DeviceAuthentication, Module


def quoted(text: str) -> str:
    """Return a text as a literal of the hub's query language (contract hub.md 8.2)."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def device_document(device: Device) -> dict[str, Any]:
    """Return what a client may set of a device's identity (contract hub.md 4.1)."""
    document: dict[str, Any] = {
        "deviceId": device.device_id,
        "status": device.status,
        "statusReason": device.status_reason,
        "authentication": device.authentication,
        "capabilities": device.capabilities,
    }
    if device.device_scope is not None:
        document["deviceScope"] = device.device_scope
    if device.parent_scopes is not None:
        document["parentScopes"] = device.parent_scopes
    return _given(document)


def module_document(module: Module) -> dict[str, Any]:
    """Return what a client may set of a module's identity (contract hub.md 4.2)."""
    authentication: DeviceAuthentication | None = module.authentication
    return _given(
        {
            "deviceId": module.device_id,
            "moduleId": module.module_id,
            "managedBy": module.managed_by,
            "authentication": authentication,
        }
    )


def if_match(etag: str | None) -> dict[str, str]:
    """Return the header for one version, or for any if there is no etag."""
    return {"If-Match": "*" if etag is None else f'"{etag}"'}


def is_result(body: bytes) -> bool:
    """Tell what came of the entries of a request from a refusal of the whole of it: both may be a 400."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return isinstance(document, dict) and "errors" in document


def _given(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}
