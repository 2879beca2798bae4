"""Two servers behind a TCP load balancer: one host name, one database, one bus."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.nats_server import NatsServer
from tests.server import HomeportServer

BALANCER, LEFT, RIGHT = "127.0.64.1", "127.0.64.11", "127.0.64.12"
PORTS = (443, 8883, 5671)
_BLOCK = 65536


class Balancer:
    """Hands connections to the first server of `order` that takes them; what its end breaks, breaks here."""

    def __init__(self) -> None:
        self.order: tuple[str, ...] = (LEFT, RIGHT)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        servers = [await asyncio.start_server(self._accept, BALANCER, port) for port in PORTS]
        self._ready.set()
        await self._stop.wait()
        for server in servers:
            server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        for address in self.order:
            try:
                there_reader, there_writer = await asyncio.open_connection(address, port)
            except OSError:
                continue
            await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
            return
        writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while block := await source.read(_BLOCK):
                sink.write(block)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()


@dataclass(frozen=True, slots=True)
class Balanced:
    """Everything that runs."""

    balancer: Balancer
    left: HomeportServer
    right: HomeportServer
    nats: NatsServer

    def revive(self) -> None:
        """Start what has been stopped."""
        if not self.nats.running:
            self.nats.start()
        for server in (self.left, self.right):
            if not server.running:
                server.start()

    @property
    def values(self) -> dict[str, str]:
        """What an operator hands to clients; the balancer's name is in it."""
        return self.right.connection()


@contextmanager
def balanced(folder: Path, database: str) -> Iterator[Balanced]:
    """Run both, with a bus that demands a password."""
    with ExitStack() as stack:
        nats = stack.enter_context(NatsServer(user_info="homeport:not-for-logs"))
        left, right = (
            HomeportServer(
                folder / name, (address,), "--database", database, env={"HOMEPORT_BUS": nats.url}, hostname=BALANCER
            )
            for name, address in (("left", LEFT), ("right", RIGHT))
        )
        for server in (left, right):
            stack.callback(server.__exit__)
        with ThreadPoolExecutor() as threads:
            for started in [threads.submit(server.start) for server in (left, right)]:
                started.result()
        yield Balanced(stack.enter_context(Balancer()), left, right, nats)
        for server in (left, right):
            assert "not-for-logs" not in server.log.read_text()
