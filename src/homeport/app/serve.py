"""Runs a server process: from an empty directory to `ready`, and from a signal to a clean end."""

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import Final

from msgspec import Struct

from homeport.app.build import Parts, build
from homeport.app.config import Config
from homeport.app.custom_allocators import CustomAllocationError
from homeport.app.directory import DataDirectory, DirectoryError, Ports
from homeport.app.notify import notify
from homeport.bus import BusError
from homeport.net.amqp_server import AmqpServer
from homeport.net.http_server import HttpServer
from homeport.net.listener import Listener, PortUnavailableError, Service
from homeport.net.mqtt_server import MqttServer
from homeport.security.ip_filter import Door
from homeport.store.database import DatabaseError, SchemaError
from homeport.values import hiding

PORTAL_GRACE = 1.0
TURN_OUT_AFTER = 0.5
"""Seconds from a change of the IP filter to the end of the connections it does not allow any more."""

_COLLECT_AFTER: Final = (10_000, 20, 20)
"""Python's own 700 took nearly 4 % of the time of a server that stores telemetry (docs/performance.md)."""

_log = logging.getLogger(__name__)


class CannotStartError(Exception):
    """The server cannot start; the message says why and how to get around it."""


@hiding("portal_token")
class Ready(Struct, frozen=True, kw_only=True):
    """What a person is told when everything accepts."""

    data: Path
    id_scope: str
    global_endpoint: str
    hubs: Mapping[str, Sequence[str]]
    """Host names by hub name."""
    ports: Ports
    portal_url: str
    portal_token: str
    fault_lab: bool = False
    """Whether faults may be injected."""


def run(config: Config, *, announce: Callable[[Ready], None]) -> None:
    """Serve until SIGTERM or SIGINT. Raises CannotStartError."""
    _allow_many_connections()
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            runner.run(_serve(config, announce))
        except Exception as error:
            # Not `except*`: what is raised there comes out in a group again.
            explained = _explain(_first(error))
            if explained is None:
                raise
            raise explained from None


def _explain(error: BaseException) -> CannotStartError | None:
    """Return what a person can do something about; None for a fault of ours."""
    match error:
        case PortUnavailableError():
            return CannotStartError(
                f"{error} The options are --https-port, --mqtt-port, --amqp-port, --portal-port and --bind."
            )
        case BusError() | DirectoryError() | DatabaseError() | SchemaError() | CustomAllocationError():
            return CannotStartError(str(error))
        case _:
            return None


async def _serve(config: Config, announce: Callable[[Ready], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(DataDirectory(config.data))
        parts = await stack.enter_async_context(build(config, directory))
        # Inside out: listeners go first, then what works in the background, then the store.
        await stack.enter_async_context(_background(parts))
        ports = await _listen(config, parts, stack)
        portal_socket = stack.enter_context(_portal_socket(config))
        portal_url = f"http://{config.portal_bind}:{portal_socket.getsockname()[1]}"
        # The portal's clients find the server by what is announced here, like everybody's.
        parts.presence.announce(ports, portal_url)
        portal_token = directory.portal_token()
        announce(
            Ready(
                data=config.data,
                id_scope=parts.identity.id_scope,
                global_endpoint=parts.addresses.host_names[0],
                hubs={served.name: served.hub.host_names for served in parts.hubs},
                ports=ports,
                portal_url=portal_url,
                portal_token=portal_token,
                fault_lab=config.fault_lab,
            )
        )
        notify("READY=1")
        # The port accepts already; the pages' many modules load in a thread, while devices are being served.
        await asyncio.to_thread(import_module, "homeport.app.portal_access")
        from homeport.app.portal_access import portal

        await stack.enter_async_context(
            portal(config, parts, directory, portal_socket, token=portal_token, grace=PORTAL_GRACE)
        )
        # What was built stays: no collection need look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        await stop.wait()
        notify("STOPPING=1")
        _log.info("stopping")


async def _listen(config: Config, parts: Parts, stack: AsyncExitStack) -> Ports:
    guard = parts.protection

    # A hub's services use the ports of its devices; which door is meant shows at each request and link.
    devices, either = guard.ip_filter.open_to(Door.DEVICES), guard.ip_filter.open_to(Door.DEVICES, Door.SERVICE)

    def devices_only(address: str) -> bool:
        # Counted here: nobody looks again later, as at the ports that serve both.
        return guard.ip_filter.allows(address, Door.DEVICES)

    def listener(service: Service, port: int, allows: Callable[[str], bool], *alpn: bytes) -> Listener:
        return Listener(
            service,
            parts.presence.certificates,
            port=port,
            addresses=parts.addresses.bind,
            alpn=alpn,
            arrivals=guard.arrivals,
            allows=allows,
            proxies=guard.trusted_proxies,
            grace=config.drain,
        )

    web_mqtt, web_amqp = MqttServer(parts.sites, parts.clock), AmqpServer(parts.sites, parts.clock)
    web = HttpServer(parts.sites, web_mqtt, amqp=web_amqp)
    # HTTP/2 would lower-case header names, which the C SDK cannot take (contract hub.md 1.3).
    https = listener(web, config.https_port, either, b"http/1.1")
    mqtt = listener(MqttServer(parts.sites, parts.clock), config.mqtt_port, devices_only)
    amqp = listener(AmqpServer(parts.sites, parts.clock), config.amqp_port, either)

    def turn_out() -> None:
        mqtt.turn_out(devices)
        web_mqtt.turn_out(devices)
        https.turn_out(either)
        amqp.turn_out(either)
        web_amqp.turn_out(either)
        guard.screen.turn_out()

    # The administrator who shuts himself out, as he may with force, is to hear that it is done.
    guard.ip_filter.watch(lambda: asyncio.get_running_loop().call_later(TURN_OUT_AFTER, turn_out))
    listeners = (https, mqtt, amqp)
    for each in listeners:
        await stack.enter_async_context(each)
    # All begin to drain together; each waits for its own connections.
    for each in listeners:
        stack.callback(each.stop)
    return Ports(https=https.addresses[0].port, mqtt=mqtt.addresses[0].port, amqp=amqp.addresses[0].port)


@contextlib.asynccontextmanager
async def _background(parts: Parts) -> AsyncIterator[None]:
    """Run what is done beside answering; its failure ends the server."""
    stopping = asyncio.Event()

    async def until_stopped() -> None:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(work()) for work in parts.background]
            await stopping.wait()
            for task in running:
                task.cancel()

    async with asyncio.TaskGroup() as group:
        group.create_task(until_stopped())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            stopping.set()


def _portal_socket(config: Config) -> socket.socket:
    """Open the portal's port; it is for this machine unless told otherwise."""
    try:
        return socket.create_server((config.portal_bind, config.portal_port))
    except OSError as error:
        raise PortUnavailableError.of(config.portal_port, config.portal_bind, error) or error from error


def _allow_many_connections() -> None:
    """Raise the limit of open files as far as this process may: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Where the hard limit cannot be taken as it is (macOS), the soft one stays.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
