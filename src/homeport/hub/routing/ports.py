"""What routing needs from the world; every object serves one hub, and suites in tests/contract prove the stores."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from homeport.hub.model import Endpoint, Enrichment, Route, Routing
from homeport.security.callers import Caller

Setting = Route | Endpoint | Enrichment


class RoutingChange(Struct, frozen=True, kw_only=True):
    """The routing as it shall be, and what is told of it: one route, endpoint or enrichment, before and after."""

    routing: Routing
    collection: str
    """`routes`, `endpoints` or `enrichments`."""
    name: str
    before: Setting | None
    after: Setting | None


class RoutingStore(Protocol):
    """A hub's routing. The stream of an endpoint comes and goes with the endpoint."""

    async def get(self) -> Routing:
        """Return the routing as it is; cheap if nothing has changed. A change by any process is seen."""
        ...

    async def change(self, decide: Callable[[Routing], RoutingChange], *, now: datetime, by: Caller) -> Routing:
        """Let `decide` see the routing, store and tell of what it says in one transaction; return the new routing.

        It may be called more than once. What it raises changes nothing and reaches the caller.
        """
        ...


class Standing(Struct, frozen=True, kw_only=True):
    """How delivery to an endpoint stands."""

    positions: Mapping[int, int]
    """The offset up to which, not including it, each partition is done; one that is missing has not begun."""
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_failure: str = ""


class DeliveryStore(Protocol):
    """How far messages have been carried to each endpoint, and who carries them: one at a time, under a lease."""

    async def standing(self, endpoint: str) -> Standing: ...

    async def claim(self, endpoint: str, *, owner: str, now: datetime, until: datetime) -> Standing | None:
        """Lease an endpoint and return where to go on; None if it is gone or somebody else has it."""
        ...

    async def advance(self, endpoint: str, standing: Standing, *, owner: str, until: datetime) -> bool:
        """Note how far it is done, durably, and renew the lease; False, and nothing noted, if it is not ours.

        Times and texts that are None or empty leave what was noted before.
        """
        ...

    async def release(self, endpoint: str, *, owner: str) -> None:
        """Give the lease back."""
        ...

    async def release_all(self) -> None:
        """Void every lease. Only for the sole process of a database, before it begins: all holders are dead."""
        ...
