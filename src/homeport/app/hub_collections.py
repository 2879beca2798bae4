"""What hubs of this server have several of, each under a name, as administrators of the provisioning service see it.

The service's front-end carries it, the hub decides: only the roof knows both.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from msgspec.json import Decoder

from homeport.dps.frontends.admin import AdminRequest, Calls
from homeport.dps.listing import read
from homeport.dps.reply import Reply, success
from homeport.errors import Code, HomeportError
from homeport.hub.hubs import Hubs
from homeport.hub.routing.collection import Collection
from homeport.hub.routing.ports import Setting
from homeport.hub.served_hub import ServedHub
from homeport.security.callers import Caller
from homeport.security.policies import DpsRight

S = TypeVar("S", bound=Setting)
D = TypeVar("D")
W = TypeVar("W")

_CONFIG, _READ = DpsRight.SERVICE_CONFIG, DpsRight.SERVICE_CONFIG_READ


class HubCollection(ABC, Generic[S, D, W]):
    """`hubs/{name}/{word}` and `…/{member}`: a part of the hubs' resource."""

    words: ClassVar[frozenset[str]]
    decoder: Decoder[W]
    """Reads the body of PUT."""

    def __init__(self, hubs: Hubs) -> None:
        self._hubs = hubs

    def calls(self, request: AdminRequest) -> Calls:
        _, hub, _, *rest = request.path
        match rest:
            case []:
                return {"GET": (_READ, lambda: self._list(hub, request))}
            case [member]:
                return {
                    "GET": (_READ, lambda: self._get(hub, member, request)),
                    "PUT": (_CONFIG, lambda: self._put(hub, member, request)),
                    "DELETE": (_CONFIG, lambda: self._delete(hub, member, request)),
                }
            case _:
                return {}

    async def _list(self, hub: str, request: AdminRequest) -> Reply:
        served = hub_named(self._hubs, hub)
        documents = [await self.document(served, each) for each in await self.of(served).all()]
        return success(200, documents, request.tracking_id)

    async def _get(self, hub: str, name: str, request: AdminRequest) -> Reply:
        served = hub_named(self._hubs, hub)
        return success(200, await self.document(served, await self.of(served).get(name)), request.tracking_id)

    async def _put(self, hub: str, name: str, request: AdminRequest) -> Reply:
        document = read(self.decoder, request.body)
        made = await self.put(hub_named(self._hubs, hub), name, document, by=request.caller)
        return success(200, made, request.tracking_id)

    async def _delete(self, hub: str, name: str, request: AdminRequest) -> Reply:
        await self.of(hub_named(self._hubs, hub)).delete(name, by=request.caller)
        return Reply(status=204, body=b"", tracking_id=request.tracking_id)

    @abstractmethod
    def of(self, served: ServedHub) -> Collection[S]:
        """Return this collection of a hub."""

    @abstractmethod
    async def put(self, served: ServedHub, name: str, document: W, *, by: Caller) -> D:
        """Make or replace one, and say how it is now. Raise INVALID_REQUEST."""

    @abstractmethod
    async def document(self, served: ServedHub, setting: S) -> D:
        """Say how one is."""


def hub_named(hubs: Hubs, name: str) -> ServedHub:
    """Find a hub by its name, in any letter case. Raise NOT_FOUND."""
    for served in hubs:
        if served.name.lower() == name.lower():
            return served
    raise HomeportError(Code.NOT_FOUND, "This server has no hub of that name.")
