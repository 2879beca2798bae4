"""The only server sockets: binds, accepts within limits, shakes hands, drains on shutdown.

Never here: what is said over an accepted connection.
"""

import asyncio
import errno
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from msgspec import Struct, field
from OpenSSL import SSL

from homeport.net.arrivals import Arrivals
from homeport.net.certificates import ServerCertificates
from homeport.net.proxy_protocol import Preamble, is_trusted
from homeport.net.stream import Address
from homeport.net.tls import TlsConnection, TlsLimits

__all__ = ["Listener", "ListenerLimits", "PortUnavailableError", "Service", "Spawn"]

_log = logging.getLogger(__name__)

Why = Literal["in use", "permission denied", "address not available"]
Spawn = Callable[[Coroutine[Any, Any, None]], None]
"""Start a task that belongs to the listener; an exception in it is logged and concerns no other."""

_WHYS: dict[int, Why] = {
    errno.EADDRINUSE: "in use",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EADDRNOTAVAIL: "address not available",
    errno.EAFNOSUPPORT: "address not available",
}


class PortUnavailableError(OSError):
    """A port cannot be opened; the text says which, why, and what to do about it."""

    def __init__(self, port: int, address: str, why: Why) -> None:
        super().__init__(f"Port {port} on {address} cannot be opened: {why}. {_remedy(port, address, why)}")
        self.port = port
        self.address = address
        self.why = why

    @classmethod
    def of(cls, port: int, address: str, fault: OSError) -> Self | None:
        """Return the explanation of what binding raised, or None if it is no matter of the port."""
        why = _WHYS.get(fault.errno or 0)
        return None if why is None else cls(port, address, why)


def _remedy(port: int, address: str, why: Why) -> str:
    match why:
        case "in use":
            return (
                f"Another program has it (`ss -ltnp 'sport = :{port}'` shows which, as root): "
                "stop that program, or set another port or address in the configuration."
            )
        case "permission denied":
            return (
                "Ports below 1024 are reserved for root by default. Allow it for everybody "
                f"(`sudo sysctl net.ipv4.ip_unprivileged_port_start={port}`) or for this Python "
                f"(`sudo setcap cap_net_bind_service=+ep {os.path.realpath(sys.executable)}`), "
                "start Homeport with sudo, or set another port in the configuration."
            )
        case "address not available":
            return (
                f"No interface of this machine has the address {address} (`ip address` lists them): "
                "set another address in the configuration, or 0.0.0.0 for all."
            )


class ListenerLimits(Struct, frozen=True, kw_only=True):
    """What one listener does by itself; how many may come in is told by Arrivals."""

    backlog: int = 4096
    tls: TlsLimits = field(default_factory=TlsLimits)


class Service(Protocol):
    """What a listener offers to those who connect."""

    def protocol(self, spawn: Spawn) -> asyncio.Protocol:
        """Make the protocol for one connection; its transport will be a TlsConnection."""
        ...

    async def finish(self, grace: float) -> None:
        """End what is idle at once and the rest when it comes to an end, within `grace` seconds."""
        ...


class Listener:
    """One port on one or more addresses. An async context manager: it serves while entered, and drains on exit.

    Drained means: no new connections, unfinished handshakes dropped, the service asked to finish, and after
    `grace` seconds whatever is left aborted. Enter and leave it in one task.
    """

    def __init__(
        self,
        service: Service,
        certificates: ServerCertificates,
        *,
        port: int,
        addresses: Sequence[str] = ("0.0.0.0",),  # noqa: S104  # devices come from other machines
        alpn: Sequence[bytes] = (),
        limits: ListenerLimits | None = None,
        arrivals: Arrivals | None = None,
        allows: Callable[[str], bool] = lambda _: True,
        proxies: Sequence[str] = (),
        grace: float = 10.0,
    ) -> None:
        """Prepare only; nothing is bound before it is entered. `alpn` as for ServerCertificates.context.

        Without `arrivals`, shared with the other listeners, it counts by itself. `allows` is the IP filter: it judges
        addresses before anything is spent on them. Connections from the networks in
        `proxies` must begin with a PROXY protocol header.
        """
        self._service = service
        self._certificates = certificates
        self._wanted = [(address, port) for address in addresses]
        self._alpn = tuple(alpn)
        self._limits = limits or ListenerLimits()
        self._grace = grace
        self.limits = self._limits.tls

        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._arrivals = arrivals
        self._allows = allows
        self._proxies = tuple(ipaddress.ip_network(network) for network in proxies)
        self._connections: set[TlsConnection] = set()
        self._unfinished: set[TlsConnection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._stopping = False

    # --- life ---------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the port on every address. Raises PortUnavailableError, and then none is open."""
        loop = asyncio.get_running_loop()
        if self._arrivals is None:
            self._arrivals = Arrivals(now=loop.time)
        sockets: list[socket.socket] = []
        try:
            for address, port in self._wanted:
                sockets += await _bind(address, port, self._limits.backlog)
        except BaseException:
            for each in sockets:
                each.close()
            raise
        await self._group.__aenter__()
        for each in sockets:
            server = await loop.create_server(self._connection, sock=each, backlog=self._limits.backlog)
            self._servers.append(server)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain. What ended the block goes on as it is, not wrapped in a group."""
        self.stop()
        try:
            async with asyncio.timeout(self._grace):
                await self._empty.wait()
        except TimeoutError:
            _log.info("Closing %d connections that did not finish in time", len(self._connections))
        finally:
            for connection in tuple(self._connections):
                connection.abort()
            if self._tasks:
                # They have learnt that their connections are gone, and put away what they hold.
                await asyncio.wait(self._tasks, timeout=self._grace)
            for task in self._tasks:
                task.cancel()
            await self._group.__aexit__(None, None, None)

    def stop(self) -> None:
        """Begin to drain, without waiting; leaving the context does it too. For several listeners at once."""
        if self._stopping:
            return
        self._stopping = True
        for server in self._servers:
            server.close()
        for connection in tuple(self._unfinished):
            connection.abort()
        self.spawn(self._service.finish(self._grace))

    def turn_out(self, allowed: Callable[[str], bool]) -> None:
        """End the connections of addresses that are not allowed any more."""
        for connection in tuple(self._connections):
            if not allowed(connection.remote.host):
                connection.abort()

    @property
    def addresses(self) -> list[Address]:
        """Where it listens, with the real port where 0 was asked for."""
        return [Address(*each.getsockname()[:2]) for server in self._servers for each in server.sockets]

    @property
    def connections(self) -> int:
        """How many connections are open, unfinished handshakes included."""
        return len(self._connections)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this as a task of the listener, which waits for it when it is left."""
        task = self._group.create_task(_guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- told by the connections --------------------------------------------------------------------------------

    def arrived(self, connection: TlsConnection) -> None:
        assert self._arrivals is not None
        if self._stopping:
            connection.abort()
            return
        self._connections.add(connection)
        self._unfinished.add(connection)
        self._empty.clear()
        host = connection.remote.host
        self._arrivals.arrived(connection, host, allowed=self._allows(host))

    def knocked(self, connection: TlsConnection) -> None:
        assert self._arrivals is not None
        self._arrivals.knocked(connection)

    def context(self) -> SSL.Context:
        return self._certificates.context(*self._alpn)

    def established(self, connection: TlsConnection) -> asyncio.Protocol:
        assert self._arrivals is not None
        self._unfinished.discard(connection)
        self._arrivals.established(connection)
        return self._service.protocol(self.spawn)

    def left(self, connection: TlsConnection) -> None:
        assert self._arrivals is not None
        self._connections.discard(connection)
        self._unfinished.discard(connection)
        self._arrivals.left(connection)
        if not self._connections:
            self._empty.set()

    def _connection(self) -> asyncio.Protocol:
        if not self._proxies:
            return TlsConnection(self)
        return Preamble(lambda remote: TlsConnection(self, remote), lambda host: is_trusted(host, self._proxies))


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    """Keep one connection's fault from the task group, which would cancel all others for it."""
    try:
        await work
    except Exception:
        _log.exception("A connection's task failed")


async def _bind(address: str, port: int, backlog: int) -> list[socket.socket]:
    """Open a port on an address, or on all addresses of a name."""
    loop = asyncio.get_running_loop()
    try:
        places = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as fault:
        raise PortUnavailableError(port, address, "address not available") from fault
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, place in dict.fromkeys(places):
            bound = socket.socket(family, kind, protocol)
            sockets.append(bound)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.setblocking(False)
            bound.bind(place)
            bound.listen(backlog)  # here, because with SO_REUSEADDR a taken port may show only now
    except OSError as fault:
        for each in sockets:
            each.close()
        explained = PortUnavailableError.of(port, address, fault)
        if explained is None:
            raise
        raise explained from fault
    return sockets
