from homeport.dps.administration import PoliciesResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class PoliciesResource:
    """`policies`, `policies/{name}`, and below it `keys`, `regenerate` and `swap`."""

    collections = frozenset({"policies"})

    def __init__(self, responder: PoliciesResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, by, tracking_id = self._responder, request.body, request.caller, request.tracking_id
        if_match = request.headers.get("if-match")
        match request.path:
            case ["policies"]:
                return {"GET": (_READ, lambda: responder.list(tracking_id))}
            case ["policies", name]:
                return {
                    "GET": (_READ, lambda: responder.get(name, tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.create(name, body, by)),
                    "PATCH": (_CONFIG, lambda: responder.change(name, body, if_match, by)),
                    "DELETE": (_CONFIG, lambda: responder.delete(name, if_match, by)),
                }
            case ["policies", name, "keys"]:
                return {"POST": (_CONFIG, lambda: responder.keys(name, tracking_id))}
            case ["policies", name, "regenerate"]:
                return {"POST": (_CONFIG, lambda: responder.regenerate(name, body, if_match, by))}
            case ["policies", name, "swap"]:
                return {"POST": (_CONFIG, lambda: responder.swap(name, if_match, by))}
            case _:
                return {}
