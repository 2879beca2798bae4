"""AMQP for listeners and WebSockets: one conversation for each stream.

Never here: what is said in it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from homeport.clock import Clock
from homeport.net.amqp_conversation import AmqpLimits, Conversation
from homeport.net.listener import Spawn
from homeport.net.sites import Sites
from homeport.net.stream import ByteStream
from homeport.net.tls_stream import TlsStream

__all__ = ["AmqpLimits", "AmqpServer"]


class AmqpServer:
    """Speaks AMQP 1.0 on any stream; a Service for a listener, and the protocol inside a WebSocket."""

    def __init__(self, sites: Sites, clock: Clock, limits: AmqpLimits | None = None) -> None:
        self._sites = sites
        self._clock = clock
        self._limits = limits or AmqpLimits()
        self._conversations: set[Conversation] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def protocol(self, spawn: Spawn) -> asyncio.Protocol:
        return TlsStream(lambda stream: spawn(self.serve(stream)))

    async def serve(self, stream: ByteStream, host: str | None = None) -> None:
        """Talk with one client to the end; `host` is the HTTP `Host` it came by, if any."""
        conversation = Conversation(stream, host, self._sites, self._clock, self._limits)
        self._conversations.add(conversation)
        self._idle.clear()
        try:
            await conversation.hold()
        finally:
            self._conversations.discard(conversation)
            if not self._conversations:
                self._idle.set()

    def turn_out(self, allowed: Callable[[str], bool]) -> None:
        """Close the connections of addresses that are not allowed any more."""
        for conversation in tuple(self._conversations):
            if not allowed(conversation.peer.remote.host):
                conversation.close()

    async def finish(self, grace: float) -> None:
        """Close all connections: AMQP clients rarely finish by themselves, but they come back."""
        for conversation in tuple(self._conversations):
            conversation.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._idle.wait()
