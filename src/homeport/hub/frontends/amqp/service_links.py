"""The links of services: messages to devices, delivery feedback, notifications of files (contract hub.md 18)."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from homeport.errors import HomeportError
from homeport.hub.authentication import Refused
from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.amqp.addresses import Path, is_words
from homeport.hub.frontends.amqp.connection import HubConnection, LinkHandler
from homeport.hub.frontends.amqp.errors import link_error, unauthorized
from homeport.hub.frontends.amqp.notice_deliveries import NoticeDeliveries
from homeport.hub.frontends.amqp.service_messages import read_cloud_message
from homeport.hub.model import CloudMessage
from homeport.hub.notice_documents import feedback_document, file_document
from homeport.hub.reply import as_hub_error
from homeport.hub.service_side import ServiceSide
from homeport.net.amqp_handlers import AmqpDelivery, AmqpReceiver, AmqpSender, LinkTerms
from homeport.proto.amqp import ACCEPTED, Condition, Error, Rejected, RemoteProtocolError
from homeport.security.ip_filter import Door
from homeport.security.policies import HubRight
from homeport.wire.hub_feedback import FEEDBACK_TYPE, FILE_NOTIFICATION_TYPE

MAX_MESSAGE_BYTES: Final = 256 * 1024
"""More than a queue takes (64 KB), so that what is too large is rejected by itself and does not end the link."""
_LINES: Final = 64
_NEEDED: Final = frozenset({HubRight.SERVICE_CONNECT})
_NOTICES: Final = {
    ("feedback",): "feedback",
    ("filenotifications",): "files",
    ("fileuploadnotifications",): "files",
}


class ServiceSpace:
    """The addresses `messages/devicebound` and `messages/servicebound/…` (an AddressSpace)."""

    door: Door | None = Door.SERVICE

    def __init__(self, side: ServiceSide) -> None:
        self._side = side

    def owns(self, path: Path) -> bool:
        return is_words(path[:2], "messages", "devicebound") or is_words(path[:2], "messages", "servicebound")

    def join(self, connection: HubConnection) -> LinkHandler:
        return ServiceLinks(self._side, connection)


class ServiceLinks:
    """What services do on one connection."""

    def __init__(self, side: ServiceSide, connection: HubConnection) -> None:
        self._side = side
        self._connection = connection
        self._paths: dict[AmqpReceiver | AmqpSender, Path] = {}
        self._deliveries: dict[AmqpReceiver | AmqpSender, NoticeDeliveries[Any]] = {}
        self._former: set[NoticeDeliveries[Any]] = set()
        """Deliveries on links that have ended, until what they hold is given back."""
        self._lines = [asyncio.Lock() for _ in range(_LINES)]
        """Messages for one device are queued in the order in which they came."""

    @property
    def active(self) -> bool:
        return False

    async def attach_receiver(self, link: AmqpReceiver, path: Path) -> LinkTerms | Error:
        if not is_words(path, "messages", "devicebound"):
            raise HubError(HubCode.OPERATION_NOT_FOUND, "There is no such address for links in this direction.")
        if isinstance(self._allowed(path), Refused):
            return unauthorized("Unauthorized")
        self._paths[link] = path
        return LinkTerms(max_message_size=MAX_MESSAGE_BYTES)

    async def attach_sender(self, link: AmqpSender, path: Path) -> LinkTerms | Error:
        kind = next((kind for words, kind in _NOTICES.items() if is_words(path[2:], *words)), None)
        if kind is None or not is_words(path[:2], "messages", "servicebound"):
            raise HubError(HubCode.OPERATION_NOT_FOUND, "There is no such address for links in this direction.")
        if isinstance(self._allowed(path), Refused):
            return unauthorized("Unauthorized")
        self._paths[link] = path
        deliveries = self._deliveries[link] = self._delivering(kind, link)
        deliveries.start()
        return LinkTerms()

    async def message(self, link: AmqpReceiver, delivery: AmqpDelivery) -> None:
        """Queue a message for a device, and accept it when it is durable."""
        del link
        try:
            settings = await self._side.messages.settings()
            targets, message = read_cloud_message(delivery.data, self._side.clock.now(), settings.default_life)
            async with self._lines[hash(targets) % _LINES]:
                await self._send(targets, message)
        except RemoteProtocolError as fault:
            delivery.settle(Rejected(error=Error(condition=Condition.DECODE_ERROR, description=str(fault), info={})))
        except (HubError, HomeportError) as fault:
            delivery.settle(Rejected(error=link_error(as_hub_error(fault))))
        else:
            delivery.settle(ACCEPTED)

    def flow(self, link: AmqpSender, *, drain: bool) -> None:
        del drain  # what is not used in this call goes back: batches come from the store, later
        self._deliveries[link].look()

    async def detached(self, link: AmqpReceiver | AmqpSender, error: Error | None) -> None:
        del error
        self._let_go(link)

    async def review(self) -> None:
        """End the links that no token allows any more."""
        for link, path in tuple(self._paths.items()):
            if isinstance(self._allowed(path), Refused):
                self._let_go(link)
                self._connection.detach(link, unauthorized("The token has expired."))

    async def closed(self) -> None:
        self._former |= set(self._deliveries.values())
        self._deliveries.clear()
        await asyncio.gather(*(deliveries.close() for deliveries in self._former))

    def _allowed(self, path: Path) -> object:
        return self._connection.proofs.for_service(path, _NEEDED)

    def _delivering(self, kind: str, link: AmqpSender) -> NoticeDeliveries[Any]:
        run, clock = self._connection.run, self._side.clock
        if kind == "feedback":
            return NoticeDeliveries(self._side.feedback, feedback_document, FEEDBACK_TYPE, link, run, clock)
        return NoticeDeliveries(self._side.file_notifications, file_document, FILE_NOTIFICATION_TYPE, link, run, clock)

    def _let_go(self, link: AmqpReceiver | AmqpSender) -> None:
        self._paths.pop(link, None)
        deliveries = self._deliveries.pop(link, None)
        if deliveries is not None:
            self._former.add(deliveries)
            self._connection.run(self._give_back(deliveries))

    async def _give_back(self, deliveries: NoticeDeliveries[Any]) -> None:
        await deliveries.close()
        self._former.discard(deliveries)

    async def _send(self, targets: Sequence[str], message: CloudMessage) -> None:
        """Queue a message for the first of these that is there."""
        for target in targets[:-1]:
            try:
                await self._side.messages.send(target, message)
            except HubError as error:
                if error.code not in {HubCode.DEVICE_NOT_FOUND, HubCode.MODULE_NOT_FOUND}:
                    raise
            else:
                return
        await self._side.messages.send(targets[-1], message)
