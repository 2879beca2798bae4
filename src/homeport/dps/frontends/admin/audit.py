from homeport.dps.administration import AuditResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_READ = DpsRight.SERVICE_CONFIG_READ


class AuditResource:
    """`audit`, `audit/{number}`, `audit/head`, `audit/verify`."""

    collections = frozenset({"audit"})

    def __init__(self, responder: AuditResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, parameters, caller = self._responder, request.parameters, request.caller
        match request.path:
            case ["audit"]:
                return {"GET": (_READ, lambda: responder.list(parameters, request.paging(), caller))}
            case ["audit", "head"]:
                return {"GET": (_READ, lambda: responder.head(caller))}
            case ["audit", "verify"]:
                # It changes nothing, but takes its time: nothing that a browser or a proxy should repeat.
                return {"POST": (_READ, lambda: responder.verify(parameters, caller))}
            case ["audit", number]:
                return {"GET": (_READ, lambda: responder.get(number, caller))}
            case _:
                return {}
