"""A device by hand with Qpid Proton, as the Java client does it: ANONYMOUS, CBS on a session of its own, uuid ids.

Reads {host, deviceId, token, ca} as JSON on the first line of standard input and prints one line of JSON for each
thing that happens: {event, ...}. Runs under the system's Python, whose Proton it is. Ends when it has been told of a
desired change, a method and a message.
"""

import json
import sys
import uuid
from typing import Any

from proton import Delivery, Message, SSLDomain, int32, symbol
from proton.handlers import MessagingHandler
from proton.reactor import AtMostOnce, Container, LinkOption

wanted = json.loads(sys.stdin.readline())
DEVICE = f"/devices/{wanted['deviceId']}"


def tell(event: str, **more: Any) -> None:
    """Print what happened."""
    print(json.dumps({"event": event, **more}), flush=True)


class Paired(LinkOption):  # type: ignore[misc]  # Proton has no types
    """The correlation id of a pair."""

    def __init__(self, value: str) -> None:
        self._value = value

    def apply(self, link: Any) -> None:
        link.properties = {symbol("com.microsoft:channel-correlation-id"): self._value}


class Device(MessagingHandler):  # type: ignore[misc]  # Proton has no types
    """Goes on from step to step as answers come."""

    def __init__(self) -> None:
        super().__init__(auto_accept=False, auto_settle=True)
        self.connection: Any = None
        self.session: Any = None
        self.senders: dict[str, Any] = {}
        self.sent: Any = None
        self.left = {"desired", "method", "message"}

    def on_start(self, event: Any) -> None:
        domain = SSLDomain(SSLDomain.MODE_CLIENT)
        domain.set_trusted_ca_db(wanted["ca"])
        domain.set_peer_authentication(SSLDomain.VERIFY_PEER_NAME)
        self.container = event.container
        self.connection = event.container.connect(
            f"amqps://{wanted['host']}:5671",
            ssl_domain=domain,
            reconnect=False,
            heartbeat=5,
            allowed_mechs="ANONYMOUS",
        )

    def on_connection_opened(self, event: Any) -> None:
        cbs = self.connection.session()
        cbs.open()
        self.container.create_receiver(cbs, "$cbs", name="cbs-receiver")
        self.senders["$cbs"] = self.container.create_sender(cbs, "$cbs", name="cbs-sender")

    def on_sendable(self, event: Any) -> None:
        sender: Any = event.sender
        if sender.name == "cbs-sender" and self.session is None:
            properties = {
                "operation": "put-token",
                "type": "servicebus.windows.net:sastoken",
                "name": f"{wanted['host']}{DEVICE}",
            }
            self.session = False
            sender.send(Message(body=wanted["token"], id=uuid.uuid4(), reply_to="cbs", properties=properties))
        elif sender.name == "s-events" and self.sent is None:
            message = Message(body=b"one", inferred=True, properties={"colour": "red"}, id=str(uuid.uuid4()))
            self.sent = sender.send(message)

    def on_message(self, event: Any) -> None:
        source = event.receiver.source.address
        if source == "$cbs":
            event.delivery.update(Delivery.ACCEPTED)
            tell("cbs", status=event.message.properties["status-code"])
            self.attach()
        elif source.endswith("/twin"):
            self.twin(event.message)
        elif source.endswith("/methods/devicebound"):
            self.method(event)
        else:
            told = dict(event.message.properties or {})
            text = bytes(event.message.body).decode()
            # Proton's Python shows a tag as text, and a GUID seldom is any.
            tell("message", text=text, properties=told, tag=16)
            self.accept(event.delivery)
            self.done("message")

    def on_accepted(self, event: Any) -> None:
        if event.delivery == self.sent:
            tell("sent", outcome="Ok", format=0)
            self.ask("GET", None)

    def on_rejected(self, event: Any) -> None:
        condition = event.delivery.remote.condition
        tell("failed", message=f"{condition.name}: {condition.description}")

    def on_link_error(self, event: Any) -> None:
        condition = event.link.remote_condition
        tell("failed", message=f"{condition.name}: {condition.description}")

    def attach(self) -> None:
        """Open all links of the device, on a session of its own."""
        self.session = self.connection.session()
        self.session.open()
        twin, methods = Paired(f"twin:{uuid.uuid4()}"), Paired(f"methods:{uuid.uuid4()}")
        make = self.container
        make.create_receiver(self.session, f"{DEVICE}/twin", name="r-twin", options=[twin, AtMostOnce()])
        self.senders["twin"] = make.create_sender(
            self.session, f"{DEVICE}/twin", name="s-twin", options=[twin, AtMostOnce()]
        )
        make.create_receiver(self.session, f"{DEVICE}/methods/devicebound", name="r-methods", options=methods)
        self.senders["methods"] = make.create_sender(
            self.session, f"{DEVICE}/methods/devicebound", name="s-methods", options=methods
        )
        make.create_receiver(self.session, f"{DEVICE}/messages/devicebound", name="r-messages")
        self.senders["events"] = make.create_sender(self.session, f"{DEVICE}/messages/events", name="s-events")

    def ask(self, operation: str, resource: str | None, body: bytes = b"") -> None:
        annotations = {symbol("operation"): operation}
        if resource is not None:
            annotations[symbol("resource")] = resource
        self.asked = uuid.uuid4()
        self.senders["twin"].send(Message(body=body, inferred=True, annotations=annotations, correlation_id=self.asked))

    def twin(self, message: Any) -> None:
        """Take an answer, or a change."""
        annotations = {str(name): value for name, value in (message.annotations or {}).items()}
        if message.correlation_id is None:
            tell("desired", version=annotations["version"], body=json.loads(bytes(message.body)))
            self.done("desired")
            return
        assert message.correlation_id == self.asked
        status = annotations["status"]
        assert isinstance(status, int32)
        if message.body and b"desired" in bytes(message.body):
            tell("twin", status=status, body=json.loads(bytes(message.body)))
            self.ask("PATCH", "/properties/reported", b'{"temperature":21}')
        elif "version" in annotations:
            tell("reported", status=status, version=annotations["version"])
            self.ask("PUT", "/notifications/twin/properties/desired")
        else:
            tell("following", status=status, correlation="3")
            tell("ready")

    def method(self, event: Any) -> None:
        """Answer a call."""
        self.accept(event.delivery)
        assert isinstance(event.message.correlation_id, uuid.UUID)
        self.senders["methods"].send(
            Message(
                body=b'{"said":"yes"}',
                inferred=True,
                correlation_id=event.message.correlation_id,
                properties={"IoThub-status": int32(201)},
            )
        )
        tell("method", name=event.message.properties["IoThub-methodname"], outcome="Ok")
        self.done("method")

    def done(self, what: str) -> None:
        self.left.discard(what)
        if not self.left:
            self.connection.close()

    def on_connection_closed(self, event: Any) -> None:
        tell("closed")


Container(Device()).run()
