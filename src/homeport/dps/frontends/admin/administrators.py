from homeport.dps.administration import AdministratorsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class AdministratorsResource:
    """`administrators`, `administrators/{name}`, `administrators/{name}/token`, and `me`."""

    collections = frozenset({"administrators", "me"})

    def __init__(self, responder: AdministratorsResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, caller = self._responder, request.body, request.caller
        match request.path:
            case ["me"]:
                return {"GET": (_READ, lambda: responder.me(caller))}
            case ["administrators"]:
                return {"GET": (_CONFIG, lambda: responder.list(caller))}
            case ["administrators", name]:
                return {
                    "GET": (_CONFIG, lambda: responder.get(name, caller)),
                    "PUT": (_CONFIG, lambda: responder.put(name, body, caller)),
                    "PATCH": (_CONFIG, lambda: responder.patch(name, body, caller)),
                    "DELETE": (_CONFIG, lambda: responder.delete(name, caller)),
                }
            case ["administrators", name, "token"]:
                return {"POST": (_CONFIG, lambda: responder.renew(name, body, caller))}
            case _:
                return {}
