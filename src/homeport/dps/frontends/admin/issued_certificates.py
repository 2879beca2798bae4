from homeport.dps.administration import IssuedCertificatesResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_READ = DpsRight.REGISTRATION_STATUS_READ
_WRITE = DpsRight.REGISTRATION_STATUS_WRITE


class IssuedCertificatesResource:
    """`issuedCertificates`, `issuedCertificates/{serialNumber}`, and `revoke` of one or of all of a device."""

    collections = frozenset({"issuedcertificates"})

    def __init__(self, responder: IssuedCertificatesResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, caller = self._responder, request.body, request.caller
        match request.path:
            case ["issuedcertificates"]:
                wanted = request.parameters.get
                return {
                    "GET": (
                        _READ,
                        lambda: responder.list(
                            wanted("registrationid"),
                            wanted("certificateauthorityname"),
                            wanted("endswithinseconds"),
                            request.paging(),
                            caller.tracking_id,
                        ),
                    )
                }
            case ["issuedcertificates", "revoke"]:
                return {"POST": (_WRITE, lambda: responder.revoke_device(body, caller))}
            case ["issuedcertificates", serial_number]:
                return {"GET": (_READ, lambda: responder.get(serial_number, caller.tracking_id))}
            case ["issuedcertificates", serial_number, "revoke"]:
                return {"POST": (_WRITE, lambda: responder.revoke(serial_number, body, caller))}
            case _:
                return {}
