"""Two devices on one connection with Qpid Proton, as the Java client pools them: a session each, CBS on one of its own.

Reads {host, devices: [[id, token], …], fault: {name: value}, ca} as JSON on the first line of standard input and prints
one line of JSON for each thing that happens: {event, ...}. The first device sends the fault. When its session has
ended, the second sends a message, and the first comes back with a new session on the same connection and sends one.
Runs under the system's Python, whose Proton it is.
"""

import json
import sys
import uuid
from typing import Any

from proton import Message, SSLDomain
from proton.handlers import MessagingHandler
from proton.reactor import Container

wanted = json.loads(sys.stdin.readline())


def tell(event: str, **more: Any) -> None:
    """Print what happened."""
    print(json.dumps({"event": event, **more}), flush=True)


class Pool(MessagingHandler):  # type: ignore[misc]  # Proton has no types
    """Goes on from step to step as answers come."""

    def __init__(self) -> None:
        super().__init__(auto_accept=True, auto_settle=True)
        self.tokens = list(wanted["devices"])
        self.sessions: dict[Any, str] = {}
        self.senders: dict[str, Any] = {}
        self.sent: dict[Any, str] = {}
        self.asked = False

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
        self.cbs = self.container.create_sender(cbs, "$cbs", name="cbs-sender")

    def on_sendable(self, event: Any) -> None:
        if event.sender.name == "cbs-sender" and not self.asked:
            self.asked = True
            self.put_token()

    def put_token(self) -> None:
        device, token = self.tokens[0]
        properties = {
            "operation": "put-token",
            "type": "servicebus.windows.net:sastoken",
            "name": f"{wanted['host']}/devices/{device}",
        }
        self.cbs.send(Message(body=token, id=uuid.uuid4(), reply_to="cbs", properties=properties))

    def on_message(self, event: Any) -> None:
        tell("cbs", status=event.message.properties["status-code"])
        del self.tokens[0]
        if self.tokens:
            self.put_token()
            return
        for device, _ in wanted["devices"]:
            self.attach(device)

    def attach(self, device: str) -> None:
        session = self.connection.session()
        session.open()
        self.sessions[session] = device
        self.senders[device] = self.container.create_sender(
            session, f"/devices/{device}/messages/events", name=f"events-{device}-{len(self.sessions)}"
        )

    def on_link_opened(self, event: Any) -> None:
        first, second = (device for device, _ in wanted["devices"])
        if event.link == self.senders.get(second):
            self.send(first, "fault", wanted["fault"])
        elif len(self.sessions) == 3 and event.link == self.senders.get(first):
            self.send(second, "still here", None)
            self.send(first, "back", None)

    def send(self, device: str, text: str, properties: Any) -> None:
        message = Message(body=text.encode(), inferred=True, properties=properties)
        self.sent[self.senders[device].send(message)] = text

    def on_accepted(self, event: Any) -> None:
        text = self.sent.pop(event.delivery, None)
        if text is not None:
            tell("sent", text=text)
        if text == "back":
            self.connection.close()

    def on_session_closing(self, event: Any) -> None:
        condition = event.session.remote_condition
        device = self.sessions[event.session]
        tell("session", device=device, condition=condition and condition.name)
        self.attach(device)

    def on_session_error(self, event: Any) -> None:
        self.on_session_closing(event)

    def on_link_error(self, event: Any) -> None:
        tell("link", name=event.link.name, condition=event.link.remote_condition.name)

    def on_connection_closed(self, event: Any) -> None:
        tell("closed")

    def on_disconnected(self, event: Any) -> None:
        tell("disconnected")


Container(Pool()).run()
