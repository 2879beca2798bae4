"""The composite types that travel inside performatives: termini, delivery states, errors (2.8, 3.4, 3.5)."""

from enum import IntEnum
from typing import Any

from msgspec import Struct

from homeport.proto.amqp.types import Described, Symbol


class SenderSettleMode(IntEnum):
    """How a sender settles (2.8.2)."""

    UNSETTLED = 0
    SETTLED = 1
    MIXED = 2


class ReceiverSettleMode(IntEnum):
    """FIRST: the receiver settles with its outcome. SECOND: only after the sender has settled (2.8.3)."""

    FIRST = 0
    SECOND = 1


class Error(Struct, frozen=True, kw_only=True):
    """Why something was refused or ended. `condition` is written as a symbol, and `info` as a map of symbol keys."""

    condition: str
    description: str | None = None
    info: dict[Any, Any] | None = None


class Source(Struct, frozen=True, kw_only=True):
    """Where messages come from (3.5.3). `filter` maps symbols to described values."""

    address: Any = None
    durable: int = 0
    expiry_policy: str = "session-end"
    timeout: int = 0
    dynamic: bool = False
    dynamic_node_properties: dict[Any, Any] | None = None
    distribution_mode: str | None = None
    filter: dict[Any, Any] | None = None
    default_outcome: "DeliveryState | None" = None
    outcomes: tuple[Symbol, ...] = ()
    capabilities: tuple[Symbol, ...] = ()


class Target(Struct, frozen=True, kw_only=True):
    """Where messages go (3.5.4)."""

    address: Any = None
    durable: int = 0
    expiry_policy: str = "session-end"
    timeout: int = 0
    dynamic: bool = False
    dynamic_node_properties: dict[Any, Any] | None = None
    capabilities: tuple[Symbol, ...] = ()


class Received(Struct, frozen=True, kw_only=True):
    """Not an outcome yet: how much of a delivery has arrived."""

    section_number: int
    section_offset: int


class Accepted(Struct, frozen=True, kw_only=True):
    pass


class Rejected(Struct, frozen=True, kw_only=True):
    error: Error | None = None


class Released(Struct, frozen=True, kw_only=True):
    pass


class Modified(Struct, frozen=True, kw_only=True):
    delivery_failed: bool = False
    undeliverable_here: bool = False
    message_annotations: dict[Any, Any] | None = None


ACCEPTED = Accepted()
RELEASED = Released()

DeliveryState = Accepted | Rejected | Released | Modified | Received | Described
"""Described is any state that the core standard does not define, such as a transaction's."""
