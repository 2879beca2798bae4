"""What a noun under `/homeport/` offers: its addresses, and for each the methods with the right they need."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct

from homeport.dps.listing import Paging
from homeport.dps.reply import Reply
from homeport.security.callers import Caller
from homeport.security.policies import DpsRight

Calls = Mapping[str, tuple[DpsRight, Callable[[], Awaitable[Reply]]]]
"""Operations of one address by method, each with the right it needs."""


class AdminRequest(Struct, frozen=True, kw_only=True):
    """One administrator's request.

    `path` are the decoded segments behind `/homeport/`, the first one (the collection) in lower case; the names of
    `parameters` and `headers` are in lower case.
    """

    path: tuple[str, ...]
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    tracking_id: str
    caller: Caller
    """Who asks. Whatever changes something is handed it, for the journal; its rights are checked before it runs."""

    def paging(self) -> Paging:
        """Read page size and continuation. Raises HomeportError INVALID_REQUEST."""
        return Paging(self.headers.get("x-ms-max-item-count"), self.headers.get("x-ms-continuation"))


class AdminResource(Protocol):
    """The operations of one or a few collections."""

    @property
    def collections(self) -> frozenset[str]:
        """The first path segments, in lower case, that are this resource's; they are nobody else's."""
        ...

    def calls(self, request: AdminRequest) -> Calls:
        """Return the operations at this address; none if there is no such address. Nothing runs yet."""
        ...
