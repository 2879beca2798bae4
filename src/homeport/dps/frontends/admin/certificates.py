from homeport.dps.administration import CertificatesResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class CertificatesResource:
    """`certificates`, `certificates/{name}` with what can be done to it, and `expiring`. CRLs: see `CrlFrontEnd`."""

    collections = frozenset({"certificates", "expiring"})

    def __init__(self, responder: CertificatesResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, caller = self._responder, request.body, request.caller
        if_match = request.headers.get("if-match")
        match [request.path[0], *request.path[1:2], *(segment.lower() for segment in request.path[2:])]:
            case ["expiring"]:
                days = request.parameters.get("days")
                return {"GET": (_READ, lambda: responder.expiring(days, caller.tracking_id))}
            case ["certificates"]:
                return {"GET": (_READ, lambda: responder.list(caller.tracking_id))}
            case ["certificates", name]:
                return {
                    "GET": (_READ, lambda: responder.get(name, caller.tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put(name, body, if_match, caller)),
                    "PATCH": (_CONFIG, lambda: responder.patch(name, body, if_match, caller)),
                    "DELETE": (_CONFIG, lambda: responder.delete(name, if_match, caller)),
                }
            case ["certificates", name, "generateverificationcode"]:
                return {"POST": (_CONFIG, lambda: responder.new_code(name, if_match, caller))}
            case ["certificates", name, "verify"]:
                return {"POST": (_CONFIG, lambda: responder.verify(name, body, if_match, caller))}
            case ["certificates", name, "crl"]:
                return {"DELETE": (_CONFIG, lambda: responder.delete_crl(name, caller))}
            case _:
                return {}
