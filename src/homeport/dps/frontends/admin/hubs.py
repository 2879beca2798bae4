from collections.abc import Sequence
from typing import Protocol

from homeport.dps.administration import HubsResponder
from homeport.dps.frontends.admin.resource import AdminRequest, Calls
from homeport.security.policies import DpsRight

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class HubPart(Protocol):
    """What a hub of this server has of its own, below `hubs/{name}/{word}`."""

    @property
    def words(self) -> frozenset[str]:
        """The segments behind the hub's name, in lower case, that are this part's and nobody else's."""
        ...

    def calls(self, request: AdminRequest) -> Calls:
        """Return the operations at this address; see AdminResource."""
        ...


class HubsResource:
    """`hubs`, `hubs/{name}` and `hubs/{name}/check`; what is further below belongs to a part."""

    collections = frozenset({"hubs"})

    def __init__(self, responder: HubsResponder, parts: Sequence[HubPart] = ()) -> None:
        self._responder = responder
        self._parts = {word: part for part in parts for word in part.words}

    def calls(self, request: AdminRequest) -> Calls:
        responder, body, caller = self._responder, request.body, request.caller
        part = self._parts.get(request.path[2].lower()) if len(request.path) > 2 else None
        if part is not None:
            return part.calls(request)
        match request.path:
            case ["hubs"]:
                return {"GET": (_READ, lambda: responder.list(caller.tracking_id))}
            case ["hubs", name]:
                return {
                    "GET": (_READ, lambda: responder.get(name, caller.tracking_id)),
                    "PUT": (_CONFIG, lambda: responder.put(name, body, caller)),
                    "PATCH": (_CONFIG, lambda: responder.patch(name, body, caller)),
                    "DELETE": (_CONFIG, lambda: responder.delete(name, caller)),
                }
            case ["hubs", name, check] if check.lower() == "check":
                return {"POST": (_CONFIG, lambda: responder.check(name, caller.tracking_id))}
            case _:
                return {}
