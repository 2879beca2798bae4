"""Reading keeps up with writing: devices send so many messages a second, and readers follow all partitions live."""

import json
import re
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, cast

from bench.amqp import Talk
from bench.conversations import UnexpectedAnswerError, connect_hub, events_topic
from bench.devices import TOKEN_SECONDS, Service
from bench.drive import Conversation, drive
from bench.figures import latencies_ms, significant
from bench.link import Link, Steps, client_context
from bench.processes import settled_cpu_seconds
from bench.telemetry import registered
from homeport.proto.amqp import (
    AmqpValue,
    Attach,
    Attached,
    Begin,
    Connection,
    Delivery,
    Described,
    Flow,
    Limits,
    LinkRole,
    Message,
    Open,
    Properties,
    Role,
    SenderSettleMode,
    Source,
    Symbol,
    Target,
    Transfer,
    ULong,
    decode_message,
    encode_message,
)
from homeport.proto.mqtt import Publish, encode
from homeport.security import sas

ROUND_LIMIT: Final = 60.0
TICK: Final = 0.005
PARTITIONS: Final = 4
_PUBACK_SIZE: Final = 4
_WINDOW: Final = 60_000
"""Packet ids of a device that are in use at most."""
_AT = re.compile(rb'"at": ?(\d{16})')
_TAIL: Final = 24
_CREDIT: Final = 100_000_000
_SELECTOR: Final = Symbol("apache.org:selector-filter:string")
_FROM_NOW: Final = Described(_SELECTOR, "amqp.annotation.x-opt-offset > '@latest'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`readers`: how many follow everything, one after the other; `seconds` of sending for each."""

    tls: str = "1.3"
    devices: int = 50
    per_second: int = 10_000
    readers: tuple[int, ...] = (0, 1, 3)
    seconds: float = 5.0
    payload_bytes: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One line of the result."""

    readers: int
    sent: int
    per_second: float
    """Acknowledged, that is durable."""
    puback_p50_ms: float
    puback_p99_ms: float
    read: int
    """By the slowest reader; all of what was sent, or the round fails."""
    read_p50_ms: float | None
    """From the moment a device sends a message to that at which a reader has it."""
    read_p99_ms: float | None
    server_cpu_us: float
    client_cpu_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    tls: str
    devices: int
    offered_per_second: int
    seconds: float
    payload_bytes: int
    cells: tuple[Cell, ...]


def measure(service: Service, pid: int, endpoint: str, plan: Plan, say: Callable[[str], None]) -> Report:
    """`endpoint` is the connection string for Event Hubs clients."""
    names, tokens = registered(service, plan.tls, plan.devices, prefix="events")
    context = client_context(plan.tls)
    cells = []
    for readers in plan.readers:
        say(f"events: {readers} readers")
        links = [Link(service.mqtt, context) for _ in names]
        opening = (
            Conversation(link, connect_hub(link, name, service.address, token))
            for link, name, token in zip(links, names, tokens, strict=True)
        )
        drive(opening, width=10, seconds=ROUND_LIMIT)
        following = [Reader(Link(service.amqp, context), endpoint) for _ in range(readers)]
        drive((Conversation(each.link, each.attach()) for each in following), width=readers or 1, seconds=ROUND_LIMIT)
        senders = [Sender(link, name, plan.payload_bytes) for link, name in zip(links, names, strict=True)]
        cells.append(_cell(senders, following, pid, plan))
        everybody = [*links, *(each.link for each in following)]
        drive((Conversation(link, link.close()) for link in everybody), width=len(everybody), seconds=ROUND_LIMIT)
    return Report(
        tls=plan.tls,
        devices=plan.devices,
        offered_per_second=plan.per_second,
        seconds=plan.seconds,
        payload_bytes=plan.payload_bytes,
        cells=tuple(cells),
    )


def _cell(senders: list["Sender"], readers: list["Reader"], pid: int, plan: Plan) -> Cell:
    server, client = settled_cpu_seconds(pid), time.process_time()
    metronome = Metronome(senders, plan.per_second, plan.seconds)
    conversations = [
        Conversation(cast("Link", metronome.link), metronome.run()),
        *(Conversation(sender.link, sender.listen(metronome.share(place))) for place, sender in enumerate(senders)),
        *(Conversation(reader.link, reader.follow(metronome.total)) for reader in readers),
    ]
    drive(conversations, width=len(conversations), seconds=plan.seconds + ROUND_LIMIT)
    client = time.process_time() - client
    server = settled_cpu_seconds(pid) - server
    acknowledged = latencies_ms([latency for sender in senders for latency in sender.latencies])
    took = max(sender.last for sender in senders) - metronome.began
    read = latencies_ms([latency for reader in readers for latency in reader.latencies]) if readers else {}
    return Cell(
        readers=len(readers),
        sent=metronome.sent,
        per_second=significant(metronome.sent / took),
        puback_p50_ms=acknowledged["p50_ms"],
        puback_p99_ms=acknowledged["p99_ms"],
        read=min((len(reader.latencies) for reader in readers), default=0),
        read_p50_ms=read.get("p50_ms"),
        read_p99_ms=read.get("p99_ms"),
        server_cpu_us=significant(server / metronome.sent * 1e6),
        client_cpu_us=significant(client / metronome.sent * 1e6),
    )


class Metronome:
    """Sends at an even pace, whatever is acknowledged: woken by a thread through a pair of sockets."""

    def __init__(self, senders: list["Sender"], per_second: int, seconds: float) -> None:
        self._senders = senders
        self.total = max(len(senders), round(per_second * seconds))
        self._per_second = per_second
        ours, self._theirs = socket.socketpair()
        ours.setblocking(False)
        self.link = SimpleNamespace(socket=ours)
        self.sent = 0
        self.done = False
        self.began = 0.0

    def share(self, place: int) -> int:
        """Return how many the sender at this place is to send in all."""
        each, more = divmod(self.total, len(self._senders))
        return each + (place < more)

    def run(self) -> Steps:
        """Send what is due at each tick, until all is sent."""
        threading.Thread(target=self._tick, daemon=True).start()
        self.began = time.perf_counter()
        while self.sent < self.total:
            yield select.EPOLLIN
            self.link.socket.recv(4096)
            due = min(self.total, round((time.perf_counter() - self.began) * self._per_second))
            due_of: dict[int, int] = {}
            for number in range(self.sent, due):
                place = number % len(self._senders)
                due_of[place] = due_of.get(place, 0) + 1
            for place, count in due_of.items():
                self._senders[place].send(count)
            self.sent = max(self.sent, due)
        self.done = True
        self.link.socket.close()

    def _tick(self) -> None:
        with self._theirs:
            while not self.done:
                time.sleep(TICK)
                try:
                    self._theirs.send(b".")
                except OSError:
                    return


@dataclass(slots=True)
class Sender:
    """One device: messages go out when the metronome says so, PUBACKs are taken in whenever they come."""

    link: Link
    name: str
    payload_bytes: int
    latencies: list[float] = field(default_factory=list)
    last: float = 0.0
    _sent: deque[float] = field(default_factory=deque)
    _number: int = 0

    def send(self, count: int) -> None:
        """Send so many; raises UnexpectedAnswerError if the connection takes no more."""
        packets = []
        for _ in range(count):
            self._number += 1
            now = time.perf_counter()
            self._sent.append(now)
            document = {"temperature": 21.5, "at": int(now * 1e6) + 10**15}
            text = json.dumps(document)
            payload = (text[:-1] + ', "padding": "' + "x" * max(0, self.payload_bytes - len(text) - 15) + '"}').encode()
            packet_id = self._number % _WINDOW + 1
            packets.append(encode(Publish(topic=events_topic(self.name), payload=payload, qos=1, packet_id=packet_id)))
        for _ in self.link.send(b"".join(packets)):
            raise UnexpectedAnswerError("the server does not read what devices send: it is overloaded")

    def listen(self, share: int) -> Steps:
        """Take PUBACKs in, which come in order, until so many have come."""
        rest = b""
        while len(self.latencies) < share:
            received = rest + (yield from self.link.receive())
            whole = len(received) - len(received) % _PUBACK_SIZE
            rest = received[whole:]
            if received[:whole:_PUBACK_SIZE].strip(b"\x40"):
                raise UnexpectedAnswerError(f"{received[:whole].hex(' ', 4)} in place of PUBACKs")
            self.last = time.perf_counter()
            self.latencies += [self.last - self._sent.popleft() for _ in range(whole // _PUBACK_SIZE)]


@dataclass(slots=True)
class Reader:
    """One Event Hubs client: all partitions on one connection, from now on, settled in advance."""

    link: Link
    endpoint: str
    latencies: list[float] = field(default_factory=list)

    def attach(self) -> Steps:
        """Prove the right to read, and attach to every partition."""
        parts = dict(part.split("=", 1) for part in self.endpoint.split(";"))
        host = parts["Endpoint"].removeprefix("sb://").rstrip("/").partition(":")[0]
        event_hub = parts["EntityPath"]
        # What comes is counted, not taken apart: the window must not close meanwhile.
        engine = Connection(Role.CLIENT, container_id="reader", limits=Limits(incoming_window=2**31 - 1))
        talk = Talk(self.link, engine)
        yield from self.link.open()
        session = engine.new_session()
        answers = engine.new_link(session, "answers", LinkRole.RECEIVER)
        requests = engine.new_link(session, "requests", LinkRole.SENDER)
        yield from talk.say(
            Open(hostname=host),
            Begin(session=session),
            Attach(link=answers, source=Source(address="$cbs"), target=Target()),
            Flow(link=answers, credit=2),
            Attach(link=requests, source=Source(), target=Target(address="$cbs")),
        )
        while not requests.credit:
            yield from talk.hear()
        yield from talk.say(Transfer(link=requests, data=encode_message(_put_token(host, event_hub, parts))))
        delivery = yield from talk.until(Delivery)
        status = (decode_message(cast("Delivery", delivery).data).application_properties or {}).get("status-code")
        if status != 200:
            raise UnexpectedAnswerError(f"CBS status {status}")
        for partition in range(PARTITIONS):
            link = engine.new_link(session, f"partition {partition}", LinkRole.RECEIVER)
            address = f"{event_hub}/ConsumerGroups/$Default/Partitions/{partition}"
            source = Source(address=address, filter={_SELECTOR: _FROM_NOW})
            yield from talk.say(
                Attach(link=link, source=source, target=Target(), snd_settle_mode=SenderSettleMode.SETTLED)
            )
            yield from talk.until(Attached)
            yield from talk.say(Flow(link=link, credit=_CREDIT))

    def follow(self, total: int) -> Steps:
        """Take events in until so many have come."""
        rest = b""
        while len(self.latencies) < total:
            received = rest + (yield from self.link.receive())
            now = time.perf_counter()
            end = 0
            for found in _AT.finditer(received):
                self.latencies.append(now - (int(found[1]) - 10**15) / 1e6)
                end = found.end()
            rest = received[max(end, len(received) - _TAIL) :]


def _put_token(host: str, event_hub: str, parts: Mapping[str, str]) -> Message:
    """Sign as Event Hubs clients do: the key's text is the key (contract hub.md 20.3)."""
    audience = f"sb://{host}/{event_hub}"
    expiry = int(time.time()) + TOKEN_SECONDS
    key = parts["SharedAccessKey"].encode()
    token = sas.sign(sas.encode_resource(audience), key, expiry, parts["SharedAccessKeyName"])
    asked: dict[str, Any] = {"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience}
    return Message(properties=Properties(message_id=ULong(1)), application_properties=asked, body=AmqpValue(token))
