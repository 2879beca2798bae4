"""Messages as webhooks and storage get them. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from homeport.hub.model import SERVICE_NAMES, StorageEndpoint, StoredTelemetry, Telemetry, WebhookEndpoint, format_time
from homeport.security.webhooks import signature
from homeport.wire import encode

CLOUD_EVENT = "application/cloudevents+json; charset=utf-8"
TYPE_PREFIX = "io.homeport.hub."
_NAMES = {
    **SERVICE_NAMES,
    "iothub-connection-device-id": "connectionDeviceId",
    "iothub-connection-module-id": "connectionModuleId",
    "iothub-connection-auth-method": "connectionAuthMethod",
    "iothub-connection-auth-generation-id": "connectionDeviceGenerationId",
    "iothub-message-source": "messageSource",
    "iothub-creation-time-utc": "creationTimeUtc",
    "iothub-interface-id": "interfaceId",
}
_TOLD_AS_ANNOTATIONS = frozenset({"ctime", "ifid", "sub"})


def cloud_event(hub: str, endpoint: str, stored: StoredTelemetry) -> dict[str, Any]:
    """Return a message as a CloudEvent (1.0, JSON). `source` and `id` together name it, also when it is sent again."""
    message = stored.telemetry
    annotations = message.annotations
    subject = f"devices/{annotations.get('iothub-connection-device-id', message.device_id)}"
    if module_id := annotations.get("iothub-connection-module-id"):
        subject += f"/modules/{module_id}"
    source = annotations.get("iothub-message-source", "Telemetry")
    return {
        "specversion": "1.0",
        "id": f"{stored.partition}-{stored.offset}",
        "source": f"urn:homeport:hub:{hub}:{endpoint}",
        "type": TYPE_PREFIX + source[0].lower() + source[1:],
        "subject": subject,
        "time": format_time(message.enqueued_at),
        "datacontenttype": "application/json",
        "sequence": f"{stored.offset:018}",
        "data": {
            "properties": message.properties,
            "systemProperties": system_properties(message),
            "body": body_of(message),
        },
    }


def webhook_request(
    hub: str, endpoint: WebhookEndpoint, stored: StoredTelemetry, seconds: int
) -> tuple[dict[str, str], bytes]:
    """Return headers and body of the request that carries a message, signed; `seconds` is the time since 1970."""
    event = cloud_event(hub, endpoint.name, stored)
    body = encode(event)
    headers = {"Content-Type": CLOUD_EVENT}
    if endpoint.secret is not None:
        headers |= signature(endpoint.secret, f"{event['source']}:{event['id']}", seconds, body)
    return headers, body


def storage_line(stored: StoredTelemetry) -> bytes:
    """Return a message as a line of a blob, in the members that Azure's JSON blobs have."""
    message = stored.telemetry
    return (
        encode(
            {
                "EnqueuedTimeUtc": format_time(message.enqueued_at),
                "Properties": message.properties,
                "SystemProperties": system_properties(message),
                "Body": body_of(message),
            }
        )
        + b"\n"
    )


def blob_name(hub: str, endpoint: StorageEndpoint, first: StoredTelemetry) -> str:
    """Return the name of the blob that begins with this message.

    The format's times are those of the message. The offset behind them tells batches of one minute apart, and lets a
    batch that is written again replace itself.
    """
    at = first.telemetry.enqueued_at
    name = endpoint.file_name_format
    for token, value in _tokens(hub, first.partition, at).items():
        name = name.replace(token, value)
    return f"{name}_{first.offset}.json"


def _tokens(hub: str, partition: int, at: datetime) -> Mapping[str, str]:
    return {
        "{iothub}": hub,
        "{partition}": str(partition),
        "{YYYY}": f"{at.year:04}",
        "{MM}": f"{at.month:02}",
        "{DD}": f"{at.day:02}",
        "{HH}": f"{at.hour:02}",
        "{mm}": f"{at.minute:02}",
    }


def system_properties(message: Telemetry) -> dict[str, str | None]:
    """Return a message's system properties under the names that Azure's documents have for them."""
    named = {
        _NAMES.get(key, key): value
        for key, value in (*message.system.items(), *message.annotations.items())
        if key not in _TOLD_AS_ANNOTATIONS
    }
    return {**named, "enqueuedTime": format_time(message.enqueued_at)}


def body_of(message: Telemetry) -> Any:
    """Return the body as it stands if it says that it is JSON in UTF-8, and is; else its bytes, which become Base64."""
    content_type = (message.system.get("ct") or "").partition(";")[0].strip().lower()
    encoding = (message.system.get("ce") or "").strip().lower()
    if not (content_type.endswith("json") and encoding in {"utf-8", "utf8"}):
        return message.body
    try:
        message.body.decode()
        msgspec.json.decode(message.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return message.body
    # Line breaks can only stand between the parts of JSON, and a line of a file must have none.
    return msgspec.Raw(message.body.replace(b"\n", b" ").replace(b"\r", b" "))
