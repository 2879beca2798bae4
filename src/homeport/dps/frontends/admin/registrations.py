from homeport.dps.administration import RegistrationsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.dps.service_responder import query_text
from homeport.security.policies import DpsRight

_READ = DpsRight.REGISTRATION_STATUS_READ


class RegistrationsResource:
    """`registrations` and `registrations/query`: those of all devices."""

    collections = frozenset({"registrations"})

    def __init__(self, responder: RegistrationsResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, tracking_id = self._responder, request.tracking_id
        match request.path:
            case ["registrations"]:
                text = request.parameters.get("query", "")
                return {"GET": (_READ, lambda: responder.list(text, request.paging(), tracking_id))}
            case ["registrations", word] if word.lower() == "query":
                return {
                    "POST": (_READ, lambda: responder.list(query_text(request.body), request.paging(), tracking_id))
                }
            case _:
                return {}
