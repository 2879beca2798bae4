"""Which front-end answers: names choose the site, and where a name is shared the client's claim does.

Also the handler Protocols, all that `net` knows about the rooms that answer; those of AMQP are in `amqp_handlers`.
Never here: sockets, bytes.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

from aiohttp import web
from msgspec import Struct

from homeport.net.amqp_handlers import AmqpFrontEnd, AmqpOpening
from homeport.net.plain_http import PlainAnswer, PlainRequest
from homeport.net.stream import Peer
from homeport.proto.mqtt import Connect, Publish

__all__ = [
    "HttpFrontEnd",
    "MqttFrontEnd",
    "MqttLink",
    "MqttSession",
    "PlainFrontEnd",
    "Site",
    "Sites",
    "UnacknowledgedError",
    "path_of",
    "raw_path",
]

MAX_BODY = 256 * 1024


class HttpFrontEnd(Protocol):
    """Answers the HTTP requests of one address space."""

    def owns(self, method: str, path: str) -> bool:
        """Tell whether this request belongs to the front-end's address space; pure and quick.

        `path` is the raw path of the request line: no query, nothing decoded (`/devices/a%3ab`, and equally
        `/devices/a:b`). Address spaces are disjoint: where one name is shared, the DPS owns
        `/{idScope}/registrations/…`, `/enrollments…`, the hub owns `/devices…`, `/twins…`, and so on, so at
        most one of a site's front-ends answers True; the first that does gets the request. Own a path
        whatever its method is, so that a wrong method gets this front-end's own 405; own too what is
        malformed but plainly meant for it. Only what nobody owns is answered by net, with 404. Nothing is
        authenticated here.
        """
        ...

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        """Answer one request. `raw_path(request)` is the undecoded path; `await request.read()` the body.

        A body over the site's limit raises aiohttp's HTTPRequestEntityTooLarge from `read()`; a front-end
        that wants its own error body catches it, otherwise net answers 413. Any other exception is logged
        with its trace and answered 500.
        """
        ...


class PlainFrontEnd(HttpFrontEnd, Protocol):
    """An HttpFrontEnd that also answers plain requests as values, which costs a fraction."""

    async def answer(self, request: PlainRequest, peer: Peer) -> PlainAnswer:
        """Answer as `handle` would. An exception is logged with its trace and answered 500."""
        ...


class MqttLink(Protocol):
    """What an MQTT session may do to its connection. Only for use on the event loop."""

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, dup: bool = False, retain: bool = False
    ) -> Awaitable[bool]:
        """Send a PUBLISH to the client; the message is queued before this returns.

        The awaitable may be ignored. It yields True when the message was handed to the network (QoS 0) or the
        client has acknowledged it (QoS 1), and False when the connection ended first. It never raises.
        Messages go out in the order of the calls, except that at QoS 1 those beyond the in-flight window wait
        for acknowledgements and QoS 0 does not wait with them. A client that does not read loses its
        connection when what waits exceeds a limit. Raises ValueError for a QoS of 2 and for what MQTT cannot
        spell.
        """
        ...

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this alongside the connection, for example delivery after a subscription.

        It is cancelled when the connection ends. An exception in it is logged and ends the connection.
        """
        ...

    def close(self) -> None:
        """End the connection soon, without waiting: what was published is flushed, then the socket closes.

        The session's `closed(orderly=False)` follows. Calling it again does nothing.
        """
        ...

    def abort(self) -> None:
        """End the connection now and without a word, as if the network had failed; otherwise as `close`."""
        ...


class UnacknowledgedError(Exception):
    """This message is to get no PUBACK, ever; the connection goes on."""


class MqttSession(Protocol):
    """One accepted MQTT connection, as its front-end sees it; the loop makes the calls."""

    @property
    def session_present(self) -> bool:
        """The CONNACK's session present flag."""
        ...

    @property
    def expires_at(self) -> datetime | None:
        """When the loop is to close the connection (token expiry), or None; read again at every wake-up."""
        ...

    async def publish(self, message: Publish, ack: Callable[[], None]) -> None:
        """Take one PUBLISH from the client (QoS 0 or 1; QoS 2 closes the connection before it gets here).

        Calls begin in order of receipt and may overlap up to a bound; a session that must finish one before
        the next takes an asyncio.Lock first. At QoS 1 call `ack()` once when the PUBACK may go out: PUBACKs
        leave in order of receipt, whatever the order of the calls. What is published on the link after
        `ack()` goes out after the PUBACK, provided every earlier message has been acknowledged too. Returning
        without `ack()` acknowledges. At QoS 0 `ack()` does nothing. UnacknowledgedError leaves out the PUBACK of
        this message and nothing else; any other exception closes the connection, without PUBACK.
        """
        ...

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        """Return for each (topic filter, requested QoS) the granted QoS, or 0x80 to refuse."""
        ...

    def subscribed(self) -> None:
        """Learn that the SUBACK of the last `subscribe` is on its way; deliveries may start."""
        ...

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        """Forget these filters; the UNSUBACK follows."""
        ...

    async def closed(self, *, orderly: bool) -> None:
        """Learn that the connection has ended; called exactly once, after every other call has ended.

        Work given to `MqttLink.run` has been cancelled; calls of `publish` had some seconds to come to their
        end. `orderly` is True only after a DISCONNECT packet; otherwise the will, which came with `Connect`,
        is due.
        """
        ...


class MqttFrontEnd(Protocol):
    """Answers the MQTT connections of one address space."""

    def owns(self, connect: Connect) -> bool:
        """Tell from the user name whether this connection belongs to the front-end; pure and quick.

        Address spaces are disjoint: DPS owns `{idScope}/registrations/…`, a hub owns `{its host
        name}/{device}…`. A name shared by several hubs, and a connection that came to another site's name,
        are decided by this too. Own a claim whether or not its device exists; nothing is authenticated here.
        """
        ...

    async def connect(self, connect: Connect, peer: Peer, link: MqttLink) -> MqttSession | int:
        """Accept with a session, or refuse with a CONNACK return code (1 to 5).

        The link may be kept; publishing on it before this returns goes out after the CONNACK. Displacing an
        older connection of the same client (`link.close()` of that one) is the front-end's task. After an
        exception, which is logged, the client gets return code 3.
        """
        ...


class Site(Struct, frozen=True, kw_only=True):
    """Names, and the front-ends that answer there.

    `names` are host names or the text of local IP addresses, without port, in any letter case. `max_body` is
    the largest request body in bytes. Several sites may share a name: their front-ends are then asked in
    turn, in the order in which the sites were added, each with its own `max_body`.
    """

    names: frozenset[str]
    http: tuple[HttpFrontEnd, ...] = ()
    mqtt: tuple[MqttFrontEnd, ...] = ()
    amqp: tuple[AmqpFrontEnd, ...] = ()
    max_body: int = MAX_BODY


NOWHERE = Site(names=frozenset())


class Sites:
    """All sites of one process. Hubs come and go while it runs, so it may be changed at any time."""

    def __init__(self, sites: Iterable[Site] = (), *, default: str | None = None) -> None:
        """Serve these sites; the one named `default` also answers clients that name none we know."""
        self._sites: list[Site] = list(sites)
        self._default = default
        self._by_name: dict[str, Site] = {}
        self._max_body: dict[int, int] = {}
        self._index()

    def add(self, site: Site) -> None:
        """Serve this site from now on."""
        self._sites.append(site)
        self._index()

    def remove(self, site: Site) -> None:
        """Stop routing to this very object; open connections go on. Raises ValueError if it is not served."""
        for position, known in enumerate(self._sites):
            if known is site:
                del self._sites[position]
                self._index()
                return
        message = "This site is not being served"
        raise ValueError(message)

    def resolve(self, server_name: str | None, host: str | None, local_address: str) -> Site:
        """Find the site by TLS server name, else `Host` header, else local IP address, else the default.

        The port in `host` is ignored.         A name that is not served is passed over in favour of the next
        one. The result may have no front-ends.
        """
        by_name = self._by_name
        for name in (server_name, host and _without_port(host), local_address, self._default):
            if name and (site := by_name.get(_canonical(name))) is not None:
                return site
        return NOWHERE

    def find_http(self, site: Site, method: str, path: str) -> HttpFrontEnd | None:
        """Find the front-end of the site that owns this raw path."""
        for front_end in site.http:
            if front_end.owns(method, path):
                return front_end
        return None

    def max_body(self, front_end: HttpFrontEnd) -> int:
        """Return the largest body its own site takes, whatever others with the same name take."""
        return self._max_body.get(id(front_end), MAX_BODY)

    def find_mqtt(self, site: Site, connect: Connect) -> MqttFrontEnd | None:
        """Find the front-end that owns this claim, in the site or else in any (contract hub.md 13.2)."""
        for candidate in (site, *self._sites):
            for front_end in candidate.mqtt:
                if front_end.owns(connect):
                    return front_end
        return None

    def mechanisms(self, site: Site) -> tuple[str, ...]:
        """Return the SASL mechanisms to offer at this site: what its front-ends take, or else those of any site."""
        sites = (site,) if site.amqp else tuple(self._sites)
        taken = (name for each in sites for front_end in each.amqp for name in front_end.mechanisms)
        return tuple(dict.fromkeys(taken))

    def find_amqp(self, site: Site, opening: AmqpOpening) -> Sequence[AmqpFrontEnd]:
        """Find the front-end that owns this client, in the site or else in any; several if none can tell yet."""
        undecided: list[AmqpFrontEnd] = []
        for candidate in (site, *self._sites):
            for front_end in candidate.amqp:
                if opening.mechanism is not None and opening.mechanism not in front_end.mechanisms:
                    continue
                owns = front_end.owns(opening)
                if owns:
                    return (front_end,)
                if owns is None and candidate is site and front_end not in undecided:
                    undecided.append(front_end)
        return undecided

    def _index(self) -> None:
        grouped: dict[str, list[Site]] = {}
        for site in self._sites:
            for name in {_canonical(name) for name in site.names}:
                grouped.setdefault(name, []).append(site)
        self._by_name = {name: _merged(name, group) for name, group in grouped.items()}
        self._max_body = {id(front_end): site.max_body for site in self._sites for front_end in site.http}


def raw_path(request: web.BaseRequest) -> str:
    """Return the path exactly as the client sent it, without query, undecoded and not normalized."""
    return path_of(request.raw_path)


def path_of(target: str) -> str:
    """Return the path of a request target exactly as the client sent it."""
    if not target.startswith("/") and "://" in target:  # absolute form (RFC 9112 section 3.2.2)
        _, _, rest = target.partition("://")
        target = "/" + rest.partition("/")[2]
    return target.partition("?")[0].partition("#")[0]


def _merged(name: str, group: Sequence[Site]) -> Site:
    if len(group) == 1:
        return group[0]
    return Site(
        names=frozenset({name}),
        http=tuple(front_end for site in group for front_end in site.http),
        mqtt=tuple(front_end for site in group for front_end in site.mqtt),
        amqp=tuple(front_end for site in group for front_end in site.amqp),
        max_body=max(site.max_body for site in group),
    )


def _canonical(name: str) -> str:
    return name.rstrip(".").lower()


def _without_port(host: str) -> str:
    if host.startswith("["):  # an IPv6 literal
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
