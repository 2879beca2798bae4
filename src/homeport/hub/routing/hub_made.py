"""The messages a hub makes of its own: what became of identities, twins, connections and jobs (contract hub.md 21.2).

Pure: what happened in, a message out. Whether anybody wants it is the router's business.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from homeport.hub import translate
from homeport.hub.digital_twin import digital_twin
from homeport.hub.identifiers import device_of, module_of
from homeport.hub.model import (
    ConnectionState,
    Device,
    JsonObject,
    MessageSource,
    Telemetry,
    TwinSection,
    format_time,
)
from homeport.wire import encode

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
_SEQUENCE_DIGITS = 64


class HubMade:
    """Writes the messages of one hub."""

    def __init__(self, hub: str) -> None:
        self._hub = hub

    def lifecycle(self, device: Device, *, created: bool, now: datetime, correlation_id: str) -> Telemetry:
        """Tell that an identity was made or deleted; the body is its twin."""
        noun = "Device" if module_of(device.identity.device_id) is None else "Module"
        return self._message(
            MessageSource.DEVICE_LIFECYCLE,
            device.identity.device_id,
            body=encode(translate.twin_document(device)),
            operation=f"{'create' if created else 'delete'}{noun}Identity",
            schema=f"{noun.lower()}LifecycleNotification",
            model_id=device.twin.model_id,
            now=now,
            correlation_id=correlation_id,
        )

    def twin_patched(
        self,
        device: Device,
        *,
        tags: JsonObject | None = None,
        desired: JsonObject | None = None,
        reported: JsonObject | None = None,
        now: datetime,
        correlation_id: str,
    ) -> Telemetry:
        """Tell what was written to a twin: only that, with nulls for what was taken away. `device` is as it is now."""
        twin = device.twin
        body: dict[str, Any] = {"version": twin.version}
        if tags:
            body["tags"] = tags
        properties = {
            name: _changed(section, patch)
            for name, section, patch in (("desired", twin.desired, desired), ("reported", twin.reported, reported))
            if patch
        }
        if properties:
            body["properties"] = properties
        return self._twin_change(device, "updateTwin", encode(body), now, correlation_id)

    def twin_replaced(self, device: Device, *, now: datetime, correlation_id: str) -> Telemetry:
        """Tell that tags and desired properties were replaced; the body is the whole twin."""
        body = encode(translate.twin_document(device))
        return self._twin_change(device, "replaceTwin", body, now, correlation_id)

    def digital_twin_changed(
        self, before: Device, after: Device, *, now: datetime, correlation_id: str
    ) -> Telemetry | None:
        """Tell how a digital twin changed, as a JSON patch; None for a device without a model, or if nothing did."""
        if not after.twin.model_id:
            return None
        patch = _differences((), digital_twin(before), digital_twin(after))
        if not patch:
            return None
        return self._message(
            MessageSource.DIGITAL_TWIN_CHANGES,
            after.identity.device_id,
            body=encode(patch),
            content_type=JSON_PATCH,
            operation="updateTwin",
            schema="digitalTwinChangeNotification",
            model_id=after.twin.model_id,
            now=now,
            correlation_id=correlation_id,
        )

    def connection(
        self,
        device: Device,
        state: ConnectionState,
        *,
        sequence: int,
        now: datetime,
        correlation_id: str,
    ) -> Telemetry:
        """Tell that a device connected or left; `sequence` grows with every change of this device."""
        return self._message(
            MessageSource.CONNECTION_STATE,
            device.identity.device_id,
            body=encode({"sequenceNumber": f"{sequence:0{_SEQUENCE_DIGITS}X}"}),
            operation="deviceConnected" if state is ConnectionState.CONNECTED else "deviceDisconnected",
            schema="deviceConnectionStateNotification",
            model_id=device.twin.model_id,
            now=now,
            correlation_id=correlation_id,
        )

    def job_ended(self, identity: str, job_type: str, body: bytes, *, now: datetime, correlation_id: str) -> Telemetry:
        """Tell what came of a scheduled job for one device; the body is its row of `devices.jobs`."""
        return self._message(
            MessageSource.JOB_LIFECYCLE,
            identity,
            body=body,
            operation=job_type,
            schema="jobLifecycleNotification",
            model_id=None,
            now=now,
            correlation_id=correlation_id,
        )

    def _twin_change(
        self, device: Device, operation: str, body: bytes, now: datetime, correlation_id: str
    ) -> Telemetry:
        return self._message(
            MessageSource.TWIN_CHANGES,
            device.identity.device_id,
            body=body,
            operation=operation,
            schema="twinChangeNotification",
            model_id=device.twin.model_id,
            now=now,
            correlation_id=correlation_id,
        )

    def _message(
        self,
        source: MessageSource,
        identity: str,
        *,
        body: bytes,
        operation: str,
        schema: str,
        model_id: str | None,
        now: datetime,
        correlation_id: str,
        content_type: str = JSON,
    ) -> Telemetry:
        owner, module_id = device_of(identity), module_of(identity)
        properties = {"hubName": self._hub, "deviceId": owner}
        annotations = {"iothub-connection-device-id": owner, "iothub-message-source": source.annotation}
        if module_id is not None:
            properties["moduleId"] = module_id
            annotations["iothub-connection-module-id"] = module_id
        if model_id:
            annotations["dt-dataschema"] = model_id
        properties |= {
            "operationTimestamp": format_time(now),
            "opType": operation,
            "iothub-message-schema": schema,
        }
        return Telemetry(
            device_id=owner,
            body=body,
            system={"ct": content_type, "ce": "utf-8", "cid": correlation_id, "uid": self._hub},
            properties=properties,
            annotations=annotations,
            enqueued_at=now,
        )


def _changed(section: TwinSection, patch: JsonObject) -> dict[str, Any]:
    """Write the part of a section that a patch touched."""
    return {**patch, "$metadata": _narrowed(section.metadata, patch), "$version": section.version}


def _narrowed(metadata: JsonObject, patch: JsonObject) -> dict[str, Any]:
    narrowed = {name: value for name, value in metadata.items() if name.startswith("$")}
    for name, value in patch.items():
        about = metadata.get(name)
        if isinstance(about, Mapping):
            narrowed[name] = _narrowed(about, value if isinstance(value, Mapping) else {})
    return narrowed


def _differences(path: tuple[str, ...], before: JsonObject, after: JsonObject) -> list[dict[str, Any]]:
    """Return the JSON patch (RFC 6902) that makes one object of the other."""
    steps: list[dict[str, Any]] = []
    for name in sorted(before.keys() | after.keys()):
        where = (*path, name)
        pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in where)
        if name not in after:
            steps.append({"op": "remove", "path": pointer})
        elif name not in before:
            steps.append({"op": "add", "path": pointer, "value": after[name]})
        elif isinstance(before[name], Mapping) and isinstance(after[name], Mapping):
            steps += _differences(where, before[name], after[name])
        elif before[name] != after[name] or type(before[name]) is not type(after[name]):
            steps.append({"op": "replace", "path": pointer, "value": after[name]})
    return steps
