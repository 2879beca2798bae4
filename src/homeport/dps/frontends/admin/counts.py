from homeport.dps.administration import CountsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight


class CountsResource:
    """`counts`."""

    collections = frozenset({"counts"})

    def __init__(self, responder: CountsResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        if len(request.path) > 1:
            return {}
        return {"GET": (DpsRight.ENROLLMENT_READ, lambda: self._responder.get(request.tracking_id))}
