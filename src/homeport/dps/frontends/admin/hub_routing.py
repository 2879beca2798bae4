from homeport.dps.administration import EndpointsResponder, EnrichmentsResponder, RoutesResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class RoutesResource:
    """`hubs/{name}/routes` and `…/{route}`: a part of the hubs' resource."""

    words = frozenset({"routes"})

    def __init__(self, responder: RoutesResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, by, tracking_id = self._responder, request.body, request.caller, request.tracking_id
        _, hub, _, *rest = request.path
        match rest:
            case []:
                return {"GET": (_READ, lambda: responder.list(hub, tracking_id))}
            case [route]:
                return {
                    "GET": (_READ, lambda: responder.get(hub, route, tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put(hub, route, body, by)),
                    "DELETE": (_CONFIG, lambda: responder.delete(hub, route, by)),
                }
            case _:
                return {}


class RouteTestResource:
    """`hubs/{name}/testRoutes`: a part of the hubs' resource."""

    words = frozenset({"testroutes"})

    def __init__(self, responder: RoutesResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, tracking_id = self._responder, request.body, request.tracking_id
        match request.path:
            case [_, hub, _]:
                return {"POST": (_READ, lambda: responder.test(hub, body, tracking_id))}
            case _:
                return {}


class EndpointsResource:
    """`hubs/{name}/endpoints` and `…/{endpoint}`: a part of the hubs' resource."""

    words = frozenset({"endpoints"})

    def __init__(self, responder: EndpointsResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, by, tracking_id = self._responder, request.body, request.caller, request.tracking_id
        _, hub, _, *rest = request.path
        match rest:
            case []:
                return {"GET": (_READ, lambda: responder.list(hub, tracking_id))}
            case [endpoint]:
                return {
                    "GET": (_READ, lambda: responder.get(hub, endpoint, tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put(hub, endpoint, body, by)),
                    "DELETE": (_CONFIG, lambda: responder.delete(hub, endpoint, by)),
                }
            case _:
                return {}


class EnrichmentsResource:
    """`hubs/{name}/enrichments` and `…/{key}`: a part of the hubs' resource."""

    words = frozenset({"enrichments"})

    def __init__(self, responder: EnrichmentsResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, by, tracking_id = self._responder, request.body, request.caller, request.tracking_id
        _, hub, _, *rest = request.path
        match rest:
            case []:
                return {"GET": (_READ, lambda: responder.list(hub, tracking_id))}
            case [key]:
                return {
                    "GET": (_READ, lambda: responder.get(hub, key, tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put(hub, key, body, by)),
                    "DELETE": (_CONFIG, lambda: responder.delete(hub, key, by)),
                }
            case _:
                return {}
