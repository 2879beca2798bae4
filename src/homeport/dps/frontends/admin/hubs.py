from typing import Protocol

from homeport.dps.administration import HubsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class HubParts(Protocol):
    """What more a hub of this server has: the rest below `hubs/{name}/`."""

    def calls(self, request: AdminRequest) -> Calls: ...


class HubsResource:
    """`hubs`, `hubs/{name}`, `hubs/{name}/check`, and what a hub's parts offer."""

    collections = frozenset({"hubs"})

    def __init__(self, responder: HubsResponder, parts: HubParts) -> None:
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
                return self._parts.calls(request)
