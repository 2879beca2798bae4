"""The links of Event Hubs clients: partitions, `$management`, and the way there from a hub's own addresses (hub.md 20).

Which events there are is the endpoints' knowledge; who may attach is decided here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, assert_never

from msgspec import Struct

from homeport.clock import Clock
from homeport.hub.authentication import Refused
from homeport.hub.errors import HubCode, HubError
from homeport.hub.event_streams import Crowded, EventStreams, Receiver, Stolen, first_offset, read_selector
from homeport.hub.frontends.amqp.addresses import Path
from homeport.hub.frontends.amqp.connection import HubConnection, LinkHandler
from homeport.hub.frontends.amqp.errors import link_error, unauthorized
from homeport.hub.frontends.amqp.event_addresses import (
    ElsewhereAddress,
    ManagementAddress,
    PartitionAddress,
    is_event_path,
    read_event_path,
)
from homeport.hub.frontends.amqp.event_delivery import EventDelivery
from homeport.hub.frontends.amqp.event_management import ManagementNode
from homeport.hub.frontends.amqp.event_rights import may_read
from homeport.net.amqp_handlers import AmqpDelivery, AmqpReceiver, AmqpSender, LinkTerms
from homeport.proto.amqp import Condition, Described, Error, Source, Symbol, UInt
from homeport.security.ip_filter import Door

AMQP_PORT: Final = 5671
"""Where a redirect leads clients that came over a WebSocket: the one port that their AMQP libraries know."""

_EPOCH: Final = "com.microsoft:epoch"
_METRICS: Final = "com.microsoft:enable-receiver-runtime-metric"
_SELECTOR: Final = "apache.org:selector-filter:string"
_OUT_OF_RANGE: Final = "com.microsoft:argument-out-of-range"


class EventSide(Struct, frozen=True, kw_only=True):
    """One hub as readers of events see it."""

    hosts: Callable[[], tuple[str, ...]]
    """The hub's host names as they are now, first the one that clients are told."""
    streams: EventStreams
    clock: Clock


class EventSpace:
    """The addresses of Event Hubs clients (an AddressSpace)."""

    door: Door | None = Door.SERVICE

    def __init__(self, side: EventSide) -> None:
        self._side = side

    def owns(self, path: Path) -> bool:
        return is_event_path(path)

    def join(self, connection: HubConnection) -> LinkHandler:
        return EventLinks(self._side, connection)


class _Reader(Struct, frozen=True, eq=False):
    """One receiver of a partition."""

    path: Path
    address: PartitionAddress
    stream: str
    partition: int
    delivery: EventDelivery
    receiver: Receiver


class EventLinks:
    """What Event Hubs clients do on one connection."""

    def __init__(self, side: EventSide, connection: HubConnection) -> None:
        self._side = side
        self._connection = connection
        self._management = ManagementNode(side.streams, connection)
        self._readers: dict[AmqpReceiver | AmqpSender, _Reader] = {}

    @property
    def active(self) -> bool:
        return False

    async def attach_receiver(self, link: AmqpReceiver, path: Path) -> LinkTerms | Error:
        if isinstance(read_event_path(path), ManagementAddress):
            return self._management.attach_receiver(link)
        raise HubError(HubCode.METHOD_NOT_ALLOWED, "Nothing is sent to event hubs here; devices send to the hub.")

    async def attach_sender(self, link: AmqpSender, path: Path) -> LinkTerms | Error:
        match read_event_path(path):
            case ManagementAddress():
                return self._management.attach_sender(link)
            case ElsewhereAddress(tail=tail):
                return self._redirect(path, tail)
            case PartitionAddress() as address:
                return await self._read(link, path, address)
            case None:
                raise HubError(HubCode.OPERATION_NOT_FOUND, "There is no such address.")
            case unknown:
                assert_never(unknown)

    async def message(self, link: AmqpReceiver, delivery: AmqpDelivery) -> None:
        await self._management.message(link, delivery)

    def flow(self, link: AmqpSender, *, drain: bool) -> None:
        if (reader := self._readers.get(link)) is not None:
            reader.delivery.flow(drain=drain)

    async def detached(self, link: AmqpReceiver | AmqpSender, error: Error | None) -> None:
        del error
        self._management.forget(link)
        self._let_go(link)

    async def review(self) -> None:
        """End the links that no token allows any more."""
        for link, reader in tuple(self._readers.items()):
            if isinstance(may_read(self._connection.proofs, reader.path), Refused):
                self._let_go(link)
                self._connection.detach(link, unauthorized("The token has expired."))

    async def closed(self) -> None:
        for link in tuple(self._readers):
            self._let_go(link)

    # ------------------------------------------------------------ inside

    def _redirect(self, path: Path, tail: Path) -> Error:
        """Say where the endpoint is, to whoever may read it (contract hub.md 20.2)."""
        if isinstance(may_read(self._connection.proofs, path), Refused):
            return unauthorized("Unauthorized")
        hosts = self._side.hosts()
        came_to = self._connection.host
        host = came_to if came_to in {name.lower() for name in hosts} else hosts[0]
        peer = self._connection.peer
        port = peer.local.port if peer.transport == "tls" else AMQP_PORT
        address = "/".join((f"amqps://{host}:{port}", self._side.streams.event_hub_name, *tail))
        elsewhere = HubError(HubCode.OPERATION_NOT_FOUND, f"The events of this hub are read at {address}.")
        error = link_error(elsewhere, Condition.LINK_REDIRECT)
        info: dict[Any, Any] = {
            Symbol("hostname"): host,
            Symbol("network-host"): host,
            Symbol("port"): UInt(port),
            Symbol("address"): address,
        }
        return Error(condition=error.condition, description=error.description, info={**info, **(error.info or {})})

    async def _read(self, link: AmqpSender, path: Path, address: PartitionAddress) -> LinkTerms | Error:
        if isinstance(may_read(self._connection.proofs, path), Refused):
            return unauthorized("Unauthorized")
        streams = self._side.streams
        found = await streams.find(address.event_hub)
        if found is None:
            raise HubError(HubCode.OPERATION_NOT_FOUND, f"There is no event hub {address.event_hub[:100]}.")
        if not await streams.has_group(found.name, address.group):
            raise HubError(HubCode.OPERATION_NOT_FOUND, f"There is no consumer group {address.group[:100]}.")
        partition = address.partition
        if partition is None or partition >= found.partitions:
            beyond = HubError(
                HubCode.ARGUMENT_INVALID, f"There is no such partition; they go from 0 to {found.partitions - 1}."
            )
            return link_error(beyond, _OUT_OF_RANGE)
        stream = await streams.open(found.name)
        offset = await first_offset(stream.log, partition, read_selector(_selector(link.attached.source)))
        metrics = _METRICS in link.attached.desired_capabilities
        delivery = EventDelivery(
            link,
            stream,
            partition,
            offset,
            room=self._connection.room,
            clock=self._side.clock,
            removed=lambda: self._removed(link),
            metrics=metrics,
        )
        receiver = Receiver(_epoch(link.attached.properties), lambda epoch: self._displaced(link, epoch))
        place = found.name, address.group, partition
        refusal = await streams.owners.outranked(*place, receiver.epoch) or streams.receivers.admit(*place, receiver)
        if refusal is not None:
            return _refused(refusal)
        self._readers[link] = _Reader(path, address, found.name, partition, delivery, receiver)
        self._connection.run(delivery.run())
        self._connection.run(streams.owners.announce(*place, receiver.epoch))
        return LinkTerms(offered_capabilities=(Symbol(_METRICS),) if metrics else ())

    def _displaced(self, link: AmqpSender, epoch: int) -> None:
        self._let_go(link)
        self._connection.detach(link, _refused(Stolen(epoch)))

    def _removed(self, link: AmqpSender) -> None:
        self._let_go(link)
        gone = HubError(HubCode.OPERATION_NOT_FOUND, "The endpoint was removed.")
        self._connection.detach(link, link_error(gone))

    def _let_go(self, link: AmqpReceiver | AmqpSender) -> None:
        reader = self._readers.pop(link, None)
        if reader is not None:
            reader.delivery.stop()
            receivers = self._side.streams.receivers
            receivers.leave(reader.stream, reader.address.group, reader.partition, reader.receiver)


def _refused(refusal: Stolen | Crowded) -> Error:
    match refusal:
        case Stolen(epoch=epoch):
            taken = HubError(HubCode.DISPLACED, f"A receiver with owner level {epoch} reads this partition.")
            return link_error(taken, Condition.STOLEN)
        case Crowded():
            crowd = HubError(
                HubCode.THROTTLED, "Five receivers without owner level read this partition in this consumer group."
            )
            return link_error(crowd, Condition.RESOURCE_LIMIT_EXCEEDED)
        case _:
            assert_never(refusal)


def _selector(source: Source | None) -> str | None:
    """Return the text of the selector filter; None if there is none. Other filters are passed over."""
    for name, value in (source.filter if source is not None and source.filter else {}).items():
        if str(name).lower() == _SELECTOR:
            text = value.value if isinstance(value, Described) else value
            return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return None


def _epoch(properties: Mapping[Any, Any] | None) -> int | None:
    value = (properties or {}).get(_EPOCH)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise HubError(HubCode.ARGUMENT_INVALID, "The owner level is a number from 0 on.")
    return int(value)
