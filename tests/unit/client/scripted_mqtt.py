"""A provisioning service that speaks MQTT, plain or in a WebSocket, and follows a script of answers."""

import json
import ssl
from collections.abc import Sequence

from homeport.proto.mqtt import (
    ConnAck,
    Connect,
    Connection,
    Disconnect,
    Event,
    PubAck,
    Publish,
    ReturnCode,
    Role,
    SubAck,
    Subscribe,
)
from tests.unit.client.scripted_stream import Reply, ScriptedStreamService, Stream

__all__ = ["Reply", "ScriptedMqttService"]


class ScriptedMqttService(ScriptedStreamService):
    """Accepts every connection, unless `codes` says otherwise, and answers on the response topic."""

    protocol = "mqtt"

    def __init__(
        self,
        replies: Sequence[Reply],
        context: ssl.SSLContext,
        *,
        websocket: bool = False,
        codes: Sequence[ReturnCode] = (),
    ) -> None:
        super().__init__(replies, context, websocket=websocket)
        self._codes = list(codes)
        self.connects: list[Connect] = []
        self.requests: list[tuple[str, bytes]] = []

    def converse(self, stream: Stream) -> None:
        engine = Connection(Role.SERVER)
        while data := stream.recv(4096):
            for event in engine.receive(data):
                if not self._answer(engine, event):
                    return
            if out := engine.outgoing():
                stream.sendall(out)

    def _answer(self, engine: Connection, event: Event) -> bool:
        match event:
            case Connect():
                self.connects.append(event)
                code = self._codes.pop(0) if self._codes else ReturnCode.ACCEPTED
                engine.send(ConnAck(return_code=code))
            case Subscribe():
                assert [s.topic_filter for s in event.subscriptions] == ["$dps/registrations/res/#"]
                assert event.packet_id is not None
                engine.send(SubAck(packet_id=event.packet_id, return_codes=(1,)))
            case Publish():
                assert event.packet_id is not None
                engine.send(PubAck(packet_id=event.packet_id))
                query = event.topic.partition("/?")[2]
                self.requests.append((event.topic, event.payload))
                reply = self._replies.pop(0)
                if reply.status == 0:
                    return False
                rid = query.partition("&")[0].removeprefix("$rid=")
                wait = "" if reply.retry_after is None else f"&retry-after={reply.retry_after}"
                # Somebody else's answer first: the client must look at the request id.
                for request_id in ("another", rid):
                    engine.send(
                        Publish(
                            topic=f"$dps/registrations/res/{reply.status}/?$rid={request_id}{wait}",
                            payload=json.dumps(reply.body).encode(),
                            qos=1,
                        )
                    )
            case Disconnect():
                self.goodbyes += 1
            case _:
                pass
        return True
