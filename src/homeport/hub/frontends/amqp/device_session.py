"""One device or module on one AMQP connection: its session at the hub, and its links (contract hub.md 16)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, assert_never

from homeport.errors import HomeportError
from homeport.hub.device_side import DeviceSide
from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.amqp.connection import HubConnection
from homeport.hub.frontends.amqp.deliveries import Deliveries
from homeport.hub.frontends.amqp.device_addresses import Kind
from homeport.hub.frontends.amqp.device_messages import read_bag, read_telemetry
from homeport.hub.frontends.amqp.errors import link_error
from homeport.hub.frontends.amqp.faults import ConnectionFaults
from homeport.hub.frontends.amqp.link_pair import Detach
from homeport.hub.frontends.amqp.method_pair import MethodPair
from homeport.hub.frontends.amqp.proofs import HeldToken
from homeport.hub.frontends.amqp.twin_pair import TwinPair
from homeport.hub.identifiers import module_of
from homeport.hub.reply import as_hub_error
from homeport.hub.responder import Connected
from homeport.hub.telemetry import MAX_MESSAGE_BYTES, PropertyBag
from homeport.net.amqp_handlers import AmqpDelivery, AmqpReceiver, AmqpSender, LinkTerms
from homeport.proto.amqp import ACCEPTED, BATCH_FORMAT, RELEASED, Condition, Error, Rejected, RemoteProtocolError

MAX_LINKS: Final = 16
"""Of one identity on one connection; the SDKs need six, and a few while they replace them."""
_REQUEST_BYTES: Final = 512 * 1024
"""The largest report of a twin, or answer of a method, and what AMQP puts around it."""

_NOWHERE: Final = "There is no such address for links in this direction."


class DeviceSession:
    """One identity on one connection, from its first link to its last."""

    def __init__(
        self,
        connection: HubConnection,
        side: DeviceSide,
        identity: str,
        held: HeldToken | None,
        model_id: str | None,
        on_end: "Callable[[DeviceSession], None]",
        detach: Detach,
        faults: ConnectionFaults | None = None,
    ) -> None:
        """`held` is the token that it came in with; `on_end` is called once when the hub ends the session.

        `detach` ends a link that the session has let go of.
        """
        self.identity = identity
        self.held = held
        self.model_id = model_id
        self.ended = False
        """The hub has ended it."""
        self.connected: Connected
        self.links: dict[AmqpReceiver | AmqpSender, Kind] = {}
        self._connection = connection
        self._side = side
        self._on_end = on_end
        self._detach = detach
        self._faults = faults
        self._deliveries: Deliveries | None = None
        self._bound: AmqpSender | None = None
        """The link of the deliveries."""
        self._former: set[Deliveries] = set()
        """Deliveries on links that have ended, until what they hold is given back."""
        self._twin = TwinPair(self.detach, side, identity)
        self._methods = MethodPair(self.detach, side.methods, identity)
        self._line = asyncio.Lock()
        self._in_line = 0
        """Messages that wait for a batch, the batch included."""

    def end(self) -> None:
        """Learn that the hub ends the session, perhaps while it is still being opened."""
        if not self.ended:
            self.ended = True
            self._on_end(self)

    def detach(self, link: AmqpReceiver | AmqpSender, error: Error) -> None:
        """End a link."""
        self.dropped(link)
        self._detach(link, error)

    def attach_receiver(self, link: AmqpReceiver, kind: Kind) -> LinkTerms:
        """Take a link on which the device sends. Raises HubError."""
        if kind is Kind.BOUND:
            raise HubError(HubCode.OPERATION_NOT_FOUND, _NOWHERE)
        self._add(link, kind)
        match kind:
            case Kind.EVENTS:
                return LinkTerms(max_message_size=MAX_MESSAGE_BYTES)
            case Kind.TWIN:
                self._twin.take_incoming(link)
            case Kind.METHODS:
                self._methods.take_incoming(link)
        return LinkTerms(max_message_size=_REQUEST_BYTES)

    def attach_sender(self, link: AmqpSender, kind: Kind) -> LinkTerms:
        """Take a link on which the device receives. Raises HubError."""
        if kind is Kind.EVENTS and module_of(self.identity) is None:
            raise HubError(HubCode.OPERATION_NOT_FOUND, _NOWHERE)
        self._add(link, kind)
        match kind:
            case Kind.EVENTS:
                pass  # inputs are an Edge hub's to send; a link to them is part of how module clients connect
            case Kind.TWIN:
                self._twin.take_outgoing(link)
            case Kind.METHODS:
                self._methods.take_outgoing(link)
            case Kind.BOUND:
                self._deliver_to(link)
            case _:
                assert_never(kind)
        return LinkTerms()

    async def message(self, link: AmqpReceiver, delivery: AmqpDelivery) -> None:
        """Take a message of the device."""
        match self.links.get(link):
            case Kind.EVENTS:
                await self._take_telemetry(link, delivery)
            case Kind.TWIN:
                await self._twin.message(delivery, self.connected)
            case Kind.METHODS:
                self._methods.message(delivery)
            case _:
                delivery.settle(RELEASED)  # the link has ended meanwhile

    def flow(self, link: AmqpSender) -> None:
        """Learn that there is credit on a link."""
        if link is self._bound and self._deliveries is not None:
            self._deliveries.look()

    def dropped(self, link: AmqpReceiver | AmqpSender) -> None:
        """Learn that a link has ended."""
        self.links.pop(link, None)
        self._twin.drop(link)
        self._methods.drop(link)
        if link is self._bound and self._deliveries is not None:
            former, self._deliveries, self._bound = self._deliveries, None, None
            former.stop()
            self._former.add(former)
            self._connection.run(self._give_back(former))

    async def close(self) -> None:
        """Give back everything, and leave the hub; may be called again after it was interrupted."""
        self._twin.stop()
        self._methods.stop()
        if self._deliveries is not None:
            self._former.add(self._deliveries)
        for deliveries in tuple(self._former):
            await self._give_back(deliveries)
        await self._side.responder.leave(self.connected)

    def _add(self, link: AmqpReceiver | AmqpSender, kind: Kind) -> None:
        if len(self.links) >= MAX_LINKS:
            raise HubError(HubCode.THROTTLED, f"At most {MAX_LINKS} links of a device on one connection.")
        self.links[link] = kind

    def _deliver_to(self, link: AmqpSender) -> None:
        if self._bound is not None:
            replaced = HubError(HubCode.DISPLACED, "Another link receives the messages now.")
            self.detach(self._bound, link_error(replaced))
        self._bound = link
        self._deliveries = Deliveries(self.identity, self._side.messages, link, self._connection.run)
        self._deliveries.start()

    async def _give_back(self, deliveries: Deliveries) -> None:
        await deliveries.close()
        self._former.discard(deliveries)

    # ------------------------------------------------------------ telemetry

    async def _take_telemetry(self, link: AmqpReceiver, delivery: AmqpDelivery) -> None:
        try:
            messages = read_telemetry(delivery.data, delivery.message_format)
            if self._faults is None:
                await self._store(messages)
                return
            self._faults.refuse(self.identity)
            await self._store(messages)
            bags = [bag for _, bag in messages]
            if delivery.message_format == BATCH_FORMAT:
                bags.append(read_bag(delivery.message()))  # C puts a fault there
            delivery.settle(ACCEPTED)
            self._faults.take(self.connected.caller, link, bags)
        except RemoteProtocolError as fault:
            delivery.settle(Rejected(error=Error(condition=Condition.DECODE_ERROR, description=str(fault), info={})))
        except (HubError, HomeportError) as fault:
            delivery.settle(Rejected(error=link_error(as_hub_error(fault))))

    async def _store(self, messages: Sequence[tuple[bytes, PropertyBag]]) -> None:
        """Store messages in the order in which they came, those of other deliveries included."""
        if len(messages) == 1 and not self._in_line:
            body, bag = messages[0]
            await self._side.responder.send(self.connected.caller, body, bag)
            return
        # A batch takes more than one turn of the event loop to begin: what came later waits for it.
        self._in_line += 1
        try:
            async with self._line:
                sending = (self._side.responder.send(self.connected.caller, body, bag) for body, bag in messages)
                for outcome in await asyncio.gather(*sending, return_exceptions=True):
                    if isinstance(outcome, BaseException):
                        raise outcome
        finally:
            self._in_line -= 1
