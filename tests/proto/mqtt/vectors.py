"""The table tests/vectors/mqtt.json as packets and bytes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeport.proto import mqtt
from homeport.proto.mqtt import Connection, Event, ReturnCode, Role, Subscription, Will

_TABLE = json.loads((Path(__file__).parents[2] / "vectors" / "mqtt.json").read_text())


@dataclass(frozen=True)
class Vector:
    name: str
    speakers: tuple[Role, ...]
    data: bytes
    packet: Event | None = None

    def __str__(self) -> str:
        return self.name


def _packet(spec: dict[str, Any]) -> Event:
    fields = dict(spec)
    packet_class = getattr(mqtt, fields.pop("type"))
    zeros = fields.pop("zeros", None)
    if zeros is not None:
        fields["payload"] = bytes(zeros)
    for name, value in fields.items():
        if name in ("payload", "password") and isinstance(value, str):
            fields[name] = bytes.fromhex(value)
        elif name == "will":
            fields[name] = Will(**value | {"payload": bytes.fromhex(value["payload"])})
        elif name == "return_code":
            fields[name] = ReturnCode(value)
        elif name == "subscriptions":
            fields[name] = tuple(Subscription(topic_filter=text, qos=qos) for text, qos in value)
        elif isinstance(value, list):
            fields[name] = tuple(value)
    packet: Event = packet_class(**fields)
    return packet


def _vector(row: dict[str, Any]) -> Vector:
    return Vector(
        name=row["name"],
        speakers=tuple(Role) if row["from"] == "both" else (Role(row["from"]),),
        data=bytes.fromhex(row["hex"]) + bytes(row.get("zeros", 0)),
        packet=_packet(row["packet"]) if "packet" in row else None,
    )


PACKETS = [_vector(row) for row in _TABLE["packets"]]
"""True in both directions."""

ONE_WAY = [_vector(row) for row in _TABLE["one_way"]]
"""Understood, but not how we would say it."""

MALFORMED = [_vector(row) for row in _TABLE["malformed"]]


def connected(*, clean_session: bool = True, keep_alive: int = 0, **limits: float) -> tuple[Connection, Connection]:
    """A client and a server that have shaken hands; the limits are the server's."""
    client = Connection(Role.CLIENT)
    server = Connection(Role.SERVER, **limits)  # type: ignore[arg-type]  # one dict for int and float limits
    client.send(mqtt.Connect(client_id="device", clean_session=clean_session, keep_alive=keep_alive))
    server.receive(client.outgoing())
    server.send(mqtt.ConnAck())
    client.receive(server.outgoing())
    return client, server
