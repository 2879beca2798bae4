"""Hubs and their policies (contract hub.md 1, 2.1)."""

from datetime import datetime

from msgspec import Struct

from homeport.values import hiding


@hiding("primary_key", "secondary_key")
class Policy(Struct, frozen=True, kw_only=True):
    """A shared access policy as stored; what its rights mean is security.policies' business."""

    name: str
    primary_key: bytes
    secondary_key: bytes
    rights: frozenset[str]


class Hub(Struct, frozen=True, kw_only=True):
    """One hub this Homeport serves: its name, the host names it answers to, and its policies.

    The first host name is the one that clients are told.
    """

    name: str
    host_names: tuple[str, ...]
    policies: tuple[Policy, ...]
    created_at: datetime
    fault_messages: bool = False
    """Whether its devices may break their own connections, where the server runs with the fault lab (28)."""
