from homeport.dps.administration.ip_filter import IpFilterResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG = DpsRight.SERVICE_CONFIG


class IpFilterResource:
    """`ipFilter` and `ipFilter/test/{address}`."""

    collections = frozenset({"ipfilter"})

    def __init__(self, responder: IpFilterResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, tracking_id = self._responder, request.tracking_id
        match request.path:
            case [_]:
                force = request.parameters.get("force", "").lower() == "true"
                return {
                    "GET": (_CONFIG, lambda: responder.get(tracking_id)),
                    "PUT": (
                        _CONFIG,
                        lambda: responder.put(
                            request.body,
                            request.headers.get("if-match"),
                            caller=request.caller,
                            force=force,
                        ),
                    ),
                }
            case [_, "test", address]:
                return {"GET": (_CONFIG, lambda: responder.test(address, tracking_id))}
            case _:
                return {}
