from homeport.dps.administration import CertificatesResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG = DpsRight.SERVICE_CONFIG


class CertificatesResource:
    """`certificates`, `certificates/{name}` with what can be done to it, and `expiring`. CRLs: see `CrlFrontEnd`."""

    collections = frozenset({"certificates", "expiring"})

    def __init__(self, responder: CertificatesResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, tracking_id = self._responder, request.body, request.tracking_id
        if_match = request.headers.get("if-match")
        match [request.path[0], *request.path[1:2], *(segment.lower() for segment in request.path[2:])]:
            case ["expiring"]:
                days = request.parameters.get("days")
                return {"GET": (_CONFIG, lambda: responder.expiring(days, tracking_id))}
            case ["certificates"]:
                return {"GET": (_CONFIG, lambda: responder.list(tracking_id))}
            case ["certificates", name]:
                return {
                    "GET": (_CONFIG, lambda: responder.get(name, tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put(name, body, if_match, tracking_id)),
                    "PATCH": (_CONFIG, lambda: responder.patch(name, body, if_match, tracking_id)),
                    "DELETE": (_CONFIG, lambda: responder.delete(name, if_match, tracking_id)),
                }
            case ["certificates", name, "generateverificationcode"]:
                return {"POST": (_CONFIG, lambda: responder.new_code(name, if_match, tracking_id))}
            case ["certificates", name, "verify"]:
                return {"POST": (_CONFIG, lambda: responder.verify(name, body, if_match, tracking_id))}
            case ["certificates", name, "crl"]:
                return {"DELETE": (_CONFIG, lambda: responder.delete_crl(name, tracking_id))}
            case _:
                return {}
