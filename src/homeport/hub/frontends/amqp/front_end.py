"""Which AMQP connections are a hub's, and what SASL proves about them (contract hub.md 2.6, 14.1)."""

import re
from collections.abc import Sequence
from typing import Final
from weakref import WeakSet

from msgspec import Struct

from homeport.hub.authentication import Refused
from homeport.hub.device_side import DeviceSide
from homeport.hub.frontends.amqp.addresses import read_path
from homeport.hub.frontends.amqp.cbs import CbsNode
from homeport.hub.frontends.amqp.connection import AddressSpace, Allows, HubConnection
from homeport.hub.frontends.amqp.errors import unauthorized
from homeport.hub.frontends.amqp.proofs import HeldToken, Proofs, TokenJudge
from homeport.hub.identifiers import path_of
from homeport.net.amqp_handlers import AmqpConnection, AmqpHandler, AmqpOpening, SaslExchange
from homeport.net.stream import Peer
from homeport.proto.amqp import ANONYMOUS, EXTERNAL, PLAIN, Error, SaslInit, parse_plain

MSSBCBS: Final = "MSSBCBS"
"""Nothing but the promise to use CBS; what Microsoft's C library says in place of ANONYMOUS."""

_SERVICE_USER = re.compile(r"(?P<policy>.+)@sas\.root\.(?P<hub>[^@]+)", re.IGNORECASE)
_DEVICE_USER = re.compile(r"(?P<device>[^/]+)(?:/modules/(?P<module>[^/]+))?@(?:sas\.)?(?P<hub>[^@]+)", re.IGNORECASE)


class Nobody(Struct, frozen=True):
    """SASL has proven nothing: the client's certificate, or CBS, is to do so."""


class HubAmqpFrontEnd:
    """Lets clients of one hub in: devices, services and readers of events alike, since they begin alike."""

    mechanisms: Sequence[str] = (ANONYMOUS, MSSBCBS, EXTERNAL, PLAIN)

    def __init__(self, side: DeviceSide, spaces: Sequence[AddressSpace], allows: Allows) -> None:
        """`spaces` own the addresses beside `$cbs`; `allows` is the IP filter, asked at each link."""
        self._side = side
        self._judge = TokenJudge(side)
        self._allows = allows
        self._connections: WeakSet[HubConnection] = WeakSet()
        self._spaces: Sequence[AddressSpace] = (CbsNode(), *spaces)

    def owns(self, opening: AmqpOpening) -> bool | None:
        """Tell a hub's client by its SASL user name, else by its first address and the host name of OPEN.

        Hubs share addresses, so the host name has to be ours; None leaves a client with another one (a gateway's)
        to us where no other front-end wants it.
        """
        if opening.identity is not None:
            return self._is_ours(opening.identity)
        if opening.address is None:
            return None
        path = read_path(opening.address)
        if path is None or not any(space.owns(path) for space in self._spaces):
            return False
        return True if self._is_host(opening.hostname) else None

    async def authenticate(self, init: SaslInit, peer: Peer, exchange: SaslExchange) -> object | None:
        """Judge PLAIN's token; the other mechanisms prove nothing by themselves."""
        del exchange
        if init.mechanism != PLAIN:
            return Nobody()
        credentials = parse_plain(init.initial_response)
        if credentials is None:
            return None
        verdict = await self._judge.judge(credentials.password, peer)
        if isinstance(verdict, Refused):
            return None
        return verdict if _names(credentials.authentication_id, verdict) else None

    async def connect(
        self, opening: AmqpOpening, identity: object | None, peer: Peer, connection: AmqpConnection
    ) -> AmqpHandler | Error:
        proofs = Proofs(self._side.audience, self._side.clock)
        handler = HubConnection(
            self._judge,
            proofs,
            peer,
            connection,
            self._spaces,
            self._allows,
            self._side.clock,
            host=_bare(opening.hostname),
        )
        if isinstance(identity, HeldToken) and await handler.hold(identity) is not None:
            return unauthorized("The token was not taken.")
        self._connections.add(handler)
        return handler

    def turn_out(self) -> None:
        """End the connections that the IP filter has closed a door to."""
        for connection in tuple(self._connections):
            connection.turn_out()

    def _is_ours(self, identity: str) -> bool:
        match = _SERVICE_USER.fullmatch(identity) or _DEVICE_USER.fullmatch(identity)
        if match is None:
            return False
        hub = match["hub"].rstrip(".").lower()
        hosts = [name.lower() for name in self._side.audience().hosts]
        return hub == self._side.hub.lower() or any(hub in (host, host.partition(".")[0]) for host in hosts)

    def _is_host(self, hostname: str | None) -> bool:
        bare = _bare(hostname)
        return any(bare == name.rstrip(".").lower() for name in self._side.audience().hosts)


def _bare(hostname: str | None) -> str:
    return (hostname or "").partition(":")[0].rstrip(".").lower()


def _names(user: str, held: HeldToken) -> bool:
    """Tell whether the token of SASL PLAIN is of the policy, or speaks for the device, that the user name names."""
    service = _SERVICE_USER.fullmatch(user)
    if service is not None:
        return held.token.policy == service["policy"]
    device = _DEVICE_USER.fullmatch(user)
    if device is None:
        return False
    identity = device["device"] if device["module"] is None else f"{device['device']}/{device['module']}"
    wanted = path_of(identity)
    if held.token.policy is None:
        return wanted in held.paths
    return any(wanted[: len(path)] == path for path in held.paths)
