"""The processes that serve one database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a node saw when it said that it is alive."""

    is_new: bool
    """It was not known: it has just begun, or others took it for dead."""
    alive: Sequence[str]
    """All nodes whose lease is not over, itself among them."""
    buried: Mapping[str, datetime]
    """Nodes whose lease was over, each with the last time it was seen."""
