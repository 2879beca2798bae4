"""`python -m bench.amqp_codec`: what the AMQP engine costs, a client's and a server's in one process, without sockets.

Each message is encoded, sent unsettled, received, decoded, accepted, and its outcome heard: all the work of both ends.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass

from homeport.proto.amqp import (
    ACCEPTED,
    Attach,
    Attached,
    Begin,
    Begun,
    Connection,
    Data,
    Delivery,
    Disposed,
    Disposition,
    Event,
    Flow,
    Link,
    LinkRole,
    Message,
    Open,
    Opened,
    Properties,
    Role,
    Target,
    Transfer,
    decode_message,
    encode_message,
)

CREDIT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Microseconds of one processor per message."""

    messages: int
    payload_bytes: int
    window: int
    per_second: float
    sending_us: float
    receiving_us: float


class Pair:
    """Two engines with one link between them, the client's for sending."""

    def __init__(self) -> None:
        self.client = Connection(Role.CLIENT, container_id="client")
        self.server = Connection(Role.SERVER, container_id="server")
        session = self.client.new_session()
        self.link = self.client.new_link(session, "events", LinkRole.SENDER)
        self.client.send(Open())
        self.client.send(Begin(session=session))
        self.client.send(Attach(link=self.link, target=Target(address="events")))
        self.outcomes = 0
        while not self.link.credit:
            self._answer(self.server.receive(self.client.outgoing()))
            while self.server.held:
                self._answer(self.server.receive(b""))
            self.client.receive(self.server.outgoing())

    def _answer(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Opened():
                    self.server.send(Open())
                case Begun():
                    self.server.send(Begin(session=event.session))
                case Attached():
                    self.server.send(Attach(link=event.link, source=event.source, target=event.target))
                    self.server.send(Flow(link=event.link, credit=CREDIT))

    def send(self, payload: bytes, count: int) -> None:
        for number in range(count):
            message = Message(
                properties=Properties(message_id=str(number)),
                application_properties={"kind": "telemetry"},
                body=Data((payload,)),
            )
            self.client.send(Transfer(link=self.link, data=encode_message(message)))

    def receive(self, data: bytes) -> None:
        link: Link | None = None
        for event in self.server.receive(data):
            assert isinstance(event, Delivery)
            assert decode_message(event.data).data is not None
            link = event.link
            self.server.send(Disposition(link=link, delivery_id=event.delivery_id, state=ACCEPTED))
        if link is not None and link.credit < CREDIT // 2:
            self.server.send(Flow(link=link, credit=CREDIT))

    def settle(self) -> None:
        self.outcomes += sum(isinstance(event, Disposed) for event in self.client.receive(self.server.outgoing()))


def measure(messages: int, payload_bytes: int, window: int) -> Report:
    """Send `messages` in groups of `window`, as they come together on a busy connection."""
    pair = Pair()
    payload = b"x" * payload_bytes
    sending = receiving = 0.0
    for _ in range(messages // window):
        start = time.process_time()
        pair.send(payload, window)
        data = pair.client.outgoing()
        sent = time.process_time()
        pair.receive(data)
        received = time.process_time()
        pair.settle()
        sending += sent - start + time.process_time() - received
        receiving += received - sent
    assert pair.outcomes == messages // window * window
    return Report(
        messages=pair.outcomes,
        payload_bytes=payload_bytes,
        window=window,
        per_second=round(pair.outcomes / (sending + receiving)),
        sending_us=round(sending / pair.outcomes * 1e6, 2),
        receiving_us=round(receiving / pair.outcomes * 1e6, 2),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.amqp_codec", description=__doc__)
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--payload", type=int, default=100, help="bytes of each message")
    options = parser.parse_args()
    for window in (1, 10, 100):
        print(json.dumps(asdict(measure(options.messages, options.payload, window))))


if __name__ == "__main__":
    main()
