"""The processes that serve one database."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct


class Beat(Struct, frozen=True, kw_only=True):
    """What a node saw when it said that it is alive."""

    is_new: bool
    """It was not known: it has just begun, or others took it for dead."""
    alive: Sequence[str]
    """All nodes whose lease is not over, itself among them."""
    buried: Mapping[str, datetime]
    """Nodes whose lease was over, each with the last time it was seen."""
