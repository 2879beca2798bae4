"""Evenly weighted distribution: weighted rendezvous hashing, without state.

The same device and the same hubs give the same hub; a new hub only attracts devices, none move between old ones.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import log

from homeport.dps.allocation.decision import Assign
from homeport.dps.model import LinkedHub

_BITS = 52
"""So many random bits, and a half, are exact in a float: no draw is rounded to 0 or 1."""


def choose(registration_id: str, hubs: Sequence[LinkedHub]) -> Assign:
    """Draw a hub for this device in proportion to the weights; `hubs` is not empty."""
    device = registration_id.lower()
    hub = min(hubs, key=lambda hub: (arrival(device, hub), hub.host_name.lower()))
    return Assign(hub=hub, reason=f"hashed over {len(hubs)} hub{'' if len(hubs) == 1 else 's'}, {share(hub, hubs)}")


def share(hub: LinkedHub, hubs: Sequence[LinkedHub]) -> str:
    """Say how large the hub's part is among these."""
    return f"weight {hub.allocation_weight} of {sum(other.allocation_weight for other in hubs)}"


def arrival(device: str, hub: LinkedHub) -> float:
    """Return an exponential draw with the hub's weight as its rate: the earliest wins as often as its weight says.

    `device` is the lower-cased registration id.
    """
    digest = blake2b(f"{device}\n{hub.host_name.lower()}".encode(), digest_size=8).digest()
    uniform = ((int.from_bytes(digest) >> (64 - _BITS)) + 0.5) / (1 << _BITS)
    return -log(uniform) / hub.allocation_weight
