"""A connection that begins with plain requests (`plain_http`) and becomes aiohttp's with the first that is not.

aiohttp's connection, request and response cost more than a device's whole handshake leaves for them. Front-ends that
take plain requests are asked here; all others get theirs, from the same bytes, where they always got them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import uuid4

from aiohttp.helpers import rfc822_formatted_time

from homeport.errors import Code
from homeport.net.listener import Spawn
from homeport.net.plain_http import PlainAnswer, PlainRequest, problem, read_request, spell_answer
from homeport.net.sites import Sites, path_of
from homeport.net.stream import Peer
from homeport.net.tls import TlsConnection

__all__ = ["PlainConnection"]

_log = logging.getLogger(__name__)

_READ_AHEAD: Final = 64 * 1024
"""Bytes kept for the time after the present answer; beyond it the socket is not read."""

Answering = Callable[[PlainRequest, Peer], Awaitable[PlainAnswer]]


class PlainConnection(asyncio.Protocol):
    """The protocol of a connection until it is handed over.

    `hand_over` makes the full protocol; it is told how many seconds are left for a head. `left` is called at the end.
    """

    __slots__ = (
        "_busy",
        "_closing",
        "_connection",
        "_early",
        "_hand_over",
        "_head_by",
        "_idle_seconds",
        "_left",
        "_paused",
        "_sites",
        "_spawn",
        "_timer",
    )

    def __init__(
        self,
        sites: Sites,
        spawn: Spawn,
        hand_over: Callable[[float], asyncio.Protocol],
        left: Callable[["PlainConnection"], None],
        *,
        head_seconds: float,
        idle_seconds: float,
    ) -> None:
        self._sites = sites
        self._spawn = spawn
        self._hand_over = hand_over
        self._left = left
        self._idle_seconds = idle_seconds
        self._head_by = head_seconds
        self._connection: TlsConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._early = b""
        self._busy = False
        self._closing = False
        self._paused = False

    # --- told by the connection ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsConnection)
        self._connection = transport
        self._wait(self._head_by)

    def data_received(self, data: bytes) -> None:
        if self._busy or self._paused:
            self._early += data
            if len(self._early) > _READ_AHEAD and self._connection is not None:
                self._connection.pause_reading()
            return
        request = read_request(data)
        answering = None if request is None else self._find(request)
        if request is None or answering is None:
            self._become_full(data)
            return
        self._stop_waiting()
        self._busy = True
        self._spawn(self._answer(request, answering))

    def eof_received(self) -> bool:
        self._closing = True
        return self._busy  # what was asked may still be answered

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._connection = None
        self._stop_waiting()
        self._left(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if not self._busy:
            self._go_on()

    # --- requests -----------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Close now if idle, else after the present answer."""
        self._closing = True
        if not self._busy and self._connection is not None:
            self._connection.close()

    def _find(self, request: PlainRequest) -> Answering | None:
        assert self._connection is not None
        peer = self._connection.peer
        site = self._sites.resolve(peer.server_name, request.fields["host"], peer.local.host)
        front_end = self._sites.find_http(site, request.method, path_of(request.target))
        if front_end is None or len(request.body) > self._sites.max_body(front_end):
            return None
        answering: Answering | None = getattr(front_end, "answer", None)
        return answering

    async def _answer(self, request: PlainRequest, answering: Answering) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            answer = await answering(request, connection.peer)
            self._closing = self._closing or request.closes or answer.closes
            said = spell_answer(answer, rfc822_formatted_time(), closes=self._closing)
        except Exception:
            tracking_id = str(uuid4())
            _log.exception("An HTTP front-end failed; tracking id %s", tracking_id)
            answer = problem(500, Code.INTERNAL, "Internal error", tracking_id=tracking_id)
            said = spell_answer(answer, rfc822_formatted_time(), closes=self._closing)
        connection.write(said)
        self._busy = False
        self._go_on()

    def _go_on(self) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._closing:
            connection.close()
        elif self._paused:
            self._wait(self._idle_seconds)  # for the client to read
        elif self._early:
            early, self._early = self._early, b""
            connection.resume_reading()
            self.data_received(early)
        else:
            self._wait(self._idle_seconds)

    def _become_full(self, data: bytes) -> None:
        connection = self._connection
        assert connection is not None
        left = self._head_by
        if self._timer is not None:
            left = min(left, max(0.0, self._timer.when() - asyncio.get_running_loop().time()))
        self._stop_waiting()
        self._connection = None
        self._left(self)
        full = self._hand_over(left)
        connection.set_protocol(full)
        full.connection_made(connection)
        if self._paused:
            full.pause_writing()
        full.data_received(data)

    # --- time ---------------------------------------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        self._timer = None
        if self._connection is not None:
            self._connection.close()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
