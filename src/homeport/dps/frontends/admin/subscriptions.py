from homeport.dps.administration import SubscriptionsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class SubscriptionsResource:
    """`eventSubscriptions`, `eventSubscriptions/{name}`, and behind the name `test`, `replay`, `deadLetters`."""

    collections = frozenset({"eventsubscriptions"})

    def __init__(self, responder: SubscriptionsResponder) -> None:
        self._responder = responder

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, caller = self._responder, request.body, request.caller
        match [*request.path[:2], *(word.lower() for word in request.path[2:])]:
            case [_]:
                return {"GET": (_READ, lambda: responder.list(caller))}
            case [_, name]:
                return {
                    "GET": (_READ, lambda: responder.get(name, caller)),
                    "PUT": (_CONFIG, lambda: responder.put(name, body, caller)),
                    "DELETE": (_CONFIG, lambda: responder.delete(name, caller)),
                }
            case [_, name, "test"]:
                return {"POST": (_CONFIG, lambda: responder.test(name, caller))}
            case [_, name, "replay"]:
                return {"POST": (_CONFIG, lambda: responder.replay(name, body, caller))}
            case [_, name, "deadletters"]:
                return {"GET": (_READ, lambda: responder.dead_letters(name, request.paging(), caller))}
            case _:
                return {}
