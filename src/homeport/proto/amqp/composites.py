"""The composite types that travel inside performatives: termini, delivery states, errors (2.8, 3.4, 3.5)."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """Why something was refused or ended. `condition` is written as a symbol, and `info` as a map of symbol keys."""

    condition: str
    description: str | None = None
    info: dict[Any, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where messages go (3.5.4)."""

    address: Any = None
    durable: int = 0
    expiry_policy: str = "session-end"
    timeout: int = 0
    dynamic: bool = False
    dynamic_node_properties: dict[Any, Any] | None = None
    capabilities: tuple[Symbol, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """Not an outcome yet: how much of a delivery has arrived."""

    section_number: int
    section_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    error: Error | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Modified:
    delivery_failed: bool = False
    undeliverable_here: bool = False
    message_annotations: dict[Any, Any] | None = field(default=None)


ACCEPTED = Accepted()
RELEASED = Released()

DeliveryState = Accepted | Rejected | Released | Modified | Received | Described
"""Described is any state that the core standard does not define, such as a transaction's."""
