from homeport.dps.administration import AttemptsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_READ = DpsRight.REGISTRATION_STATUS_READ


class AttemptsResource:
    """`why/{registrationId}`, `attempts`, `attempts/{trackingId}`."""

    collections = frozenset({"why", "attempts"})

    def __init__(self, responder: AttemptsResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, tracking_id = self._responder, request.tracking_id
        match request.path:
            case ["why", name]:
                limit = request.parameters.get("limit")
                return {"GET": (_READ, lambda: responder.why(name, limit, tracking_id))}
            case ["attempts"]:
                return {"GET": (_READ, lambda: responder.list(request.paging(), tracking_id))}
            case ["attempts", wanted]:
                return {"GET": (_READ, lambda: responder.get(wanted, tracking_id))}
            case _:
                return {}
