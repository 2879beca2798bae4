"""What processes of one Homeport ask each other, as MessagePack: not for clients, and not stable between releases."""

import msgspec
from msgspec import Struct


class MethodQuestion(Struct, frozen=True, kw_only=True):
    """Call a method of a device that is connected to you."""

    device_id: str
    name: str
    payload: bytes
    response_timeout: float
    """Seconds."""


class MethodOutcome(Struct, frozen=True, kw_only=True):
    """The device's answer, or else why there is none: the wire name of an error, and its message."""

    status: int = 0
    payload: bytes = b""
    error: str | None = None
    message: str = ""


encoder = msgspec.msgpack.Encoder()
question_decoder = msgspec.msgpack.Decoder(MethodQuestion)
outcome_decoder = msgspec.msgpack.Decoder(MethodOutcome)
