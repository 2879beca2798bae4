"""qpid-proton as a peer, run under the system's Python: a client or a server that does what its JSON argument says."""

import json
import sys
import uuid

from proton import Delivery, Message, symbol, ulong
from proton.handlers import MessagingHandler
from proton.reactor import Container


def body_of(size):
    return bytes(i % 251 for i in range(size))


def report(**values):
    print(json.dumps(values), flush=True)


class Client(MessagingHandler):
    def __init__(self, wanted):
        super().__init__(prefetch=0, auto_accept=False, auto_settle=True)
        self.wanted = wanted
        self.to_send = list(wanted.get("send", []))
        self.outcomes, self.received, self.errors = [], [], []
        self.drained = False

    def on_start(self, event):
        wanted = self.wanted
        options = {"reconnect": False, "max_frame_size": wanted.get("max_frame_size", 65536)}
        if wanted.get("idle"):
            options["heartbeat"] = wanted["idle"]
        if wanted.get("mechanism"):
            options |= {"allowed_mechs": wanted["mechanism"], "sasl_enabled": True, "allow_insecure_mechs": True}
            if wanted["mechanism"] == "PLAIN":
                options |= {"user": wanted["user"], "password": wanted["password"]}
        else:
            options["sasl_enabled"] = False
        self.connection = event.container.connect(f"amqp://127.0.0.1:{wanted['port']}", **options)
        self.event_container = event.container
        if self.to_send:
            self.sender = event.container.create_sender(self.connection, wanted["to"])
        if wanted.get("receive"):
            self.receiver = event.container.create_receiver(self.connection, wanted["from"])
            self.receiver.flow(wanted["receive"])
            if wanted.get("drain"):
                self.receiver.drain(wanted["receive"])
        if wanted.get("linger"):
            event.container.schedule(wanted["linger"], self)

    def on_timer_task(self, event):
        self.finish()

    def on_sendable(self, event):
        while event.sender.credit and self.to_send:
            size = self.to_send.pop(0)
            event.sender.send(
                Message(
                    id=ulong(7),
                    correlation_id=uuid.UUID(int=size),
                    properties={"size": size, "text": "ä"},
                    annotations={symbol("x-note"): size},
                    body=body_of(size),
                    inferred=True,
                )
            )

    def outcome(self, event, name):
        condition = event.delivery.remote.condition
        self.outcomes.append(
            [name, condition and condition.name, condition and condition.description, condition and condition.info]
        )
        if len(self.outcomes) == len(self.wanted["send"]):
            self.finish()

    def on_accepted(self, event):
        self.outcome(event, "accepted")

    def on_rejected(self, event):
        self.outcome(event, "rejected")

    def on_released(self, event):
        self.outcome(event, "released")

    def on_message(self, event):
        message = event.message
        self.received.append(
            [len(message.body), bytes(message.body) == body_of(len(message.body)), str(message.correlation_id)]
        )
        self.accept(event.delivery)
        if len(self.received) == self.wanted.get("count"):
            self.finish()

    def on_link_flow(self, event):
        if event.receiver and event.receiver.drain_mode and not event.receiver.credit:
            self.drained = True
            self.finish()

    def on_link_error(self, event):
        condition = event.link.remote_condition
        self.errors.append(["link", condition.name, condition.description, condition.info])
        self.finish()

    def on_connection_error(self, event):
        condition = event.connection.remote_condition
        self.errors.append(["connection", condition.name, condition.description, condition.info])

    def on_transport_error(self, event):
        condition = event.transport.condition
        self.errors.append(["transport", condition.name, condition.description, condition.info])

    def finish(self):
        if (
            not self.wanted.get("linger")
            or self.event_container is None
            or self.errors
            or self.wanted.pop("linger", None)
        ):
            self.connection.close()

    def on_disconnected(self, event):
        pass


class Server(MessagingHandler):
    def __init__(self, wanted):
        super().__init__(prefetch=wanted.get("credit", 10), auto_accept=False)
        self.wanted = wanted
        self.received, self.outcomes = [], []
        self.left = list(wanted.get("send", []))

    def on_start(self, event):
        self.acceptor = event.container.listen("127.0.0.1:0")
        port = self.acceptor._selectable.fileno()
        import socket

        with socket.socket(fileno=port) as listening:
            number = listening.getsockname()[1]
            listening.detach()
        report(port=number)

    def on_connection_opening(self, event):
        event.connection.container = "proton"

    def on_link_opening(self, event):
        event.link.source.copy(event.link.remote_source)
        event.link.target.copy(event.link.remote_target)

    def on_message(self, event):
        message = event.message
        self.received.append(
            [len(message.body), bytes(message.body) == body_of(len(message.body)), str(message.correlation_id)]
        )
        if event.link.target.address == "reject":
            from proton import Condition

            event.delivery.local.condition = Condition("test:no", "not wanted", {symbol("why"): "because"})
            event.delivery.update(Delivery.REJECTED)
            event.delivery.settle()
        else:
            self.accept(event.delivery)

    def on_sendable(self, event):
        while event.sender.credit and self.left:
            size = self.left.pop(0)
            event.sender.send(Message(id="m", correlation_id=ulong(size), body=body_of(size), inferred=True))
        if not self.left and event.sender.drain_mode:
            event.sender.drained()

    def on_settled(self, event):
        self.outcomes.append(str(event.delivery.remote_state))

    def on_connection_closing(self, event):
        report(received=self.received, outcomes=self.outcomes)
        self.acceptor.close()


if __name__ == "__main__":
    wanted = json.loads(sys.argv[2])
    handler = {"client": Client, "server": Server}[sys.argv[1]](wanted)
    container = Container(handler)
    container.container_id = "proton"
    container.run()
    if sys.argv[1] == "client":
        report(outcomes=handler.outcomes, received=handler.received, drained=handler.drained, errors=handler.errors)
