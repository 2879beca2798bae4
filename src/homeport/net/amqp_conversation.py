"""One AMQP connection: moves bytes between a stream and the protocol engine, and lets a handler answer.

Never here: what addresses, credentials or messages mean, and whose client it is.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, assert_never

from homeport.clock import Clock
from homeport.net.amqp_admission import INTERNAL, Admission, RefusedClientError
from homeport.net.amqp_farewell import last_ends
from homeport.net.amqp_handlers import AmqpHandler
from homeport.net.amqp_limits import AmqpLimits
from homeport.net.amqp_links import Incoming, Links, Receiver, Sender
from homeport.net.amqp_outlet import Outlet
from homeport.net.patience import Patience
from homeport.net.sites import Sites
from homeport.net.stream import ByteStream, ConnectionClosedError, Peer
from homeport.proto.amqp import (
    ACCEPTED,
    AmqpProtocolError,
    Attached,
    Begin,
    Begun,
    Closed,
    Condition,
    Connection,
    Delivery,
    Detached,
    Disposed,
    End,
    Ended,
    Error,
    Event,
    Flowed,
    Link,
    Opened,
    Rejected,
    RemoteProtocolError,
    Role,
    SaslChallenge,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    SaslResponse,
    Session,
)

__all__ = ["Conversation"]

_log = logging.getLogger(__name__)

_CONTAINER: Final = "homeport"
_STALLED: Final = 0.01
"""Seconds between two looks at a client whose window is closed."""


class Conversation:
    """One client's connection from its first byte to the last; the AmqpConnection of its handler."""

    def __init__(self, stream: ByteStream, host: str | None, sites: Sites, clock: Clock, limits: AmqpLimits) -> None:
        self._stream = stream
        self._peer = stream.peer
        self._clock = clock
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        site = sites.resolve(self._peer.server_name, host, self._peer.local.host)
        self._engine = Connection(
            Role.SERVER, container_id=_CONTAINER, mechanisms=sites.mechanisms(site), limits=limits.protocol
        )
        self._outlet = Outlet(stream, self._engine)
        self._links = Links(self._outlet, self._check_waiting)
        self._admission = Admission(sites, site, self._peer, self._outlet, self, self._next)
        self._events: deque[Event] = deque()
        self._connect_by: float | None = self._loop.time() + limits.connect_seconds
        self._group = asyncio.TaskGroup()

        self._handler: AmqpHandler | None = None
        self._orderly = False

        self._closing = False  # somebody wants the end, perhaps while we wait for the client
        self._draining = False  # and what has been received is to be answered first
        self._ended = False
        self._error: Error | None = None  # for our CLOSE
        self._patience = Patience()  # around the wait for the client

        self._handlers: set[asyncio.Task[None]] = set()
        self._handler_done = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()

    @property
    def peer(self) -> Peer:
        """The other end of the stream."""
        return self._peer

    # --- the loop -----------------------------------------------------------------------------------------------

    async def hold(self) -> None:
        """Talk until the end, then clean up; always calls the handler's `closed`, even when cancelled."""
        try:
            async with self._group:
                try:
                    await self._converse()
                except RefusedClientError as refusal:
                    self._log_closed(str(refusal))
                    self._error = refusal.error
                except RemoteProtocolError as fault:
                    self._log_closed(str(fault))
                except ConnectionClosedError:
                    pass
                except Exception:
                    _log.exception("The AMQP loop failed; the connection is closed")
                    self._error = INTERNAL
                finally:
                    self._end()
                self._group.create_task(self._guard(self._hang_up()))
                await self._wind_up()
                await self._tell_closed()
        finally:
            await self._tell_closed()

    async def _converse(self) -> None:
        while (event := await self._next()) is not None:
            if not await self._answer(event):
                return
        if self._draining and self._handlers:
            await asyncio.wait(self._handlers, timeout=self._limits.finish_seconds)

    async def _next(self) -> Event | None:
        """Return the next thing that the client says, None at the end."""
        while not self._closing:
            if self._events:
                return self._events.popleft()
            if self._engine.held:
                self._events.extend(self._engine.receive(b""))
                continue
            self._outlet.flush()
            self._patience.begin(self._deadline())
            try:
                await self._stream.drain()
                data = await self._stream.read()
            except asyncio.CancelledError:
                if not self._patience.was_over():
                    raise
                continue  # the reason shows when the deadlines are looked at again
            finally:
                self._patience.end()
            if not data:
                return None
            self._events.extend(self._engine.receive(data))
        return None

    def _deadline(self) -> float | None:
        """Tell when to stop waiting for the client. Closes what is overdue; raises the engine's faults."""
        now = self._loop.time()
        deadlines = [self._engine.tick(now), self._connect_by]
        self._outlet.flush()
        if self._connect_by is not None and now >= self._connect_by:
            raise RemoteProtocolError("it did not say in time who it is")
        if self._handler is not None and (expiry := self._handler.expires_at) is not None:
            left = (expiry - self._clock.now()).total_seconds()
            if left <= 0:
                self._log_closed("its time is over")
                self.close(Error(condition=Condition.UNAUTHORIZED_ACCESS, description="The right to it has expired."))
            deadlines.append(now + left)
        if self._closing:
            return now
        return min((each for each in deadlines if each is not None), default=None)

    async def _answer(self, event: Event) -> bool:
        """Deal with one thing the client says; False when it was the last."""
        match event:
            case Delivery():
                await self._deliver(event)
            case Flowed():
                for sender in self._links.flowed(event):
                    self._flowed(sender, drain=event.drain)
            case Disposed():
                if isinstance(made := self._links.get(event.link), Sender):
                    made.disposed(event)
            case Attached():
                await self._attach(event)
            case Detached():
                await self._forget(event.link, event.error)
            case Begun():
                self._outlet.send(Begin(session=event.session))
            case Ended():
                for link in self._links.of_session(event.session):
                    await self._forget(link, event.error)
            case Opened():
                await self._admission.open(event.hostname)
                self._admitted()
            case SaslInit():
                await self._admission.sasl(event)
            case Closed():
                self._orderly = True
                return False
            case SaslResponse() | SaslMechanisms() | SaslChallenge() | SaslOutcome():
                # The engine lets a client say none of these here.
                raise RemoteProtocolError("SASL out of turn")
            case _:
                assert_never(event)
        return True

    # --- links and messages ---------------------------------------------------------------------------------------

    async def _attach(self, event: Attached) -> None:
        made = self._links.make(event)
        handler = await self._admission.first_link(made.address)
        self._admitted()
        try:
            answer = (
                await handler.attach_receiver(made) if isinstance(made, Receiver) else await handler.attach_sender(made)
            )
        except Exception:
            _log.exception("An AMQP front-end failed to attach a link")
            answer = INTERNAL
        if isinstance(answer, Error):
            self._links.refuse(made, answer)
        else:
            self._links.accept(made, answer)

    def _admitted(self) -> None:
        if self._admission.handler is not None and self._handler is None:
            self._handler, self._connect_by = self._admission.handler, None

    def _flowed(self, sender: Sender, *, drain: bool) -> None:
        assert self._handler is not None
        try:
            self._handler.flow(sender, drain=drain)
        except Exception:
            _log.exception("An AMQP front-end failed on credit; its connection is closed")
            self.close(INTERNAL)
        if drain:
            sender.give_back()

    async def _forget(self, link: Link, error: Error | None) -> None:
        gone = self._links.forget(link)
        if gone is None or self._handler is None:
            return
        try:
            await self._handler.detached(gone, error)
        except Exception:
            _log.exception("An AMQP front-end failed on the end of a link; its connection is closed")
            self.close(INTERNAL)

    async def _deliver(self, event: Delivery) -> None:
        while len(self._handlers) >= self._limits.handled_at_once and not self._closing:
            self._handler_done.clear()
            self._outlet.flush()
            await self._handler_done.wait()
        link = self._links.get(event.link)
        if self._closing or not isinstance(link, Receiver):
            return
        link.handled += 1
        task = self._group.create_task(self._call(link, Incoming(event, self._outlet)))
        self._handlers.add(task)
        task.add_done_callback(self._handled)

    async def _call(self, link: Receiver, delivery: Incoming) -> None:
        assert self._handler is not None
        try:
            await self._handler.message(link, delivery)
        except RemoteProtocolError as fault:
            self._log_closed(str(fault))
            condition = fault.condition if isinstance(fault, AmqpProtocolError) else Condition.NOT_ALLOWED
            self.close(Error(condition=condition, description=str(fault)))
        except Exception:
            _log.exception("An AMQP front-end failed on a message")
            delivery.settle(Rejected(error=INTERNAL))
        else:
            delivery.settle(ACCEPTED)
        finally:
            link.handled -= 1
            link.top_up()

    def _handled(self, task: asyncio.Task[None]) -> None:
        self._handlers.discard(task)
        self._handler_done.set()

    def _check_waiting(self) -> None:
        if self._links.held_bytes + self._outlet.waiting > self._limits.waiting_bytes and not self._closing:
            self._log_closed("it does not read")
            self.close(Error(condition=Condition.RESOURCE_LIMIT_EXCEEDED, description="Too much waits to be read."))

    # --- the AmqpConnection -----------------------------------------------------------------------------------------

    async def room(self) -> None:
        self._outlet.flush()
        await self._stream.drain()
        while not self._ended and self._links.held_bytes + self._outlet.waiting > self._limits.waiting_bytes // 4:  # noqa: ASYNC110
            await asyncio.sleep(_STALLED)  # it is the peer that makes room, and of windows nobody tells

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        if self._ended:
            work.close()
            return
        task = self._group.create_task(self._guard(work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        # A task that is cancelled before its first step leaves its work unawaited.
        task.add_done_callback(lambda _: work.close())

    def close(self, error: Error | None = None) -> None:
        if not self._closing:
            self._closing = True
            self._error = self._error or error
        self._handler_done.set()
        self._patience.ring()

    def abort(self) -> None:
        self._stream.abort()
        self.close()

    def end_session(self, session: Session, error: Error | None = None) -> Sequence[Receiver | Sender]:
        self._outlet.send(End(session=session, error=error))
        ended = [self._links.forget(link) for link in self._links.of_session(session)]
        return [link for link in ended if link is not None]

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ConnectionClosedError:
            pass
        except Exception:
            _log.exception("Work beside an AMQP connection failed; the connection is closed")
            self.close(INTERNAL)

    # --- the end ------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Read no more, answer what is being handled, then close: the server goes down."""
        self._draining = True
        self.close(Error(condition=Condition.CONNECTION_FORCED, description="The server is going down."))

    def _end(self) -> None:
        self._closing = self._ended = True
        self._patience.close()
        sessions = last_ends([(each, self._links.attached(each)) for each in self._engine.sessions], self._error)
        self._links.end()
        self._outlet.end(self._error, sessions)
        for task in self._work:
            task.cancel()

    async def _hang_up(self) -> None:
        """Give the client the time to read our CLOSE and to answer it: with unread input the socket would be reset."""
        if self._admission.opened and not self._orderly:
            with suppress(TimeoutError, ConnectionClosedError, RemoteProtocolError):
                async with asyncio.timeout(self._limits.close_seconds):
                    while data := await self._stream.read():
                        if any(isinstance(event, Closed) for event in self._engine.receive(data)):
                            break
        await self._stream.close()

    async def _wind_up(self) -> None:
        """Let messages already received come to their end, for a while."""
        tasks = self._handlers | self._work
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.finish_seconds)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _tell_closed(self) -> None:
        handler, self._handler = self._handler, None
        if handler is None:
            return
        try:
            await handler.closed(orderly=self._orderly)
        except Exception:
            _log.exception("An AMQP front-end failed to close its connection")

    def _log_closed(self, reason: str) -> None:
        _log.info("AMQP client %s closed: %s", self._peer.remote.host, reason)
