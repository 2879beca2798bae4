"""Who may read events: tokens of Event Hubs clients, and those of the hub's services (contract hub.md 20.3)."""

from collections.abc import Sequence
from typing import Final

from homeport.hub.authentication import Refused
from homeport.hub.frontends.amqp.proofs import Granted, Proofs
from homeport.security.policies import HubRight

_NEEDED: Final = frozenset({HubRight.SERVICE_CONNECT})


def may_read(proofs: Proofs, path: Sequence[str]) -> Granted | Refused:
    """Tell whether a token on the connection is for this path below the host, with the right ServiceConnect.

    Tokens are signed in the manner of Event Hubs, with the key's text; one signed as the hub's services do is as good.
    """
    verdict = proofs.for_events(path, _NEEDED)
    return proofs.for_service(path, _NEEDED) if isinstance(verdict, Refused) else verdict
