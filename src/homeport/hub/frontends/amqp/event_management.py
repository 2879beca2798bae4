"""The node `$management`: what Event Hubs clients ask about an endpoint and its partitions (contract hub.md 20.4)."""

from typing import Any, Final

from homeport.hub.authentication import Refused
from homeport.hub.errors import HubCode, HubError
from homeport.hub.event_streams import EventStreams
from homeport.hub.frontends.amqp.addresses import read_path
from homeport.hub.frontends.amqp.connection import HubConnection
from homeport.hub.frontends.amqp.errors import link_error
from homeport.hub.frontends.amqp.event_messages import event_hub_map, partition_map
from homeport.hub.frontends.amqp.event_rights import may_read
from homeport.net.amqp_handlers import AmqpDelivery, AmqpReceiver, AmqpSender, LinkTerms
from homeport.proto.amqp import ACCEPTED, AmqpValue, Int, Message, Properties, Rejected

MAX_LINKS: Final = 64
"""To `$management` on one connection."""
MAX_REQUEST_BYTES: Final = 16 * 1024

_EVENT_HUB, _PARTITION = "com.microsoft:eventhub", "com.microsoft:partition"


class ManagementNode:
    """The management links of one connection; each answer goes back where its request wants it."""

    def __init__(self, streams: EventStreams, connection: HubConnection) -> None:
        self._streams = streams
        self._connection = connection
        self._requests: set[AmqpReceiver] = set()
        self._ways_back: list[AmqpSender] = []

    def attach_receiver(self, link: AmqpReceiver) -> LinkTerms:
        self._make_room()
        self._requests.add(link)
        return LinkTerms(max_message_size=MAX_REQUEST_BYTES)

    def attach_sender(self, link: AmqpSender) -> LinkTerms:
        self._make_room()
        self._ways_back.append(link)
        return LinkTerms()

    def forget(self, link: AmqpReceiver | AmqpSender) -> None:
        """Learn that a link has ended."""
        self._requests = {each for each in self._requests if each is not link}
        self._ways_back = [each for each in self._ways_back if each is not link]

    async def message(self, link: AmqpReceiver, delivery: AmqpDelivery) -> None:
        """Answer a request; it is settled before the answer leaves (contract hub.md 15.2)."""
        request = delivery.message()
        asked = request.properties or Properties()
        way_back = self._way_back(link, asked.reply_to)
        if way_back is None:
            nowhere = HubError(HubCode.ARGUMENT_INVALID, "There is no link from $management to answer on.")
            delivery.settle(Rejected(error=link_error(nowhere)))
            return
        status, description, told = await self._answer(request.application_properties or {})
        delivery.settle(ACCEPTED)
        _ = way_back.send(
            Message(
                properties=Properties(correlation_id=asked.message_id),
                application_properties={"status-code": Int(status), "status-description": description},
                body=AmqpValue(told),
            ),
            settled=True,
        )

    def _make_room(self) -> None:
        if len(self._requests) + len(self._ways_back) >= MAX_LINKS:
            raise HubError(HubCode.THROTTLED, f"At most {MAX_LINKS} links to $management on one connection.")

    def _way_back(self, link: AmqpReceiver, reply_to: Any) -> AmqpSender | None:
        """Find the link that `reply-to` names by its target, else the newest of the session and of this address."""
        newest = self._ways_back[::-1]
        if reply_to is not None:
            for each in newest:
                if getattr(each.attached.target, "address", None) == reply_to:
                    return each
        of_session = [each for each in newest if each.session is link.session]
        asked = _folded(link.address)
        return next((each for each in of_session if _folded(each.address) == asked), None) or next(
            iter(of_session), None
        )

    async def _answer(self, asked: dict[str, Any]) -> tuple[int, str, dict[str, Any] | None]:
        """Return status, description, and what is told."""
        kind, name = asked.get("type"), asked.get("name")
        if asked.get("operation") != "READ" or kind not in {_EVENT_HUB, _PARTITION}:
            return 400, f"The operation is READ, of {_EVENT_HUB} or {_PARTITION}.", None
        if not isinstance(name, str) or not name:
            return 400, "The property name is to be an event hub's.", None
        if isinstance(may_read(self._connection.proofs, (name, "$management")), Refused):
            return 401, "Unauthorized", None
        stream = await self._streams.find(name)
        if stream is None:
            return 404, f"There is no event hub {name[:100]}.", None
        if kind == _EVENT_HUB:
            return 200, "OK", event_hub_map(name, stream)
        partition = str(asked.get("partition"))
        if partition not in {str(number) for number in range(stream.partitions)}:
            return 404, f"There is no partition {partition[:100]}; they go from 0 to {stream.partitions - 1}.", None
        log = (await self._streams.open(stream.name)).log
        return 200, "OK", partition_map(name, int(partition), await log.state(int(partition)))


def _folded(address: str) -> tuple[str, ...]:
    return tuple(segment.lower() for segment in read_path(address) or ())
