"""The frame bodies of AMQP 1.0 as tables: what each place of a list means (2.7, 5.3.3). And how they are read."""

from typing import Any, Final

from homeport.proto import LocalProtocolError
from homeport.proto.amqp import kinds as k
from homeport.proto.amqp.composite_kinds import ERROR, SOURCE, STATE, TARGET
from homeport.proto.amqp.decoder import FAULTS, Budget, malformed
from homeport.proto.amqp.kinds import Composite, Field, read_descriptor
from homeport.proto.amqp.limits import Limits

_MAX = 0xFFFF_FFFF

OPEN: Final = Composite(
    0x10,
    "open",
    Field(k.STRING, required=True),  # container-id
    Field(k.STRING),  # hostname
    Field(k.UINT, default=_MAX),  # max-frame-size
    Field(k.USHORT, default=0xFFFF),  # channel-max
    Field(k.UINT),  # idle-time-out, milliseconds
    Field(k.SYMBOLS),  # outgoing-locales
    Field(k.SYMBOLS),  # incoming-locales
    Field(k.SYMBOLS),  # offered-capabilities
    Field(k.SYMBOLS),  # desired-capabilities
    Field(k.FIELDS),  # properties
)
BEGIN: Final = Composite(
    0x11,
    "begin",
    Field(k.USHORT),  # remote-channel
    Field(k.UINT, required=True),  # next-outgoing-id
    Field(k.UINT, required=True),  # incoming-window
    Field(k.UINT, required=True),  # outgoing-window
    Field(k.UINT, default=_MAX),  # handle-max
    Field(k.SYMBOLS),  # offered-capabilities
    Field(k.SYMBOLS),  # desired-capabilities
    Field(k.FIELDS),  # properties
)
ATTACH: Final = Composite(
    0x12,
    "attach",
    Field(k.STRING, required=True),  # name
    Field(k.UINT, required=True),  # handle
    Field(k.BOOLEAN, required=True),  # role: true for a receiver
    Field(k.UBYTE, default=2),  # snd-settle-mode
    Field(k.UBYTE, default=0),  # rcv-settle-mode
    Field(SOURCE),
    Field(TARGET),
    Field(k.MAP),  # unsettled
    Field(k.BOOLEAN, default=False),  # incomplete-unsettled
    Field(k.UINT),  # initial-delivery-count
    Field(k.ULONG, default=0),  # max-message-size
    Field(k.SYMBOLS),  # offered-capabilities
    Field(k.SYMBOLS),  # desired-capabilities
    Field(k.FIELDS),  # properties
)
FLOW: Final = Composite(
    0x13,
    "flow",
    Field(k.UINT),  # next-incoming-id
    Field(k.UINT, required=True),  # incoming-window
    Field(k.UINT, required=True),  # next-outgoing-id
    Field(k.UINT, required=True),  # outgoing-window
    Field(k.UINT),  # handle
    Field(k.UINT),  # delivery-count
    Field(k.UINT),  # link-credit
    Field(k.UINT),  # available
    Field(k.BOOLEAN),  # drain
    Field(k.BOOLEAN),  # echo
    Field(k.FIELDS),  # properties
)
TRANSFER: Final = Composite(
    0x14,
    "transfer",
    Field(k.UINT, required=True),  # handle
    Field(k.UINT),  # delivery-id
    Field(k.BINARY),  # delivery-tag
    Field(k.UINT),  # message-format
    Field(k.BOOLEAN),  # settled
    Field(k.BOOLEAN),  # more
    Field(k.UBYTE),  # rcv-settle-mode
    Field(STATE),
    Field(k.BOOLEAN),  # resume
    Field(k.BOOLEAN),  # aborted
    Field(k.BOOLEAN),  # batchable
)
DISPOSITION: Final = Composite(
    0x15,
    "disposition",
    Field(k.BOOLEAN, required=True),  # role: true for a receiver
    Field(k.UINT, required=True),  # first
    Field(k.UINT),  # last
    Field(k.BOOLEAN),  # settled
    Field(STATE),
    Field(k.BOOLEAN),  # batchable
)
DETACH: Final = Composite(
    0x16,
    "detach",
    Field(k.UINT, required=True),  # handle
    Field(k.BOOLEAN),  # closed
    Field(ERROR),
)
END: Final = Composite(0x17, "end", Field(ERROR))
CLOSE: Final = Composite(0x18, "close", Field(ERROR))

SASL_MECHANISMS: Final = Composite(0x40, "sasl-mechanisms", Field(k.SYMBOLS, required=True))
SASL_INIT: Final = Composite(
    0x41,
    "sasl-init",
    Field(k.SYMBOL, required=True),  # mechanism
    Field(k.BINARY),  # initial-response
    Field(k.STRING),  # hostname
)
SASL_CHALLENGE: Final = Composite(0x42, "sasl-challenge", Field(k.BINARY, required=True))
SASL_RESPONSE: Final = Composite(0x43, "sasl-response", Field(k.BINARY, required=True))
SASL_OUTCOME: Final = Composite(
    0x44,
    "sasl-outcome",
    Field(k.UBYTE, required=True),  # code
    Field(k.BINARY),  # additional-data
)

AMQP_BODIES: Final = {
    body.code: body for body in (OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE)
}
SASL_BODIES: Final = {
    body.code: body for body in (SASL_MECHANISMS, SASL_INIT, SASL_CHALLENGE, SASL_RESPONSE, SASL_OUTCOME)
}


def read_body(bodies: dict[int, Composite], body: bytes, limits: Limits) -> tuple[Composite, list[Any], int]:
    """Read the performative at the start of a frame's body; return it, its fields, and where the payload begins.

    Raises AmqpProtocolError for what is none of `bodies`.
    """
    budget = Budget(limits.max_depth, limits.max_elements)
    try:
        if body[0] != 0x00:
            raise malformed("a frame's body is no described list")
        code, at = read_descriptor(body, 1, budget)
        performative = bodies.get(code)
        if performative is None:
            raise malformed("a frame's body is of no known type")
        values, at = performative.read(body, at, budget)
    except FAULTS:
        raise malformed("a frame's body is no AMQP") from None
    return performative, values, at


def write_body(performative: Composite, values: tuple[Any, ...]) -> bytearray:
    """Write a performative with all its fields. Raises LocalProtocolError for values that do not fit."""
    out = bytearray()
    try:
        performative.write(out, values)
    except (AttributeError, TypeError):
        raise LocalProtocolError(f"{performative.name} has a field of another type") from None
    except RecursionError:
        raise LocalProtocolError(f"{performative.name} is nested too deeply") from None
    return out
