"""Events as Event Hubs clients read them, and their answers about partitions (contract hub.md 20.4, 20.5, 21.1). Pure.

Thousands of events a second go out, and those of one device differ in little: what they have in common is written
once and kept.
"""

import struct
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from homeport.hub.model import EventStream, PartitionState, StoredTelemetry
from homeport.proto.amqp import Array, Int, Message, Properties, Symbol, Timestamp, encode_message

NO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
"""When the newest event of a partition came that never had one."""
NO_OFFSET: Final = "-1"

_ANNOTATED: Final = {"diagid": "Diagnostic-Id", "diagctx": "Correlation-Context"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT: Final = 4096
"""Different sets of properties, or of annotations, that are kept as they are written."""


def _symbol(name: str) -> bytes:
    data = name.encode("ascii", "replace")
    return b"\xa3" + bytes((len(data),)) + data if len(data) < 256 else b"\xb3" + struct.pack("!I", len(data)) + data


def _string(text: str) -> bytes:
    data = text.encode()
    return b"\xa1" + bytes((len(data),)) + data if len(data) < 256 else b"\xb1" + struct.pack("!I", len(data)) + data


_SEQUENCE: Final = _symbol("x-opt-sequence-number") + b"\x81"
_OFFSET: Final = _symbol("x-opt-offset")
_ENQUEUED: Final = _symbol("x-opt-enqueued-time") + b"\x83"
_RECEIVED: Final = _symbol("iothub-enqueuedtime") + b"\x83"
_OWN_PAIRS: Final = 4
_ANNOTATIONS: Final = b"\x00\x53\x72\xd1"
_DATA: Final = b"\x00\x53\x75"
_NUMBER: Final = struct.Struct("!q")


def write_event(stored: StoredTelemetry, metrics: bytes = b"") -> bytes:
    """Write an event as a whole message; `metrics` is what `write_metrics` has written, or nothing."""
    told, body = stored.telemetry, stored.telemetry.body
    count, pairs = _annotations(tuple(told.annotations.items()))
    if told.system:
        more, others = _system_annotations(tuple(told.system.items()))
        count, pairs = count + more, pairs + others
    offset = str(stored.offset).encode()
    moment = _NUMBER.pack((told.enqueued_at - _EPOCH) // _MILLISECOND)
    annotations = b"".join(
        (
            pairs,
            _SEQUENCE,
            _NUMBER.pack(stored.offset),
            _OFFSET,
            b"\xa1",
            bytes((len(offset),)),
            offset,
            _ENQUEUED,
            moment,
            _RECEIVED,
            moment,
        )
    )
    return b"".join(
        (
            metrics,
            _ANNOTATIONS,
            struct.pack("!II", len(annotations) + 4, 2 * (count + _OWN_PAIRS)),
            annotations,
            _properties(tuple(told.system.items())) if told.system else b"",
            _application_properties(tuple(told.properties.items()), told.system.get("schema")),
            _DATA,
            b"\xa0" + bytes((len(body),)) if len(body) < 256 else b"\xb0" + struct.pack("!I", len(body)),
            body,
        )
    )


def write_metrics(state: PartitionState, now: datetime) -> bytes:
    """Write the section that says how far the partition reaches, for clients that want it with each event."""
    return encode_message(
        Message(
            delivery_annotations={
                Symbol("last_enqueued_sequence_number"): state.end - 1,
                Symbol("last_enqueued_offset"): _last_offset(state),
                Symbol("last_enqueued_time_utc"): Timestamp.of(state.last_enqueued_at or NO_TIME),
                Symbol("runtime_info_retrieval_time_utc"): Timestamp.of(now),
            }
        )
    )


def event_hub_map(event_hub: str, stream: EventStream) -> dict[str, Any]:
    """Tell of an endpoint: the answer to READ of `com.microsoft:eventhub`."""
    return {
        "name": event_hub,
        "type": "com.microsoft:eventhub",
        "created_at": Timestamp.of(stream.created_at),
        "partition_count": Int(stream.partitions),
        "partition_ids": Array(str, tuple(str(partition) for partition in range(stream.partitions))),
        "georeplication_factor": Int(1),
    }


def partition_map(event_hub: str, partition: int, state: PartitionState) -> dict[str, Any]:
    """Tell of a partition: the answer to READ of `com.microsoft:partition`."""
    return {
        "name": event_hub,
        "type": "com.microsoft:partition",
        "partition": str(partition),
        "begin_sequence_number": state.begin,
        "last_enqueued_sequence_number": state.end - 1,
        "last_enqueued_offset": _last_offset(state),
        "last_enqueued_time_utc": Timestamp.of(state.last_enqueued_at or NO_TIME),
        "is_partition_empty": state.is_empty,
    }


def _last_offset(state: PartitionState) -> str:
    return str(state.end - 1) if state.end else NO_OFFSET


_Pairs = tuple[tuple[str, str | None], ...]
_MILLISECOND: Final = Timestamp(1).moment() - _EPOCH


@lru_cache(_KEPT)
def _annotations(pairs: _Pairs) -> tuple[int, bytes]:
    told = [(name, value) for name, value in pairs if value is not None]
    return len(told), b"".join(_symbol(name) + _string(value) for name, value in told)


@lru_cache(_KEPT)
def _system_annotations(pairs: _Pairs) -> tuple[int, bytes]:
    return _annotations(tuple((_ANNOTATED[name], value) for name, value in pairs if name in _ANNOTATED))


@lru_cache(_KEPT)
def _properties(pairs: _Pairs) -> bytes:
    system = {name: value for name, value in pairs if value}
    user = system.get("uid")
    properties = Properties(
        message_id=system.get("mid"),
        user_id=user.encode() if user is not None else None,
        to=system.get("to"),
        correlation_id=system.get("cid"),
        content_type=_ascii(system.get("ct")),
        content_encoding=_ascii(system.get("ce")),
    )
    return b"" if properties == Properties() else encode_message(Message(properties=properties))


@lru_cache(_KEPT)
def _application_properties(pairs: _Pairs, schema: str | None) -> bytes:
    told: dict[str, Any] = dict(pairs)
    if schema:
        told["iothub-message-schema"] = schema
    return encode_message(Message(application_properties=told)) if told else b""


def _ascii(value: str | None) -> str | None:
    """Return what can stand as a symbol."""
    return value if value is not None and value.isascii() else None
