from homeport.dps.administration import HubsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class HubsResource:
    """`hubs`, `hubs/{name}` and `hubs/{name}/check`."""

    collections = frozenset({"hubs"})

    def __init__(self, responder: HubsResponder) -> None:
        self._responder = responder

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
                return {}
