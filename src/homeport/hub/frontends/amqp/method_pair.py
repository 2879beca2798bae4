"""Direct methods of one device over AMQP (contract hub.md 16.6)."""

import secrets
from typing import Final
from uuid import UUID

from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.amqp.device_messages import read_body
from homeport.hub.frontends.amqp.errors import link_error
from homeport.hub.frontends.amqp.link_pair import Detach, LinkPair
from homeport.hub.methods import MethodAnswer, MethodCall, MethodListener, Methods
from homeport.net.amqp_handlers import AmqpDelivery, AmqpReceiver, AmqpSender
from homeport.proto.amqp import Data, Message, Properties, Rejected

_NAME: Final = "IoThub-methodname"
_STATUS: Final = "IoThub-status"
_NUMBER_BITS: Final = 64


class MethodPair(LinkPair):
    """Carries calls to one device while both links are there, and its answers back."""

    def __init__(self, detach: Detach, methods: Methods, identity: str) -> None:
        super().__init__(detach)
        self._methods = methods
        self._identity = identity
        self._listener: MethodListener | None = None
        self._mark = secrets.randbits(128 - _NUMBER_BITS) << _NUMBER_BITS
        """What the correlation ids of this pair begin with: every SDK wants UUIDs."""

    def take_incoming(self, link: AmqpReceiver) -> None:
        super().take_incoming(link)
        self._follow()

    def take_outgoing(self, link: AmqpSender) -> None:
        super().take_outgoing(link)
        self._follow()

    def drop(self, link: AmqpReceiver | AmqpSender) -> None:
        super().drop(link)
        self._follow()

    def stop(self) -> None:
        """Take no calls any more; those under way fail."""
        if self._listener is not None:
            self._methods.forget(self._identity, self._listener)
            self._listener = None

    def message(self, delivery: AmqpDelivery) -> None:
        """Take an answer; a late one is dropped."""
        answer = delivery.message()
        number = _correlation(answer)
        status = (answer.application_properties or {}).get(_STATUS)
        if number is None or not isinstance(status, int):
            malformed = HubError(HubCode.ARGUMENT_INVALID, f"An answer has a correlation id and {_STATUS}, an int.")
            delivery.settle(Rejected(error=link_error(malformed)))
            return
        try:
            payload = read_body(answer)
        except HubError as fault:
            delivery.settle(Rejected(error=link_error(fault)))
            return
        if self._listener is not None and number >> _NUMBER_BITS << _NUMBER_BITS == self._mark:
            request_id = f"{number - self._mark:x}"
            self._listener.answer(request_id, MethodAnswer(status=int(status), payload=payload))

    def _follow(self) -> None:
        if self.incoming is None or self.outgoing is None:
            self.stop()
        elif self._listener is None:
            self._listener = self._methods.listen(self._identity, self._call)

    def _call(self, call: MethodCall) -> None:
        if self.outgoing is None:
            raise HubError(HubCode.DEVICE_NOT_ONLINE, "Timed out waiting for device to connect.")
        message = Message(
            properties=Properties(correlation_id=UUID(int=self._mark | int(call.request_id, 16))),
            application_properties={_NAME: call.name},
            body=Data((call.payload,)),
        )
        try:
            _ = self.outgoing.send(message, settled=True)
        except ValueError as fault:
            raise HubError(HubCode.MESSAGE_TOO_LARGE, f"The device cannot take this call: {fault}.") from None


def _correlation(answer: Message) -> int | None:
    """Return the number of the correlation id: a UUID, or its bytes, as some libraries have it."""
    match answer.properties.correlation_id if answer.properties is not None else None:
        case UUID() as correlation_id:
            return correlation_id.int
        case bytes() as data if len(data) == 16:
            return UUID(bytes=data).int
        case str() as text:
            try:
                return UUID(text).int
            except ValueError:
                return None
        case _:
            return None
