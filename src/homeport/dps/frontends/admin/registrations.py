from homeport.dps.administration import RegistrationsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight


class RegistrationsResource:
    """`registrations`: those of all devices."""

    collections = frozenset({"registrations"})

    def __init__(self, responder: RegistrationsResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        if len(request.path) > 1:
            return {}
        listing = lambda: self._responder.list(request.paging(), request.tracking_id)  # noqa: E731
        return {"GET": (DpsRight.REGISTRATION_STATUS_READ, listing)}
