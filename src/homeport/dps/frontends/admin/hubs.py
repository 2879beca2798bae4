from collections.abc import Sequence
from typing import Protocol

from homeport.dps.administration import HubsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class HubParts(Protocol):
    """What more a hub of this server has, below `hubs/{name}/`."""

    def calls(self, request: AdminRequest) -> Calls:
        """Return the operations at this address; none if it is no part's, or another part's."""
        ...


class HubsResource:
    """`hubs`, `hubs/{name}`, `hubs/{name}/check`, and what a hub's parts offer."""

    collections = frozenset({"hubs"})

    def __init__(self, responder: HubsResponder, parts: Sequence[HubParts]) -> None:
        self._responder = responder
        self._parts = parts

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, caller = self._responder, request.body, request.caller
        match request.path:
            case ["hubs"]:
                return {"GET": (_READ, lambda: responder.list(caller.tracking_id))}
            case ["hubs", name]:
                return {
                    "GET": (_READ, lambda: responder.get(name, caller.tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put(name, body, caller)),
                    "PATCH": (_CONFIG, lambda: responder.patch(name, body, caller)),
                    "DELETE": (_CONFIG, lambda: responder.delete(name, caller)),
                }
            case ["hubs", name, check] if check.lower() == "check":
                return {"POST": (_CONFIG, lambda: responder.check(name, caller.tracking_id))}
            case _:
                return next((calls for part in self._parts if (calls := part.calls(request))), {})
