from homeport.dps.administration import AllocationResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG = DpsRight.SERVICE_CONFIG


class AllocationResource:
    """`allocation/settings`, `allocation/signingKeys[/rotate]`, `allocation/explain`, `allocation/whatIf`."""

    collections = frozenset({"allocation"})

    def __init__(self, responder: AllocationResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, tracking_id = self._responder, request.body, request.tracking_id
        match [segment.lower() for segment in request.path[1:]]:
            case ["settings"]:
                return {
                    "GET": (_CONFIG, lambda: responder.settings(tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put_settings(body, request.caller)),
                }
            case ["signingkeys"]:
                return {"GET": (_CONFIG, lambda: responder.signing_keys(tracking_id))}
            case ["signingkeys", "rotate"]:
                return {"POST": (_CONFIG, lambda: responder.rotate_signing_keys(request.caller))}
            case ["explain"]:
                return {"POST": (_CONFIG, lambda: responder.explain(body, tracking_id))}
            case ["whatif"]:
                return {"POST": (_CONFIG, lambda: responder.what_if(body, request.paging(), tracking_id))}
            case _:
                return {}
