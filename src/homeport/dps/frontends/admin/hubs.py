from homeport.dps.administration import HubsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG = DpsRight.SERVICE_CONFIG


class HubsResource:
    """`hubs`, `hubs/{name}` and `hubs/{name}/check`."""

    collections = frozenset({"hubs"})

    def __init__(self, responder: HubsResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, tracking_id = self._responder, request.body, request.tracking_id
        match request.path:
            case ["hubs"]:
                return {"GET": (_CONFIG, lambda: responder.list(tracking_id))}
            case ["hubs", name]:
                return {
                    "GET": (_CONFIG, lambda: responder.get(name, tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put(name, body, tracking_id)),
                    "PATCH": (_CONFIG, lambda: responder.patch(name, body, tracking_id)),
                    "DELETE": (_CONFIG, lambda: responder.delete(name, tracking_id)),
                }
            case ["hubs", name, check] if check.lower() == "check":
                return {"POST": (_CONFIG, lambda: responder.check(name, tracking_id))}
            case _:
                return {}
