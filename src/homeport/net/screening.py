"""The IP filter at the front-ends: several doors may share a port, and only the request tells which one is meant.

Never here: the rules. Connections that no door of their port is open to are reset before this (`arrivals`).
"""

from collections.abc import Callable, Sequence
from typing import Final
from uuid import uuid4
from weakref import WeakKeyDictionary

from aiohttp import web

from homeport.errors import Code
from homeport.net.amqp_handlers import AmqpConnection, AmqpFrontEnd, AmqpHandler, AmqpOpening, SaslExchange
from homeport.net.plain_http import PlainAnswer, PlainRequest, problem
from homeport.net.sites import HttpFrontEnd, MqttFrontEnd, MqttLink, MqttSession, PlainFrontEnd
from homeport.net.stream import Peer
from homeport.proto.amqp import Condition, Error, SaslInit
from homeport.proto.mqtt import Connect, ReturnCode
from homeport.security.ip_filter import Door

__all__ = ["Screen", "everybody"]

Allows = Callable[[str, Door], bool]

_UNAUTHORIZED: Final = Error(condition=Condition.UNAUTHORIZED_ACCESS, description="Unauthorized")


def everybody(address: str, door: Door) -> bool:
    """Allow all."""
    del address, door
    return True


class Screen:
    """Puts the filter in front of front-ends. Refusals do not say why, as in Azure: 401, or what AMQP and MQTT have."""

    def __init__(self, allows: Allows = everybody) -> None:
        self._allows = allows
        self._watching: list[Callable[[], None]] = []

    def watch(self, turn_out: Callable[[], None]) -> None:
        """Call this when the rules have changed: it ends what is not allowed any more."""
        self._watching.append(turn_out)

    def turn_out(self) -> None:
        """End the connections that a changed rule closes, where the port of theirs does not tell whose they are."""
        for turn_out in self._watching:
            turn_out()

    def allows(self, peer: Peer, door: Door) -> bool:
        """Tell whether a door is open to a client, for front-ends that have several."""
        return self._allows(peer.remote.host, door)

    def http(self, front_end: HttpFrontEnd, door: Door) -> HttpFrontEnd:
        """Return the front-end behind the filter of this door."""
        return _ScreenedHttp(front_end, lambda peer: self._allows(peer.remote.host, door))

    def plain(self, front_end: PlainFrontEnd, door: Door) -> PlainFrontEnd:
        """As `http`, for a front-end that takes plain requests."""
        return _ScreenedPlain(front_end, lambda peer: self._allows(peer.remote.host, door))

    def mqtt(self, front_end: MqttFrontEnd, door: Door = Door.DEVICES) -> MqttFrontEnd:
        """Return the front-end behind the filter of this door."""
        return _ScreenedMqtt(front_end, lambda peer: self._allows(peer.remote.host, door))

    def amqp(self, front_end: AmqpFrontEnd, door: Door = Door.DEVICES) -> AmqpFrontEnd:
        """Return the front-end behind the filter of this door."""
        screened = _ScreenedAmqp(front_end, lambda peer: self._allows(peer.remote.host, door))
        self.watch(screened.turn_out)
        return screened


class _ScreenedHttp:
    def __init__(self, front_end: HttpFrontEnd, allows: Callable[[Peer], bool]) -> None:
        self._front_end = front_end
        self._allows = allows
        self.owns = front_end.owns

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        if self._allows(peer):
            return await self._front_end.handle(request, peer)
        tracking_id = str(uuid4())
        body = {"errorCode": int(Code.UNAUTHORIZED), "trackingId": tracking_id, "message": "Unauthorized"}
        response = web.json_response(body, status=401, headers={"x-ms-request-id": tracking_id})
        response.force_close()
        return response


class _ScreenedPlain(_ScreenedHttp):
    def __init__(self, front_end: PlainFrontEnd, allows: Callable[[Peer], bool]) -> None:
        super().__init__(front_end, allows)
        self._plain = front_end

    async def answer(self, request: PlainRequest, peer: Peer) -> PlainAnswer:
        if self._allows(peer):
            return await self._plain.answer(request, peer)
        return problem(401, Code.UNAUTHORIZED, "Unauthorized", closes=True)


class _ScreenedMqtt:
    def __init__(self, front_end: MqttFrontEnd, allows: Callable[[Peer], bool]) -> None:
        self._front_end = front_end
        self._allows = allows
        self.owns = front_end.owns

    async def connect(self, connect: Connect, peer: Peer, link: MqttLink) -> MqttSession | int:
        if self._allows(peer):
            return await self._front_end.connect(connect, peer, link)
        return ReturnCode.NOT_AUTHORIZED


class _ScreenedAmqp:
    def __init__(self, front_end: AmqpFrontEnd, allows: Callable[[Peer], bool]) -> None:
        self._front_end = front_end
        self._allows = allows
        self._connections: WeakKeyDictionary[AmqpConnection, Peer] = WeakKeyDictionary()
        self.owns = front_end.owns

    @property
    def mechanisms(self) -> Sequence[str]:
        return self._front_end.mechanisms

    async def authenticate(self, init: SaslInit, peer: Peer, exchange: SaslExchange) -> object | None:
        return await self._front_end.authenticate(init, peer, exchange) if self._allows(peer) else None

    async def connect(
        self, opening: AmqpOpening, identity: object | None, peer: Peer, connection: AmqpConnection
    ) -> AmqpHandler | Error:
        if self._allows(peer):
            self._connections[connection] = peer
            return await self._front_end.connect(opening, identity, peer, connection)
        return _UNAUTHORIZED

    def turn_out(self) -> None:
        for connection, peer in tuple(self._connections.items()):
            if not self._allows(peer):
                connection.close(_UNAUTHORIZED)
