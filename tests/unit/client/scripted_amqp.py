"""A provisioning service that speaks AMQP, plain or in a WebSocket, and follows a script of answers."""

import json
import ssl
from collections.abc import Sequence
from typing import Any

from homeport.proto.amqp import (
    ACCEPTED,
    Attach,
    Attached,
    Begin,
    Begun,
    Close,
    Closed,
    Connection,
    Data,
    Delivery,
    Detach,
    Disposition,
    Error,
    Event,
    Flow,
    Int,
    Link,
    LinkRole,
    Message,
    Open,
    Opened,
    Properties,
    Rejected,
    Role,
    SaslChallenge,
    SaslCode,
    SaslInit,
    SaslOutcome,
    SaslResponse,
    Transfer,
    decode_message,
    encode_message,
)
from tests.unit.client.scripted_stream import Reply, ScriptedStreamService, Stream

MECHANISMS = ("PLAIN", "TPM")


class ScriptedAmqpService(ScriptedStreamService):
    """Lets everybody in unless told otherwise: `outcomes` of SASL, `open_errors` in CLOSE, `link_errors` in DETACH.

    For a TPM, `blob` is the challenge, in segments of `segment` bytes. Answers are `unsettled` if asked for.
    """

    protocol = "AMQPWSB10"

    def __init__(
        self,
        replies: Sequence[Reply],
        context: ssl.SSLContext,
        *,
        websocket: bool = False,
        mechanisms: tuple[str, ...] = MECHANISMS,
        outcomes: Sequence[SaslOutcome] = (),
        open_errors: Sequence[Error | None] = (),
        link_errors: Sequence[Error | None] = (),
        blob: bytes = b"",
        segment: int = 470,
        unsettled: bool = False,
    ) -> None:
        super().__init__(replies, context, websocket=websocket)
        self._mechanisms = mechanisms
        self._outcomes = list(outcomes)
        self._open_errors = list(open_errors)
        self._link_errors = list(link_errors)
        self._segments = [blob[at : at + segment] for at in range(0, len(blob), segment)]
        self._unsettled = unsettled
        self.inits: list[SaslInit] = []
        self.responses: list[bytes] = []
        self.opened: list[Opened] = []
        self.attached: list[Attached] = []
        self.requests: list[Message] = []

    def converse(self, stream: Stream) -> None:
        engine = Connection(Role.SERVER, container_id="scripted", mechanisms=self._mechanisms)
        self._asked = 0
        self._answers: Link | None = None
        while data := stream.recv(4096):
            events = engine.receive(data)
            while events or engine.held:
                for event in events:
                    if not self._answer(engine, event):
                        if out := engine.outgoing():
                            stream.sendall(out)
                        return
                events = engine.receive(b"")
            if out := engine.outgoing():
                stream.sendall(out)

    def _answer(self, engine: Connection, event: Event) -> bool:
        match event:
            case SaslInit():
                self.inits.append(event)
                engine.send(SaslChallenge(challenge=b"\0") if event.mechanism == "TPM" else self._outcome())
            case SaslResponse():
                self.responses.append(event.response)
                engine.send(self._next_challenge())
            case Opened():
                self.opened.append(event)
                engine.send(Open())
                error = self._open_errors.pop(0) if self._open_errors else None
                if error is not None:
                    engine.send(Close(error=error))
                    return False
            case Begun():
                engine.send(Begin(session=event.session))
            case Attached():
                self._attach(engine, event)
            case Delivery():
                return self._reply(engine, event)
            case Closed():
                self.goodbyes += 1
            case _:
                pass
        return True

    def _outcome(self) -> SaslOutcome:
        return self._outcomes.pop(0) if self._outcomes else SaslOutcome(code=SaslCode.OK)

    def _next_challenge(self) -> SaslChallenge | SaslOutcome:
        index = self._asked
        self._asked += 1
        if index == len(self._segments):
            return self._outcome()
        last = 0x40 if index == len(self._segments) - 1 else 0
        return SaslChallenge(challenge=bytes([0x80 | last | index]) + self._segments[index])

    def _attach(self, engine: Connection, event: Attached) -> None:
        self.attached.append(event)
        error = self._link_errors.pop(0) if self._link_errors else None
        if error is not None:
            engine.send(Detach(link=event.link, error=error))
            return
        engine.send(Attach(link=event.link, source=event.source, target=event.target))
        if event.link.role is LinkRole.RECEIVER:
            engine.send(Flow(link=event.link, credit=10))
        else:
            self._answers = event.link

    def _reply(self, engine: Connection, event: Delivery) -> bool:
        request = decode_message(event.data)
        self.requests.append(request)
        reply = self._replies.pop(0)
        if reply.status == 0:
            return False
        body = json.dumps(reply.body)
        told: dict[str, Any] = {} if reply.retry_after is None else {"retry-after": Int(reply.retry_after)}
        if reply.status >= 400:
            error = Error(condition="x:refused", description=body, info=told)
            engine.send(Disposition(link=event.link, delivery_id=event.delivery_id, state=Rejected(error=error)))
            return True
        engine.send(Disposition(link=event.link, delivery_id=event.delivery_id, state=ACCEPTED))
        assert request.properties is not None
        assert self._answers is not None
        # Somebody else's answer first: the client must look at the correlation id.
        for correlation_id in ("another", request.properties.correlation_id):
            answer = Message(
                properties=Properties(correlation_id=correlation_id),
                application_properties=told or None,
                body=Data((body.encode(),)),
            )
            engine.send(Transfer(link=self._answers, data=encode_message(answer), settled=not self._unsettled))
        return True
