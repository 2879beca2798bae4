"""What routes, endpoints and enrichments have in common: a hub has a few of each, every one under a name."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from homeport.errors import Code, HomeportError
from homeport.hub.model import Routing
from homeport.hub.routing.current import CurrentRouting
from homeport.hub.routing.ports import RoutingChange, Setting
from homeport.security.callers import Caller
from homeport.values import replace

S = TypeVar("S", bound=Setting)


class Collection(ABC, Generic[S]):
    """Answers administrators about one of the three, of one hub. Refusals are HomeportError."""

    noun: ClassVar[str]
    """One of them. With an s: the member of Routing, and what addresses and the journal say."""
    key: ClassVar[str] = "name"
    """The member that names one."""
    most: ClassVar[int]
    besides: ClassVar[str] = ""
    """What `most` does not count."""

    def __init__(self, current: CurrentRouting) -> None:
        self._current = current

    async def all(self) -> Sequence[S]:
        return self._all(await self._current.stored())

    async def get(self, name: str) -> S:
        """Raise NOT_FOUND."""
        return self._existing(await self._current.stored(), name)

    async def put(self, name: str, build: Callable[[S | None], S], *, by: Caller) -> S:
        """Make or replace one; `build` makes it of the stored one, more than once if need be. Raise INVALID_REQUEST."""
        await self._check(build(self._find(await self._current.stored(), name)))

        def decide(routing: Routing) -> RoutingChange:
            before = self._find(routing, name)
            made, kept = self._fitted(routing, build(before), before), self._kept(routing)
            kept = (*kept, made) if before is None else tuple(made if each is before else each for each in kept)
            if len(kept) > self.most:
                raise invalid(f"A hub has at most {self.most} {self.noun}s{self.besides}.")
            return self._told(routing, kept, before, made)

        return self._existing(await self._current.change(decide, by), name)

    async def delete(self, name: str, *, by: Caller) -> None:
        """Raise NOT_FOUND, or what speaks against it."""

        def decide(routing: Routing) -> RoutingChange:
            before = self._existing(routing, name)
            self._check_end(routing, before)
            return self._told(routing, tuple(each for each in self._kept(routing) if each is not before), before, None)

        await self._current.change(decide, by)

    # ---------------------------------------------------------------- in which they differ

    @abstractmethod
    async def _check(self, setting: S) -> None:
        """Raise INVALID_REQUEST for what is wrong whatever else the routing has."""

    @abstractmethod
    def _fitted(self, routing: Routing, setting: S, before: S | None) -> S:
        """Return it as it shall be stored. Raise INVALID_REQUEST if it does not go with what is there."""

    def _check_end(self, routing: Routing, setting: S) -> None:
        """Raise what speaks against deleting it."""

    def _all(self, routing: Routing) -> tuple[S, ...]:
        return self._kept(routing)

    def _is_same(self, one: str, other: str) -> bool:
        return one.lower() == other.lower()

    # ---------------------------------------------------------------- for all of them

    def _kept(self, routing: Routing) -> tuple[S, ...]:
        kept: tuple[S, ...] = getattr(routing, f"{self.noun}s")
        return kept

    def _find(self, routing: Routing, name: str) -> S | None:
        return next((each for each in self._all(routing) if self._is_same(getattr(each, self.key), name)), None)

    def _existing(self, routing: Routing, name: str) -> S:
        found = self._find(routing, name)
        if found is None:
            raise HomeportError(Code.NOT_FOUND, f"There is no such {self.noun}.")
        return found

    def _told(self, routing: Routing, kept: tuple[S, ...], before: S | None, after: S | None) -> RoutingChange:
        members: dict[str, Any] = {f"{self.noun}s": kept}
        name = getattr(after or before, self.key)
        return RoutingChange(
            routing=replace(routing, **members), collection=f"{self.noun}s", name=name, before=before, after=after
        )


def invalid(message: str) -> HomeportError:
    return HomeportError(Code.INVALID_REQUEST, message)
