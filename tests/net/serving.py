"""Front-ends and listeners for the tests of this folder."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from homeport.clock import SystemClock
from homeport.net.amqp_handlers import AmqpFrontEnd
from homeport.net.amqp_server import AmqpLimits, AmqpServer
from homeport.net.certificates import ServerCertificates
from homeport.net.http_server import HttpLimits, HttpServer
from homeport.net.listener import Listener, ListenerLimits, Service
from homeport.net.mqtt_server import MqttLimits, MqttServer
from homeport.net.sites import MqttFrontEnd, Site, Sites, raw_path
from homeport.net.stream import Peer
from homeport.net.tls import TlsLimits

Answer = Callable[[web.BaseRequest, Peer], Awaitable[web.StreamResponse]]


class Mirror:
    """Owns everything but /nobody, and tells what it was asked; other behaviours by path."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.peers: list[Peer] = []

    def owns(self, method: str, path: str) -> bool:
        return not path.startswith("/nobody")

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        self.peers.append(peer)
        path = raw_path(request)
        if answer := self.answers.get(path.strip("/")):
            return await answer(request, peer)
        body = b"" if request.method == "GET" else await request.read()
        return web.json_response(
            {
                "method": request.method,
                "path": path,
                "query": dict(request.query),
                "body": body.decode("latin-1"),
                "encoding": request.headers.get("Content-Encoding"),
            }
        )


@asynccontextmanager
async def listening(
    service: Service, certificates: ServerCertificates, *, grace: float = 1.0, close_seconds: float = 1.0
) -> AsyncIterator[tuple[str, int]]:
    limits = ListenerLimits(tls=TlsLimits(close_seconds=close_seconds))
    listener = Listener(
        service, certificates, port=0, addresses=["127.0.0.1"], alpn=[b"http/1.1"], limits=limits, grace=grace
    )
    async with listener:
        yield listener.addresses[0]


def http_server(
    *front_ends: Any,
    mqtt: tuple[MqttFrontEnd, ...] = (),
    amqp: tuple[AmqpFrontEnd, ...] = (),
    max_body: int = 10_000,
    **limits: Any,
) -> HttpServer:
    names = frozenset({"localhost", "example.test"})
    sites = Sites([Site(names=names, http=front_ends, mqtt=mqtt, amqp=amqp, max_body=max_body)])
    clock = SystemClock()
    return HttpServer(
        sites, MqttServer(sites, clock), HttpLimits(**limits), amqp=AmqpServer(sites, clock) if amqp else None
    )


def mqtt_server(*front_ends: MqttFrontEnd, **limits: Any) -> MqttServer:
    return MqttServer(
        Sites([Site(names=frozenset({"localhost"}), mqtt=front_ends)]), SystemClock(), MqttLimits(**limits)
    )


def amqp_server(*front_ends: AmqpFrontEnd, **limits: Any) -> AmqpServer:
    return AmqpServer(
        Sites([Site(names=frozenset({"localhost"}), amqp=front_ends)]), SystemClock(), AmqpLimits(**limits)
    )
