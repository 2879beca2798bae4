"""One device's twin over AMQP: read, reported, and followed (contract hub.md 16.5)."""

import logging
import secrets
from typing import Any, Final

import msgspec

from homeport.hub.device_side import DeviceSide
from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.amqp.device_messages import read_body
from homeport.hub.frontends.amqp.errors import link_error
from homeport.hub.frontends.amqp.link_pair import Detach, LinkPair
from homeport.hub.model import JsonObject
from homeport.hub.reply import as_hub_error, twin_error_body
from homeport.hub.responder import Connected
from homeport.net.amqp_handlers import AmqpDelivery, AmqpReceiver, AmqpSender
from homeport.proto.amqp import Condition, Data, Error, Int, Message, Properties, Rejected, Symbol
from homeport.security.explain import quoted

_OPERATION: Final = "operation"
_RESOURCE: Final = Symbol("resource")
_VERSION: Final = Symbol("version")
_STATUS: Final = Symbol("status")
_REPORTED: Final = "/properties/reported"
_DESIRED: Final = "/properties/desired"
_NOTIFICATIONS: Final = "/notifications/twin/properties/desired"

_log = logging.getLogger(__name__)


class TwinPair(LinkPair):
    """Answers what one device asks of its twin."""

    def __init__(self, detach: Detach, side: DeviceSide, identity: str) -> None:
        super().__init__(detach)
        self._side = side
        self._identity = identity
        self._changed = self._desired_changed  # one bound method, so that it can be told from another session's

    def drop(self, link: AmqpReceiver | AmqpSender) -> None:
        if link is self.outgoing:
            self._side.twins.forget(self._identity, self._changed)
        super().drop(link)

    def stop(self) -> None:
        """Follow nothing any more."""
        self._side.twins.forget(self._identity, self._changed)

    async def message(self, delivery: AmqpDelivery, connected: Connected) -> None:
        request = delivery.message()
        if self.outgoing is None:
            unanswerable = HubError(HubCode.ARGUMENT_INVALID, "There is no twin link to answer on.")
            delivery.settle(Rejected(error=link_error(unanswerable)))
            return
        version: int | None = None
        try:
            status, body, version = await self._carry_out(request, connected)
        except Exception as fault:
            if not isinstance(fault, HubError):
                _log.error("a twin operation of device %s failed", quoted(self._identity), exc_info=fault)
            error = as_hub_error(fault)
            status = error.code.status
            body = twin_error_body(error, secrets.token_hex(16), self._side.clock.now())
        annotations: dict[Any, Any] = {_STATUS: Int(status)}
        if version is not None:
            annotations[_VERSION] = version
        asked = request.properties or Properties()
        self._send(
            Message(
                message_annotations=annotations,
                properties=Properties(correlation_id=asked.correlation_id),
                body=Data((body,)) if body else None,
            )
        )

    async def _carry_out(self, request: Message, connected: Connected) -> tuple[int, bytes, int | None]:
        """Return status, body and version of the answer."""
        annotations = request.message_annotations or {}
        resource = annotations.get(_RESOURCE) or ""
        match annotations.get(_OPERATION), resource:
            case "GET", _:
                return 200, await self._side.responder.read_twin(connected), None
            case "PATCH", str() if resource.lower() == _REPORTED:
                wanted = annotations.get(_VERSION)
                expected = int(wanted) if isinstance(wanted, int) and not isinstance(wanted, bool) else None
                version = await self._side.responder.report(connected, read_body(request), expected)
                return 204, b"", version
            case "PUT", str() if resource.lower() == _NOTIFICATIONS:
                self._side.twins.listen(self._identity, self._changed)
                return 200, b"", None
            case "DELETE", str() if resource.lower() == _NOTIFICATIONS:
                self._side.twins.forget(self._identity, self._changed)
                return 200, b"", None
            case _:
                raise HubError(HubCode.ARGUMENT_INVALID, "There is no such operation on a twin.")

    def _desired_changed(self, change: JsonObject, version: int) -> None:
        body = msgspec.json.encode({**change, "$version": version})
        self._send(Message(message_annotations={_RESOURCE: _DESIRED, _VERSION: version}, body=Data((body,))))

    def _send(self, message: Message) -> None:
        """Send on the link there is now; C# and Java do not wait for more than a settled message."""
        if self.outgoing is None:
            return
        try:
            _ = self.outgoing.send(message, settled=True)
        except ValueError as fault:
            link = self.outgoing
            self.drop(link)
            self._detach(link, Error(condition=Condition.MESSAGE_SIZE_EXCEEDED, description=str(fault)))
