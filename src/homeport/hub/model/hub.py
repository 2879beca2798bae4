"""Hubs and their policies (contract hub.md 1, 2.1)."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A shared access policy as stored; what its rights mean is security.policies' business."""

    name: str
    primary_key: bytes = field(repr=False)
    secondary_key: bytes = field(repr=False)
    rights: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """One hub this Homeport serves: its name, the host names it answers to, and its policies.

    The first host name is the one that clients are told.
    """

    name: str
    host_names: tuple[str, ...]
    policies: tuple[Policy, ...]
    created_at: datetime
    fault_messages: bool = False
    """Whether its devices may break their own connections, where the server runs with the fault lab (28)."""
