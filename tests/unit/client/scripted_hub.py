"""A hub's AMQP end, in a WebSocket, that takes in tokens and messages as it is told to."""

import ssl
from collections.abc import Sequence
from typing import Any

from homeport.proto.amqp import (
    ACCEPTED,
    AmqpValue,
    Attached,
    Connection,
    Delivery,
    Disposition,
    Error,
    Int,
    Link,
    Message,
    Properties,
    Rejected,
    Transfer,
    decode_message,
    encode_message,
)
from tests.unit.client.scripted_amqp import ScriptedAmqpService


class ScriptedHub(ScriptedAmqpService):
    """Answers each token with the next of `statuses`, and each message with the next of `outcomes` (None: accepted).

    An outcome of `HANG_UP` breaks the connection instead.
    """

    HANG_UP = Error(condition="hang-up")

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        statuses: Sequence[int] = (200,),
        verdicts: Sequence[Error | None] = (),
        link_errors: Sequence[Error | None] = (),
    ) -> None:
        super().__init__((), context, websocket=True, mechanisms=(), link_errors=link_errors)
        self._statuses = list(statuses)
        self._verdicts = list(verdicts)
        self._way_back: Link | None = None
        self.tokens: list[Message] = []

    def _attach(self, engine: Connection, event: Attached) -> None:
        super()._attach(engine, event)
        if event.source is not None and event.source.address == "$cbs":
            self._way_back = event.link

    def _reply(self, engine: Connection, event: Delivery) -> bool:
        message = decode_message(event.data)
        if message.application_properties and message.application_properties.get("operation") == "put-token":
            self._take_token(engine, event, message)
            return True
        self.requests.append(message)
        verdict = self._verdicts.pop(0) if self._verdicts else None
        if verdict is self.HANG_UP:
            return False
        state: Any = ACCEPTED if verdict is None else Rejected(error=verdict)
        engine.send(Disposition(link=event.link, delivery_id=event.delivery_id, state=state))
        return True

    def _take_token(self, engine: Connection, event: Delivery, message: Message) -> None:
        self.tokens.append(message)
        assert message.properties is not None
        assert self._way_back is not None
        status = self._statuses.pop(0) if self._statuses else 200
        engine.send(Disposition(link=event.link, delivery_id=event.delivery_id, state=ACCEPTED))
        answer = Message(
            properties=Properties(correlation_id=message.properties.message_id),
            application_properties={"status-code": Int(status), "status-description": f"said {status}"},
            body=AmqpValue(None),
        )
        engine.send(Transfer(link=self._way_back, data=encode_message(answer)))
