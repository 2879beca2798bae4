"""What fault injection messages do to an AMQP connection, and how far they reach (contract hub.md 28.2 to 28.4)."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

from homeport.clock import Clock
from homeport.hub.errors import HubError
from homeport.hub.faults.messages import REFUSALS, FaultMessage, FaultMessages, FaultType, Transport
from homeport.hub.frontends.amqp.addresses import is_words, read_path
from homeport.hub.frontends.amqp.connection import HubConnection
from homeport.hub.frontends.amqp.device_addresses import Kind
from homeport.hub.frontends.amqp.errors import forced
from homeport.hub.responder import Caller
from homeport.hub.telemetry import PropertyBag
from homeport.net.amqp_handlers import AmqpReceiver, AmqpSender
from homeport.proto.amqp import Condition, Error, LinkRole

MAX_WAITING: Final = 64
"""Faults under way on one connection; further messages are telemetry."""

_CBS_LINKS: Final = {
    FaultType.KILL_CBS_REQUEST_LINK: LinkRole.RECEIVER,
    FaultType.KILL_CBS_RESPONSE_LINK: LinkRole.SENDER,
}
_DEVICE_LINKS: Final = {
    FaultType.KILL_EVENT_LINK: (Kind.EVENTS, LinkRole.RECEIVER),
    FaultType.KILL_BOUND_LINK: (Kind.BOUND, LinkRole.SENDER),
    FaultType.KILL_TWIN_REQUEST_LINK: (Kind.TWIN, LinkRole.RECEIVER),
    FaultType.KILL_TWIN_RESPONSE_LINK: (Kind.TWIN, LinkRole.SENDER),
    FaultType.KILL_METHOD_REQUEST_LINK: (Kind.METHODS, LinkRole.SENDER),
    FaultType.KILL_METHOD_RESPONSE_LINK: (Kind.METHODS, LinkRole.RECEIVER),
}
"""Which links of the device, by our role on them."""

Link = AmqpReceiver | AmqpSender


class _Device(Protocol):
    @property
    def links(self) -> Mapping[Link, Kind]: ...


class ConnectionFaults:
    """The faults that the devices on one connection have asked for; they end with it."""

    def __init__(
        self,
        connection: HubConnection,
        messages: FaultMessages,
        clock: Clock,
        find: Callable[[str], _Device | None],
    ) -> None:
        """`find` finds a device on this connection by its identity."""
        self._connection = connection
        self._messages = messages
        self._clock = clock
        self._find = find
        self._waiting = 0
        self._refusing: dict[str, list[tuple[datetime, HubError]]] = {}
        """Until when telemetry is refused, and how, by identity."""

    def refuse(self, identity: str) -> None:
        """Raise HubError while a device's telemetry is to be refused."""
        if identity not in self._refusing:
            return
        now = self._clock.now()
        left = self._refusing[identity] = [each for each in self._refusing[identity] if each[0] > now]
        if left:
            raise left[-1][1]
        del self._refusing[identity]

    def take(self, caller: Caller, link: AmqpReceiver, bags: Iterable[PropertyBag]) -> None:
        """Set the faults going that messages ask for, which came on this link and are accepted already."""
        for bag in bags:
            fault = self._messages.read(bag.properties, Transport.AMQP)
            if fault is not None and self._waiting < MAX_WAITING:
                self._waiting += 1
                self._connection.run(self._break(caller, link, fault))

    async def _break(self, caller: Caller, link: AmqpReceiver, fault: FaultMessage) -> None:
        await self._clock.sleep(fault.delay)
        self._waiting -= 1
        self._messages.note(caller, fault)
        match fault.type:
            case FaultType.KILL_TCP:
                self._connection.abort()
            case FaultType.SHUT_DOWN_AMQP:
                self._connection.close()
            case FaultType.KILL_CONNECTION:
                self._connection.close(forced(fault.reason, Condition.CONNECTION_FORCED))
            case FaultType.KILL_SESSION:
                await self._connection.break_session(link.session, forced(fault.reason))
            case kind if kind in REFUSALS:
                until = self._clock.now() + timedelta(seconds=fault.duration)
                refusal = HubError(REFUSALS[kind], fault.reason)
                self._refusing.setdefault(caller.device_id, []).append((until, refusal))
            case kind:
                await self._break_links(self._links(kind, caller.device_id), forced(fault.reason))

    def _links(self, kind: FaultType, identity: str) -> Collection[Link]:
        if kind in _CBS_LINKS:
            return [
                link
                for link in self._connection.links
                if link.attached.link.role is _CBS_LINKS[kind] and is_words(read_path(link.address) or (), "$cbs")
            ]
        device = self._find(identity)
        wanted = _DEVICE_LINKS[kind]
        links = () if device is None else device.links.items()
        return [link for link, use in links if (use, link.attached.link.role) == wanted]

    async def _break_links(self, links: Collection[Link], error: Error) -> None:
        for link in links:
            await self._connection.break_link(link, error)
