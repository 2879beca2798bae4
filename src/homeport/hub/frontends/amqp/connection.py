"""One AMQP connection to a hub: its links go by their addresses to whoever owns them (contract hub.md 14, 16.7).

What is proven belongs to the connection (`Proofs`); what an address means is its space's business. A new kind of
address is a new AddressSpace, given to the front-end: nothing here changes.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from homeport.clock import Clock
from homeport.hub.authentication import Reason, Refused
from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.amqp.addresses import Path, read_path
from homeport.hub.frontends.amqp.errors import link_error, unauthorized
from homeport.hub.frontends.amqp.proofs import MAX_TOKENS, HeldToken, Proofs, TokenJudge
from homeport.net.amqp_handlers import AmqpConnection, AmqpDelivery, AmqpReceiver, AmqpSender, LinkTerms
from homeport.net.stream import Peer
from homeport.proto.amqp import RELEASED, Error, Session
from homeport.security.ip_filter import Door

Allows = Callable[[Peer, Door], bool]
"""Whether the IP filter opens a door to a client."""

UNPROVEN: Final = timedelta(seconds=60)
"""How long a connection may last on which nothing is proven and no link but `$cbs` is open (contract hub.md 15.2)."""
UNJUDGED: Final = timedelta(hours=1)
"""The same with a client certificate: it is judged at the first link, which Node opens to send something."""


class LinkHandler(Protocol):
    """The links to one address space on one connection. Calls as those of an AmqpHandler, with the parsed address."""

    @property
    def active(self) -> bool:
        """Whether a link is open for which the connection is to stay, though no token is on it (X.509)."""
        ...

    async def attach_receiver(self, link: AmqpReceiver, path: Path) -> LinkTerms | Error:
        """Accept or refuse a link on which the client wants to send. HubError is answered with its condition."""
        ...

    async def attach_sender(self, link: AmqpSender, path: Path) -> LinkTerms | Error:
        """Accept or refuse a link on which the client wants to receive. HubError is answered with its condition."""
        ...

    async def message(self, link: AmqpReceiver, delivery: AmqpDelivery) -> None:
        """Take one message; see AmqpHandler.message."""
        ...

    def flow(self, link: AmqpSender, *, drain: bool) -> None:
        """Learn that the client gave credit on a link; see AmqpHandler.flow."""
        ...

    async def detached(self, link: AmqpReceiver | AmqpSender, error: Error | None) -> None:
        """Learn that the client ended a link; does not follow HubConnection.detach."""
        ...

    async def review(self) -> None:
        """Learn that tokens have come, were renewed or have expired: end the links that nothing allows any more.

        Called often, so be quick when nothing has changed; also at the time that HubConnection.review_at was told.
        """
        ...

    async def closed(self) -> None:
        """Learn that the connection has ended; called once. `detached` was not called for links that were open."""
        ...


class AddressSpace(Protocol):
    """Addresses of one kind at a hub; one object for all connections."""

    @property
    def door(self) -> Door | None:
        """Which door of the IP filter these addresses are behind; None: open to whoever may connect at all."""
        ...

    def owns(self, path: Path) -> bool:
        """Tell whether an address is meant for this space, malformed or not; pure and quick. Spaces are disjoint."""
        ...

    def join(self, connection: "HubConnection") -> LinkHandler:
        """Make the handler of one connection; called when its first link to this space comes."""
        ...


class HubConnection:
    """One connection (an AmqpHandler), and what the handlers of its links are given."""

    def __init__(
        self,
        judge: TokenJudge,
        proofs: Proofs,
        peer: Peer,
        connection: AmqpConnection,
        spaces: Sequence[AddressSpace],
        allows: Allows,
        clock: Clock,
        *,
        host: str,
    ) -> None:
        """`host` is what the client said in OPEN, without port, in lower case; it may be any name."""
        self.peer = peer
        self.host = host
        self.proofs = proofs
        """What the client has proven by tokens; its certificates are in `peer.chain`."""
        self._judge = judge
        self._connection = connection
        self._spaces = spaces
        self._allows = allows
        self._clock = clock
        self._joined: dict[int, LinkHandler] = {}
        """By the position of the space."""
        self._links: dict[AmqpReceiver | AmqpSender, LinkHandler] = {}
        self._patience = UNJUDGED if peer.chain else UNPROVEN
        self._unproven_until = clock.now() + self._patience
        self._review_at: datetime | None = None
        """When the first right ends that rests on no token."""
        self._ends_changed = asyncio.Event()
        self._watching = False

    # ------------------------------------------------------------ for the handlers of links

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this alongside the connection; see AmqpConnection.run."""
        self._connection.run(work)

    async def room(self) -> None:
        """Wait until little enough waits to be read by the client; see AmqpConnection.room."""
        await self._connection.room()

    def close(self, error: Error | None = None) -> None:
        """End the connection soon; see AmqpConnection.close."""
        self._connection.close(error)

    def abort(self) -> None:
        """End the connection as if the network had failed; see AmqpConnection.abort."""
        self._connection.abort()

    @property
    def links(self) -> Sequence[AmqpReceiver | AmqpSender]:
        """The links that are open, whoever's they are."""
        return tuple(self._links)

    async def break_link(self, link: AmqpReceiver | AmqpSender, error: Error) -> None:
        """End a link as if the client had: its handler learns of it by `detached`."""
        if link in self._links:
            link.detach(error)
            await self.detached(link, error)

    async def break_session(self, session: Session, error: Error) -> None:
        """End a session; the handlers of its links learn of it by `detached`."""
        for link in self._connection.end_session(session, error):
            await self.detached(link, error)

    def detach(self, link: AmqpReceiver | AmqpSender, error: Error | None = None) -> None:
        """End a link. Handlers call this, not the link's own `detach`; their `detached` does not follow."""
        if self._links.pop(link, None) is not None:
            link.detach(error)
            self._note_use()

    async def put_token(self, text: str) -> Refused | None:
        """Judge a token and take it in; None if it is good. Links that it renews, or that it replaces, are reviewed."""
        verdict = await self._judge.judge(text, self.peer)
        if isinstance(verdict, Refused):
            return verdict
        return await self.hold(verdict)

    async def hold(self, held: HeldToken) -> Refused | None:
        """Take in a token that has been judged."""
        if not self.proofs.hold(held):
            return Refused(reason=Reason.TOO_MANY, explanation=f"At most {MAX_TOKENS} tokens on one connection.")
        self._look_out()
        await self._review()
        return None

    def review_at(self, at: datetime) -> None:
        """Have the links reviewed at this time, too: what allows one then ends, and it is no token (X.509)."""
        if self._review_at is None or at < self._review_at:
            self._review_at = at
            self._look_out()

    def turn_out(self) -> None:
        """End the connection if it has used a door of the IP filter that is closed to it now."""
        doors = {self._spaces[position].door for position in self._joined}
        if any(door is not None and not self._allows(self.peer, door) for door in doors):
            self.close(unauthorized("Unauthorized"))

    # ------------------------------------------------------------ for the loop

    @property
    def expires_at(self) -> datetime | None:
        """When a connection ends that nobody has a right to."""
        return None if self._in_use else self._unproven_until

    async def attach_receiver(self, link: AmqpReceiver) -> LinkTerms | Error:
        found = self._find(link)
        if isinstance(found, Error):
            return found
        handler, path = found
        try:
            answer = await handler.attach_receiver(link, path)
        except HubError as fault:
            answer = link_error(fault)
        return self._attached(link, handler, answer)

    async def attach_sender(self, link: AmqpSender) -> LinkTerms | Error:
        found = self._find(link)
        if isinstance(found, Error):
            return found
        handler, path = found
        try:
            answer = await handler.attach_sender(link, path)
        except HubError as fault:
            answer = link_error(fault)
        return self._attached(link, handler, answer)

    async def message(self, link: AmqpReceiver, delivery: AmqpDelivery) -> None:
        handler = self._links.get(link)
        if handler is None:
            delivery.settle(RELEASED)  # we have ended the link meanwhile
        else:
            await handler.message(link, delivery)

    def flow(self, link: AmqpSender, *, drain: bool) -> None:
        handler = self._links.get(link)
        if handler is not None:
            handler.flow(link, drain=drain)

    async def detached(self, link: AmqpReceiver | AmqpSender, error: Error | None) -> None:
        handler = self._links.pop(link, None)
        if handler is not None:
            await handler.detached(link, error)
            self._note_use()

    async def closed(self, *, orderly: bool) -> None:
        del orderly
        self._links.clear()
        async with asyncio.TaskGroup() as tasks:
            for handler in self._joined.values():
                tasks.create_task(handler.closed())

    # ------------------------------------------------------------ inside

    @property
    def _in_use(self) -> bool:
        return len(self.proofs) > 0 or any(handler.active for handler in self._joined.values())

    def _note_use(self) -> None:
        if not self._in_use:
            self._unproven_until = self._clock.now() + self._patience

    def _find(self, link: AmqpReceiver | AmqpSender) -> tuple[LinkHandler, Path] | Error:
        path = read_path(link.address)
        for position, space in enumerate(self._spaces if path is not None else ()):
            if path is not None and space.owns(path):
                if space.door is not None and not self._allows(self.peer, space.door):
                    return unauthorized("Unauthorized")
                handler = self._joined.get(position)
                if handler is None:
                    handler = self._joined[position] = space.join(self)
                return handler, path
        return link_error(HubError(HubCode.OPERATION_NOT_FOUND, "There is no such address."))

    def _attached(
        self, link: AmqpReceiver | AmqpSender, handler: LinkHandler, answer: LinkTerms | Error
    ) -> LinkTerms | Error:
        if isinstance(answer, LinkTerms):
            self._links[link] = handler
        return answer

    async def _review(self) -> None:
        for handler in tuple(self._joined.values()):
            await handler.review()

    def _look_out(self) -> None:
        """Learn that something ends sooner than was known, or later."""
        self._ends_changed.set()
        if not self._watching:
            self._watching = True
            self.run(self._watch())

    async def _watch(self) -> None:
        """Let tokens and certificates go as they expire, and what they held open with them (contract hub.md 2.7)."""
        while True:
            self._ends_changed.clear()
            ends = [each for each in (self.proofs.next_end, self._review_at) if each is not None]
            async with asyncio.TaskGroup() as tasks:
                alarm = tasks.create_task(self._alarm(min(ends, default=None)))
                await self._ends_changed.wait()
                alarm.cancel()
            expired = self.proofs.drop_expired()
            due = self._review_at is not None and self._review_at <= self._clock.now()
            if due:
                self._review_at = None
            if expired or due:
                await self._review()
                if not self._in_use:
                    self.close(unauthorized(f"The {'token' if expired else 'certificate'} has expired."))

    async def _alarm(self, at: datetime | None) -> None:
        if at is not None:
            await self._clock.sleep((at - self._clock.now()).total_seconds())
            self._ends_changed.set()
