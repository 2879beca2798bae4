"""A device by hand with uamqp, the C client's AMQP library, as the C client does it: CBS, all links on one session.

Reads {host, deviceId, token, ca} as JSON on the first line of standard input and prints one line of JSON for each
thing that happens: {event, ...}. Ends when it has been told of a desired change, a method and a message.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from uamqp import BatchMessage, Connection, Message, address, authentication, constants, receiver, sender
from uamqp import types as amqp_types
from uamqp.message import MessageProperties

wanted = json.loads(sys.stdin.readline())
DEVICE = f"amqps://{wanted['host']}/devices/{wanted['deviceId']}"
AUDIENCE = f"{wanted['host']}/devices/{wanted['deviceId']}"
PATIENCE_SECONDS = 20.0


def tell(event: str, **more: Any) -> None:
    """Print what happened."""
    print(json.dumps({"event": event, **more}), flush=True)


class Device:
    """One connection."""

    def __init__(self) -> None:
        auth = authentication.SASTokenAuth(
            AUDIENCE, f"https://{AUDIENCE}", wanted["token"], expires_at=time.time() + 3000, verify=wanted["ca"]
        )
        self.connection = Connection(wanted["host"], auth, container_id="device")
        auth.create_authenticator(self.connection)
        self.wait_for(lambda: not auth.handle_token()[1])
        tell("cbs")
        self.session = auth._session  # one session for everything, CBS included
        self.open: list[Any] = []

    def wait_for(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition() and time.monotonic() < end:
            self.connection.work()
        if time.monotonic() >= end:
            tell("failed", message="nothing happened")
            sys.exit(1)

    def sender(self, path: str, correlation: str | None = None, **options: Any) -> Any:
        made = sender.MessageSender(
            self.session,
            f"link-snd-{wanted['deviceId']}-source",
            address.Target(DEVICE + path),
            name=f"link-snd-{path}",
            properties=_properties(correlation),
            **options,
        )
        made.open()
        self.wait_for(lambda: made.get_state() == constants.MessageSenderState.Open)
        self.open.append(made)
        return made

    def receiver(self, path: str, heard: Callable[[Any], Any], correlation: str | None = None, **options: Any) -> Any:
        made = receiver.MessageReceiver(
            self.session,
            address.Source(DEVICE + path),
            f"link-rcv-{wanted['deviceId']}-target",
            on_message_received=heard,
            name=f"link-rcv-{path}",
            properties=_properties(correlation),
            max_message_size=65536,
            **options,
        )
        made.open()
        self.wait_for(lambda: made._state == constants.MessageReceiverState.Open)
        self.open.append(made)
        return made

    def send(self, link: Any, message: Any) -> str:
        outcomes: list[Any] = []
        link.send(message, lambda _message, result, **_: outcomes.append(result))
        self.wait_for(lambda: outcomes)
        return str(constants.MessageSendResult(outcomes[0]).name)


def _properties(correlation: str | None) -> dict[bytes, bytes]:
    properties = {b"com.microsoft:client-version": b"uamqp"}
    if correlation is not None:
        properties |= {b"com.microsoft:channel-correlation-id": correlation.encode()}
    return properties


def main() -> None:
    """Do everything a device does."""
    device = Device()
    events = device.sender("/messages/events")
    batch = BatchMessage(data=[b"one", b"two"])
    (gathered,) = batch.gather()
    tell("sent", outcome=device.send(events, gathered), format=batch.batch_format)

    answers: list[Any] = []
    twin_up = device.sender("/twin", "twin:1", send_settle_mode=constants.SenderSettleMode.Settled)
    device.receiver(
        "/twin", answers.append, "twin:1", receive_settle_mode=constants.ReceiverSettleMode.ReceiveAndDelete
    )

    def ask(number: int, operation: str, resource: str | None, body: bytes = b" ") -> Any:
        annotations = {amqp_types.AMQPSymbol(b"operation"): operation.encode()}
        if resource is not None:
            annotations[amqp_types.AMQPSymbol(b"resource")] = resource.encode()
        properties = MessageProperties(correlation_id=str(number))
        device.send(twin_up, Message(body, annotations=annotations, properties=properties))
        device.wait_for(lambda: answers)
        return answers.pop()

    answer = ask(1, "GET", None)
    tell("twin", status=answer.annotations[b"status"], body=json.loads(b"".join(answer.get_data())))
    answer = ask(2, "PATCH", "/properties/reported", b'{"temperature":21}')
    tell("reported", status=answer.annotations[b"status"], version=answer.annotations[b"version"])
    answer = ask(3, "PUT", "/notifications/twin/properties/desired")
    tell("following", status=answer.annotations[b"status"], correlation=answer.properties.correlation_id.decode())

    calls: list[Any] = []
    methods_up = device.sender("/methods/devicebound", wanted["deviceId"])
    device.receiver("/methods/devicebound", calls.append, wanted["deviceId"])
    messages: list[Any] = []
    device.receiver("/messages/devicebound", messages.append)
    tell("ready")

    device.wait_for(lambda: answers)
    change = answers.pop()
    tell("desired", version=change.annotations[b"version"], body=json.loads(b"".join(change.get_data())))
    device.wait_for(lambda: calls)
    call = calls.pop()
    response = Message(
        b'{"said":"yes"}',
        properties=MessageProperties(correlation_id=call.properties.correlation_id),
        application_properties={b"IoThub-status": amqp_types.AMQPInt(201)},
    )
    name = call.application_properties[b"IoThub-methodname"].decode()
    tell("method", name=name, outcome=device.send(methods_up, response))
    device.wait_for(lambda: messages)
    message = messages.pop()
    told = {name.decode(): value.decode() for name, value in message.application_properties.items()}
    tell("message", text=b"".join(message.get_data()).decode(), properties=told, tag=len(message.delivery_tag))
    message.accept()
    for _ in range(10):
        device.connection.work()
    for each in device.open:
        each.destroy()
    tell("closed")


main()
