from homeport.dps.administration import EventHubsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class EventHubsResource:
    """`hubs/{name}/eventHubs`, `…/{endpoint}` and its `consumerGroups`: a part of the hubs' resource."""

    words = frozenset({"eventhubs"})

    def __init__(self, responder: EventHubsResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, by, tracking_id = self._responder, request.body, request.caller, request.tracking_id
        _, hub, _, *rest = request.path
        match [*rest[:1], *(word.lower() for word in rest[1:2]), *rest[2:]]:
            case []:
                return {"GET": (_READ, lambda: responder.list(hub, tracking_id))}
            case [endpoint]:
                return {
                    "GET": (_READ, lambda: responder.get(hub, endpoint, tracking_id)),
                    "PATCH": (_CONFIG, lambda: responder.patch(hub, endpoint, body, by)),
                }
            case [endpoint, "consumergroups"]:
                return {"GET": (_READ, lambda: responder.groups(hub, endpoint, tracking_id))}
            case [endpoint, "consumergroups", group]:
                return {
                    "PUT": (_CONFIG, lambda: responder.create_group(hub, endpoint, group, by)),
                    "DELETE": (_CONFIG, lambda: responder.remove_group(hub, endpoint, group, by)),
                }
            case _:
                return {}
