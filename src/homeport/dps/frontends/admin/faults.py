from homeport.dps.administration.faults import FaultsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class FaultsResource:
    """`faults`, `faults/{id}`, `faults/history`, `faults/messages` and `faults/messages/{hub}`."""

    collections = frozenset({"faults"})

    def __init__(self, responder: FaultsResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, caller = self._responder, request.body, request.caller
        match request.path:
            case ["faults"]:
                return {
                    "GET": (_READ, lambda: responder.list(caller.tracking_id)),
                    "POST": (_CONFIG, lambda: responder.start(body, caller)),
                }
            case ["faults", "history"]:
                wanted = request.parameters.get
                return {
                    "GET": (
                        _READ,
                        lambda: responder.history(
                            wanted("fault"), wanted("deviceid"), wanted("limit"), caller.tracking_id
                        ),
                    )
                }
            case ["faults", "messages"]:
                return {"GET": (_READ, lambda: responder.messages(caller.tracking_id))}
            case ["faults", "messages", hub]:
                return {"PUT": (_CONFIG, lambda: responder.obey(hub, body, caller))}
            case ["faults", fault_id]:
                return {
                    "GET": (_READ, lambda: responder.get(fault_id, caller.tracking_id)),
                    "DELETE": (_CONFIG, lambda: responder.stop(fault_id, caller)),
                }
            case _:
                return {}
