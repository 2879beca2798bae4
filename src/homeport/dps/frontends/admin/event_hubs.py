from homeport.dps.administration import EventHubsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ
_WORDS = frozenset({2, 4})
"""The places in a path of what is no name."""


class EventHubsResource:
    """`hubs/{name}/eventHubs`, `…/{endpoint}` and its `consumerGroups` (HubParts)."""

    def __init__(self, responder: EventHubsResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, by, tracking_id = self._responder, request.body, request.caller, request.tracking_id
        words = [segment.lower() if place in _WORDS else segment for place, segment in enumerate(request.path)]
        match words[1:]:
            case [hub, "eventhubs"]:
                return {"GET": (_READ, lambda: responder.list(hub, tracking_id))}
            case [hub, "eventhubs", endpoint]:
                return {
                    "GET": (_READ, lambda: responder.get(hub, endpoint, tracking_id)),
                    "PATCH": (_CONFIG, lambda: responder.patch(hub, endpoint, body, by)),
                }
            case [hub, "eventhubs", endpoint, "consumergroups"]:
                return {"GET": (_READ, lambda: responder.groups(hub, endpoint, tracking_id))}
            case [hub, "eventhubs", endpoint, "consumergroups", group]:
                return {
                    "PUT": (_CONFIG, lambda: responder.create_group(hub, endpoint, group, by)),
                    "DELETE": (_CONFIG, lambda: responder.remove_group(hub, endpoint, group, by)),
                }
            case _:
                return {}
