"""What servers of long connections share: who is talking, who must leave, and when all have left."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from homeport.net.listener import Spawn
from homeport.net.stream import ByteStream, Peer
from homeport.net.tls_stream import TlsStream


class Talk(Protocol):
    """One client's connection from its first byte to the last."""

    @property
    def peer(self) -> Peer: ...

    async def hold(self) -> None:
        """Talk until the connection ends."""
        ...

    def close(self) -> None:
        """End it now."""
        ...

    def drain(self) -> None:
        """End it in the way that costs the client least."""
        ...


class ConversationServer:
    """Holds one conversation for each stream; a Service for a listener, and the protocol inside a WebSocket.

    `begin` makes the conversation of a stream and of the HTTP `Host` it came by, if any.
    """

    def __init__(self, begin: Callable[[ByteStream, str | None], Talk]) -> None:
        self._begin = begin
        self._conversations: set[Talk] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def protocol(self, spawn: Spawn) -> asyncio.Protocol:
        return TlsStream(lambda stream: spawn(self.serve(stream)))

    async def serve(self, stream: ByteStream, host: str | None = None) -> None:
        """Talk with one client to the end; `host` is the HTTP `Host` it came by, if any."""
        conversation = self._begin(stream, host)
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
        """End all connections: these clients rarely finish by themselves, but they come back."""
        for conversation in tuple(self._conversations):
            conversation.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._idle.wait()
