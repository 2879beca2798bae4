"""The addresses of a device's links: who, and what for (contract hub.md 16.1). Pure."""

from enum import Enum, auto
from typing import Final

from homeport.hub.frontends.amqp.addresses import Path, is_words, readings
from homeport.hub.frontends.amqp.proofs import identity_at


class Kind(Enum):
    """What a device's link is for."""

    EVENTS = auto()
    """Telemetry; in the other direction, the inputs of a module."""
    BOUND = auto()
    """Cloud-to-device messages."""
    TWIN = auto()
    METHODS = auto()


_KINDS: Final = {
    ("messages", "events"): Kind.EVENTS,
    ("messages", "devicebound"): Kind.BOUND,
    ("twin",): Kind.TWIN,
    ("methods", "devicebound"): Kind.METHODS,
}


def is_of_devices(path: Path) -> bool:
    """Tell whether an address is meant to be of a device, malformed or not."""
    return is_words(path[:1], "devices")


def read_device_path(path: Path) -> tuple[tuple[str, ...], Kind] | None:
    """Return the identities that the address may name, the likelier first, and what the link is for."""
    ids = 4 if is_words(path[2:3], "modules") else 2
    kind = next((kind for words, kind in _KINDS.items() if is_words(path[ids:], *words)), None)
    if kind is None or not is_of_devices(path):
        return None
    named = (("devices", each[1], *(("modules", each[3]) if ids > 2 else ())) for each in readings(path[:ids]))
    identities = dict.fromkeys(identity for each in named if (identity := identity_at(each)) is not None)
    return (tuple(identities), kind) if identities else None
