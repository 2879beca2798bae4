"""Whose client this is: SASL, OPEN and the first link, until a front-end has accepted it or it has been refused.

Never here: links and messages, and what a credential means.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn

from homeport.net.amqp_handlers import AmqpConnection, AmqpFrontEnd, AmqpHandler, AmqpOpening, SaslRefusal
from homeport.net.amqp_outlet import Outlet
from homeport.net.sites import Site, Sites
from homeport.net.stream import ConnectionClosedError, Peer
from homeport.proto.amqp import (
    PLAIN,
    Condition,
    Described,
    Error,
    Event,
    Open,
    RemoteProtocolError,
    SaslChallenge,
    SaslCode,
    SaslInit,
    SaslOutcome,
    SaslResponse,
    Symbol,
    ULong,
    parse_plain,
)
from homeport.values import replace

__all__ = ["INTERNAL", "Admission", "RefusedClientError"]

_log = logging.getLogger(__name__)

INTERNAL: Final = Error(condition=Condition.INTERNAL_ERROR, description="Internal server error.")
_NOBODY: Final = Error(condition=Condition.NOT_FOUND, description="Nobody here serves this client.")
_OPEN_ERROR: Final = Symbol("com.microsoft:open-error")
_ERROR_DESCRIPTOR: Final = ULong(0x1D)


class RefusedClientError(Exception):
    """The client is not let in; `error` is for our CLOSE, None where SASL has said it."""

    def __init__(self, reason: str, error: Error | None) -> None:
        super().__init__(reason)
        self.error = error


class Admission:
    """The beginning of one connection; a SaslExchange for front-ends. Its methods raise RefusedClientError."""

    def __init__(
        self,
        sites: Sites,
        site: Site,
        peer: Peer,
        outlet: Outlet,
        connection: AmqpConnection,
        next_event: Callable[[], Awaitable[Event | None]],
    ) -> None:
        self.handler: AmqpHandler | None = None
        """Whoever has accepted the client."""
        self.opened = False
        """Whether our OPEN is out."""
        self._sites = sites
        self._site = site
        self._peer = peer
        self._outlet = outlet
        self._connection = connection
        self._next_event = next_event
        self._opening = AmqpOpening()
        self._identity: tuple[AmqpFrontEnd, object] | None = None

    async def sasl(self, init: SaslInit) -> None:
        """Let a front-end judge the client by its SASL mechanism."""
        credentials = parse_plain(init.initial_response) if init.mechanism == PLAIN else None
        self._opening = AmqpOpening(
            mechanism=init.mechanism, identity=credentials.authentication_id if credentials else None
        )
        candidates = self._sites.find_amqp(self._site, self._opening)
        identity: object | None = None
        if candidates:
            # Where several could be meant, the mechanism is one that proves nothing; the first may say yes to it.
            front_end = candidates[0]
            try:
                identity = await front_end.authenticate(init, self._peer, self)
            except (RemoteProtocolError, ConnectionClosedError):
                raise
            except Exception:
                _log.exception("An AMQP front-end failed to authenticate a client")
                identity = SaslRefusal(code=SaslCode.SYS)
        if identity is None or isinstance(identity, SaslRefusal):
            refusal = identity or SaslRefusal()
            self._outlet.send(SaslOutcome(code=refusal.code, additional_data=refusal.additional_data))
            raise RefusedClientError("refused by SASL" if candidates else "nobody owns its SASL identity", None)
        self._identity = candidates[0], identity
        self._outlet.send(SaslOutcome(code=SaslCode.OK))

    async def challenge(self, data: bytes) -> bytes:
        self._outlet.send(SaslChallenge(challenge=data))
        event = await self._next_event()
        if isinstance(event, SaslResponse):
            return event.response
        if event is None:
            raise ConnectionClosedError("the client left in the middle of SASL")
        raise RemoteProtocolError("SASL expects a response here")

    async def open(self, hostname: str | None) -> None:
        """Answer the client's OPEN; if it may be anybody's client yet, without a promise."""
        self._opening = replace(self._opening, hostname=hostname)
        await self._choose()

    async def first_link(self, address: str) -> AmqpHandler:
        """Decide by the address of the first link, if OPEN did not."""
        if self.handler is None:
            self._opening = replace(self._opening, address=address)
            await self._choose()
        assert self.handler is not None
        return self.handler

    async def _choose(self) -> None:
        candidates = self._sites.find_amqp(self._site, self._opening)
        told = self._opening.address is not None
        if not candidates or (told and len(candidates) > 1):
            self._refuse(_NOBODY)
        if len(candidates) == 1:
            answer = await self._connect(candidates[0])
            if isinstance(answer, Error):
                self._refuse(answer)
            else:
                self.handler = answer
        self._say_open()

    async def _connect(self, front_end: AmqpFrontEnd) -> AmqpHandler | Error:
        judge, identity = self._identity or (front_end, None)
        try:
            return await front_end.connect(
                self._opening, identity if judge is front_end else None, self._peer, self._connection
            )
        except Exception:
            _log.exception("An AMQP front-end failed to connect a client")
            return INTERNAL

    def _say_open(self, properties: dict[Any, Any] | None = None) -> None:
        if not self.opened:
            self.opened = True
            self._outlet.send(Open(properties=properties))

    def _refuse(self, error: Error) -> NoReturn:
        # As the hosted service does: the reason stands in OPEN already, for clients that look no further.
        described = Described(_ERROR_DESCRIPTOR, [Symbol(error.condition), error.description, error.info])
        self._say_open({_OPEN_ERROR: described})
        raise RefusedClientError(f"refused with {error.condition}", error)
