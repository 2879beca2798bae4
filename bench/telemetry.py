"""Telemetry with QoS 1: messages per second through Homeport, which stores each before it answers, and mosquitto."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.bare_tls import server_pair
from bench.conversations import UnexpectedAnswerError, connect_hub, events_topic, register_https, subscribe_and_leave
from bench.devices import TOKEN_SECONDS, KeyGroup, Service
from bench.drive import Conversation, drive
from bench.figures import latencies_ms, median, significant
from bench.link import Link, Place, Steps, client_context
from bench.mosquitto import Broker, Persistence
from bench.processes import settled_cpu_seconds
from homeport.proto.mqtt import Publish, encode
from homeport.security import sas

ROUND_LIMIT = 60.0
NOTES = (
    "homeport acknowledges a message when it is on disk, in the same order, through one transaction for many.",
    "mosquitto acknowledges before it saves; saving writes its whole database anew, so it slows as messages wait.",
)
_PUBACK = 0x40
_PUBACK_SIZE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`shapes`: how many devices, and how many unacknowledged messages each may have; `seconds` for one round."""

    tls: str = "1.3"
    shapes: tuple[tuple[int, int], ...] = ((1, 1), (50, 1), (50, 20))
    rounds: int = 3
    seconds: float = 1.0
    payload_bytes: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One line of the result: medians of the rounds, percentiles over all of them."""

    server: str
    devices: int
    window: int
    per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    server_cpu_us: float
    """Processor time of the server for each message, in microseconds."""
    client_cpu_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    tls: str
    rounds: int
    seconds: float
    payload_bytes: int
    cells: tuple[Cell, ...]
    mosquitto: str | None
    """Its version, or None where it is not installed."""


def measure(service: Service, server_pid: int, plan: Plan, say: Callable[[str], None]) -> Report:
    most = max(devices for devices, _ in plan.shapes)
    names, tokens = registered(service, plan.tls, most)
    say("telemetry: homeport")
    cells = list(_cells("homeport", service.mqtt, service.address, server_pid, names, tokens, plan))
    version = Broker.version()
    if version is not None:
        pair = server_pair(service.address)
        for persistence in Persistence:
            say(f"telemetry: mosquitto, {persistence.value}")
            with Broker(service.address, pair, persistence) as broker:
                if persistence is not Persistence.NONE:
                    link = Link(broker.place, client_context(plan.tls))
                    absent = Conversation(link, subscribe_and_leave(link, "absent"))
                    drive([absent], width=1, seconds=ROUND_LIMIT)
                nobody: list[str | None] = [None] * most
                cells += _cells(
                    f"mosquitto, {persistence.value}", broker.place, "mosquitto", broker.pid, names, nobody, plan
                )
    return Report(
        tls=plan.tls,
        rounds=plan.rounds,
        seconds=plan.seconds,
        payload_bytes=plan.payload_bytes,
        cells=tuple(cells),
        mosquitto=version,
    )


def registered(
    service: Service, tls: str, count: int, *, prefix: str = "telemetry"
) -> tuple[list[str], list[str | None]]:
    """Provision devices and return their names and tokens for the hub."""
    group = KeyGroup(service, f"bench-{prefix}", tls=tls)
    devices = group.devices(prefix, count)
    conversations = (
        Conversation(link, register_https(link, device, service.id_scope, service.address))
        for device in devices
        for link in (Link(service.https, group.context),)
    )
    drive(conversations, width=10, seconds=ROUND_LIMIT)
    expiry = int(time.time()) + TOKEN_SECONDS
    tokens: list[str | None] = []
    for device in devices:
        resource = sas.encode_resource(f"{service.address}/devices/{device.name}")
        tokens.append(sas.sign(resource, group.device_key(device.name), expiry))
    return [device.name for device in devices], tokens


def _cells(
    server: str, place: Place, host: str, pid: int, names: list[str], tokens: list[str | None], plan: Plan
) -> Iterator[Cell]:
    context = client_context(plan.tls)
    for devices, window in plan.shapes:
        links = [Link(place, context) for _ in range(devices)]
        opening = (
            Conversation(link, connect_hub(link, name, host, token))
            for link, name, token in zip(links, names, tokens, strict=False)
        )
        drive(opening, width=10, seconds=ROUND_LIMIT)
        senders = [Sender(link, name, window, plan.payload_bytes) for link, name in zip(links, names, strict=False)]
        rounds = [_round(senders, pid, plan.seconds / (1 if number else 3)) for number in range(plan.rounds + 1)]
        rounds = rounds[1:]  # the first, a short one, warms up
        drive((Conversation(link, link.close()) for link in links), width=devices, seconds=ROUND_LIMIT)
        yield Cell(
            server=server,
            devices=devices,
            window=window,
            per_second=median([one.per_second for one in rounds]),
            **latencies_ms([latency for one in rounds for latency in one.latencies]),
            server_cpu_us=median([one.server_us for one in rounds]),
            client_cpu_us=median([one.client_us for one in rounds]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    per_second: float
    server_us: float
    client_us: float
    latencies: list[float]


def _round(senders: list["Sender"], pid: int, seconds: float) -> _Round:
    server, client = settled_cpu_seconds(pid), time.process_time()
    until = time.perf_counter() + seconds
    conversations = (Conversation(sender.link, sender.send(until)) for sender in senders)
    took = drive(conversations, width=len(senders), seconds=seconds + ROUND_LIMIT)
    client = time.process_time() - client
    server = settled_cpu_seconds(pid) - server
    latencies = [latency for sender in senders for latency in sender.latencies]
    count = len(latencies)
    return _Round(
        per_second=count / took,
        server_us=significant(server / count * 1e6),
        client_us=significant(client / count * 1e6),
        latencies=latencies,
    )


class Sender:
    """One device that always has `window` messages unacknowledged: packet id n is sent again when n is answered."""

    def __init__(self, link: Link, name: str, window: int, payload_bytes: int) -> None:
        self.link = link
        payload = json.dumps({"temperature": 21.5, "padding": "x" * max(0, payload_bytes - 36)}).encode()
        topic = events_topic(name)
        packets = [encode(Publish(topic=topic, payload=payload, qos=1, packet_id=n + 1)) for n in range(window)]
        self._packets = dict(enumerate(packets, start=1))
        self.latencies: list[float] = []

    def send(self, until: float) -> Steps:
        """Send until that moment of time.perf_counter, then wait for what is unacknowledged."""
        self.latencies = []
        now = time.perf_counter()
        sent = dict.fromkeys(self._packets, now)
        yield from self.link.send(b"".join(self._packets.values()))
        rest = b""
        while sent:
            received = rest + (yield from self.link.receive())
            whole = len(received) - len(received) % _PUBACK_SIZE
            rest = received[whole:]
            if received[:whole:_PUBACK_SIZE].strip(b"\x40"):
                raise UnexpectedAnswerError(f"{received[:whole].hex(' ', 4)} in place of PUBACKs")
            answered = [high << 8 | low for high, low in zip(received[2:whole:4], received[3:whole:4], strict=True)]
            now = time.perf_counter()
            self.latencies += [now - sent[packet_id] for packet_id in answered]
            if now < until:
                sent.update(dict.fromkeys(answered, now))
                yield from self.link.send(b"".join([self._packets[packet_id] for packet_id in answered]))
            else:
                for packet_id in answered:
                    del sent[packet_id]
