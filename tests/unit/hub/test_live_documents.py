"""A message as those who watch a hub are told it."""

import base64
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from homeport.client import TelemetryMessage
from homeport.hub.frontends.live_documents import telemetry_document
from homeport.hub.model import BUILT_IN, StoredTelemetry, Telemetry

AT = datetime(2026, 3, 14, 12, tzinfo=UTC)


def told(body: bytes, **more: Any) -> TelemetryMessage:
    """Return what a client reads of a message with this body."""
    fields: dict[str, Any] = {"system": {}, "properties": {}, "annotations": {}} | more
    message = Telemetry(device_id="sensor-1", body=body, enqueued_at=AT, **fields)
    stored = StoredTelemetry(endpoint=BUILT_IN, partition=3, offset=7, telemetry=message)
    return msgspec.json.decode(msgspec.json.encode(telemetry_document(stored)), type=TelemetryMessage)


def test_a_message_is_told_completely() -> None:
    message = told(
        b'{"temperature": 21.5}',
        system={"ct": "application/json", "mid": "7", "custom": None},
        properties={"alert": "high", "flag": None},
        annotations={"iothub-connection-device-id": "sensor-1"},
    )
    assert message == TelemetryMessage(
        device_id="sensor-1",
        partition=3,
        offset=7,
        enqueued_time=AT,
        size=21,
        body_encoding="json",
        body={"temperature": 21.5},
        system_properties={"contentType": "application/json", "messageId": "7", "custom": None},
        properties={"alert": "high", "flag": None},
        annotations={"iothub-connection-device-id": "sensor-1"},
    )


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "shown"),
    [
        (b'{"a": [1, 2.5, null, "x"]}', None, "json", {"a": [1, 2.5, None, "x"]}),
        (b"21.5", None, "text", "21.5"),
        (b"21.5", "application/json", "json", 21.5),
        (b"{broken", "application/json", "text", "{broken"),
        ("Grüße\r\n\t".encode(), None, "text", "Grüße\r\n\t"),
        (b"", None, "text", ""),
        (b"\xff\x00", None, "base64", base64.b64encode(b"\xff\x00").decode()),
        (b"a\x1b[31m", None, "base64", base64.b64encode(b"a\x1b[31m").decode()),
        (b'{"a": "\\ud800"}', None, "text", '{"a": "\\ud800"}'),
        (b"[" * 40 + b"]" * 40, None, "text", "[" * 40 + "]" * 40),
        (b"[" * 100_000, None, "text", "[" * 100_000),
        (b'{"a": ' * 50_000, None, "text", '{"a": ' * 50_000),
    ],
    ids=range(12),
)
def test_bodies_are_told_as_people_can_read_them(
    body: bytes, content_type: str | None, encoding: str, shown: object
) -> None:
    message = told(body, system={"ct": content_type} if content_type else {})
    assert (message.body_encoding, message.body, message.size) == (encoding, shown, len(body))
