"""Claims-based security: tokens put on a connection through the node `$cbs` (contract hub.md 15).

What a token opens is decided when links come; here it is only taken in or refused.
"""

from typing import Final

from homeport.hub.authentication import Reason, Refused
from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.amqp.addresses import Path, is_words
from homeport.hub.frontends.amqp.connection import HubConnection, LinkHandler
from homeport.hub.frontends.amqp.errors import link_error
from homeport.net.amqp_handlers import AmqpDelivery, AmqpReceiver, AmqpSender, LinkTerms
from homeport.proto.amqp import (
    ACCEPTED,
    AmqpValue,
    Data,
    Error,
    Int,
    Message,
    Properties,
    Rejected,
)
from homeport.security.ip_filter import Door

MAX_LINKS: Final = 32
"""To `$cbs` on one connection: two for most clients, whoever they are."""
MAX_REQUEST_BYTES: Final = 16 * 1024

_STATUS_CODE: Final = "status-code"
_STATUS_DESCRIPTION: Final = "status-description"


class CbsNode:
    """The address `$cbs` (an AddressSpace)."""

    door: Door | None = None

    def owns(self, path: Path) -> bool:
        return is_words(path, "$cbs")

    def join(self, connection: HubConnection) -> LinkHandler:
        return CbsLinks(connection)


class CbsLinks:
    """The links to `$cbs` on one connection. Pairs are found by their session, as clients open one of its own."""

    def __init__(self, connection: HubConnection) -> None:
        self._connection = connection
        self._ways_back: list[AmqpSender] = []
        self._links: set[AmqpReceiver | AmqpSender] = set()

    @property
    def active(self) -> bool:
        return False

    async def attach_receiver(self, link: AmqpReceiver, path: Path) -> LinkTerms | Error:
        del path
        self._add(link)
        return LinkTerms(max_message_size=MAX_REQUEST_BYTES)

    async def attach_sender(self, link: AmqpSender, path: Path) -> LinkTerms | Error:
        del path
        self._add(link)
        self._ways_back.append(link)
        return LinkTerms()

    async def message(self, link: AmqpReceiver, delivery: AmqpDelivery) -> None:
        """Take a token in. The request is settled before the answer leaves: the C library insists (15.2)."""
        request = delivery.message()
        way_back = self._way_back(link)
        if way_back is None:
            unanswerable = HubError(HubCode.ARGUMENT_INVALID, "There is no link from $cbs to answer on.")
            delivery.settle(Rejected(error=link_error(unanswerable)))
            return
        status, description = await self._answer(request)
        delivery.settle(ACCEPTED)
        asked = request.properties or Properties()
        _ = way_back.send(
            Message(
                properties=Properties(correlation_id=asked.message_id),
                application_properties={_STATUS_CODE: Int(status), _STATUS_DESCRIPTION: description},
                body=AmqpValue(None),
            ),
            settled=True,
        )

    def flow(self, link: AmqpSender, *, drain: bool) -> None:
        """Do nothing: an answer waits for credit by itself."""

    async def detached(self, link: AmqpReceiver | AmqpSender, error: Error | None) -> None:
        del error
        self._links.discard(link)
        self._ways_back = [each for each in self._ways_back if each is not link]

    async def review(self) -> None:
        """Do nothing: `$cbs` is open to all."""

    async def closed(self) -> None:
        """Do nothing: tokens end with the connection."""

    def _add(self, link: AmqpReceiver | AmqpSender) -> None:
        if len(self._links) >= MAX_LINKS:
            raise HubError(HubCode.THROTTLED, f"At most {MAX_LINKS} links to $cbs on one connection.")
        self._links.add(link)

    def _way_back(self, link: AmqpReceiver) -> AmqpSender | None:
        """Find the newest link of the same session."""
        return next((each for each in reversed(self._ways_back) if each.session is link.session), None)

    async def _answer(self, request: Message) -> tuple[int, str]:
        """Return the status and its description."""
        operation = (request.application_properties or {}).get("operation")
        if operation != "put-token":
            return 400, "The only operation is put-token."
        token = _token(request)
        if not token:
            return 400, "The body is to be the token."
        verdict = await self._connection.put_token(token)
        if not isinstance(verdict, Refused):
            return 200, "OK"
        match verdict.reason:
            case Reason.MALFORMED:
                return 400, f"The token cannot be read: {verdict.explanation}."
            case Reason.TOO_MANY:
                return 403, verdict.explanation
            case _:
                return 401, "Unauthorized"


def _token(request: Message) -> str:
    match request.body:
        case AmqpValue(value=str() as text):
            return text
        case AmqpValue(value=bytes() as data) | Data(parts=(data,)):
            return data.decode("utf-8", "replace")
        case _:
            return ""
