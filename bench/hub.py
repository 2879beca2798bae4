"""What the hub's everyday calls cost: a method's round trip, twin changes both ways, and a plain read beside them.

Every device keeps its MQTT connection, every service its HTTPS connection; each has a partner and one call at a time.
"""

import base64
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx

from bench.conversations import MqttPackets, UnexpectedAnswerError, ask, connect_hub
from bench.devices import TOKEN_SECONDS, Device, Service
from bench.drive import Conversation, drive
from bench.figures import latencies_ms, median, significant
from bench.link import Link, Steps, client_context
from bench.processes import settled_cpu_seconds
from homeport.proto.mqtt import Publish, SubAck, Subscribe, Subscription, encode
from homeport.security import sas

ROUND_LIMIT = 60.0
BULK = 100
_METHODS, _DESIRED, _RESULTS = "$iothub/methods/POST/", "$iothub/twin/PATCH/properties/desired/", "$iothub/twin/res/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`at_once` pairs of a device and a service, each with `calls` calls of a kind in a round."""

    tls: str = "1.3"
    at_once: tuple[int, ...] = (1, 20)
    rounds: int = 3
    calls: int = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One kind of call: medians of the rounds, percentiles over all of them."""

    work: str
    at_once: int
    per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    server_cpu_us: float
    """Processor time of the server for each call, in microseconds."""
    ratio: float
    """That time against a read of a twin, which is what any call by HTTPS costs at least."""
    client_cpu_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    tls: str
    rounds: int
    calls: int
    cells: tuple[Cell, ...]


class HubKeys:
    """Devices of one hub, made in bulk with keys of their own, and what its owner signs calls with."""

    def __init__(self, service: Service, connection_string: str) -> None:
        fields = dict(part.split("=", 1) for part in connection_string.split(";"))
        self.host = fields["HostName"]
        self.token = sas.sign(
            sas.encode_resource(self.host),
            sas.decode_key(fields["SharedAccessKey"]),
            int(time.time()) + TOKEN_SECONDS,
            fields["SharedAccessKeyName"],
        )
        self._service = service

    def devices(self, prefix: str, count: int) -> list[Device]:
        """Create identities (contract hub.md 4.6) and return them with tokens for their connections."""
        key = os.urandom(32)
        text = base64.b64encode(key).decode()
        authentication = {"type": "sas", "symmetricKey": {"primaryKey": text, "secondaryKey": text}}
        names = [f"{prefix}-{number}" for number in range(count)]
        with httpx.Client(
            base_url=f"https://{self._service.https[0]}:{self._service.https[1]}",
            headers={"Authorization": self.token, "Host": self.host},
            verify=False,
            timeout=30,
        ) as http:
            for portion in (names[start : start + BULK] for start in range(0, count, BULK)):
                wanted = [
                    {"id": name, "importMode": "create", "status": "enabled", "authentication": authentication}
                    for name in portion
                ]
                answer = http.post("/devices", params={"api-version": "2021-04-12"}, json=wanted)
                if answer.status_code != 200:
                    raise RuntimeError(f"devices were not created: {answer.status_code} {answer.text}")
        expiry = int(time.time()) + TOKEN_SECONDS
        return [
            Device(name=name, token=sas.sign(sas.encode_resource(f"{self.host}/devices/{name}"), key, expiry))
            for name in names
        ]


@dataclass(slots=True)
class Pair:
    """A device on its open connection, and a service on its own."""

    device: Device
    at_home: Link
    packets: MqttPackets
    service: Link
    owner: Device
    """The service, as one who sends requests."""
    host: str


def measure(
    service: Service, server_pid: int, connection_string: str, plan: Plan, say: Callable[[str], None]
) -> Report:
    keys = HubKeys(service, connection_string)
    cells: list[Cell] = []
    for at_once in plan.at_once:
        say(f"hub: {at_once} at once")
        pairs = _connected(service, keys, at_once, plan.tls)
        cells += _cells(pairs, server_pid, plan)
        leaving = [link for pair in pairs for link in (pair.at_home, pair.service)]
        drive((Conversation(link, link.close()) for link in leaving), width=len(leaving), seconds=ROUND_LIMIT)
    return Report(tls=plan.tls, rounds=plan.rounds, calls=plan.calls, cells=tuple(cells))


def _connected(service: Service, keys: HubKeys, count: int, tls: str) -> list[Pair]:
    context = client_context(tls)
    owner = Device(name="owner", token=keys.token)
    pairs = []
    for device in keys.devices(f"bench-hub-{count}", count):
        at_home = Link(service.mqtt, context)
        packets = MqttPackets(at_home)
        pairs.append(Pair(device, at_home, packets, Link(service.https, context), owner, keys.host))
    drive((Conversation(pair.service, pair.service.open()) for pair in pairs), width=count, seconds=ROUND_LIMIT)
    drive((Conversation(pair.at_home, _settle_in(pair)) for pair in pairs), width=count, seconds=ROUND_LIMIT)
    return pairs


def _settle_in(pair: Pair) -> Steps:
    yield from connect_hub(pair.at_home, pair.device.name, pair.host, pair.device.token)
    filters = tuple(Subscription(topic_filter=f"{each}#", qos=0) for each in (_METHODS, _DESIRED, _RESULTS))
    yield from pair.at_home.send(encode(Subscribe(packet_id=1, subscriptions=filters)))
    yield from pair.packets.expect(SubAck)


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of call: what the service says and what the device says, so many times; each notes when it was done."""

    name: str
    service: Callable[[Pair, "Clocks", int], Steps] | None
    device: Callable[[Pair, "Clocks", int], Steps] | None


class Clocks:
    """When each call of a pair began, and how long until it had its effect."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.latencies: list[float] = []

    def begin(self) -> None:
        self.began.append(time.perf_counter())

    def end(self) -> None:
        self.latencies.append(time.perf_counter() - self.began[len(self.latencies)])


def _read_twins(pair: Pair, clocks: Clocks, calls: int) -> Steps:
    for _ in range(calls):
        clocks.begin()
        yield from _asked(pair, "GET", f"/twins/{pair.device.name}", {})
        clocks.end()


def _call_methods(pair: Pair, clocks: Clocks, calls: int) -> Steps:
    body = {"methodName": "bench", "payload": {"n": 1}, "responseTimeoutInSeconds": 30}
    for _ in range(calls):
        clocks.begin()
        yield from _asked(pair, "POST", f"/twins/{pair.device.name}/methods", body)
        clocks.end()


def _answer_methods(pair: Pair, _clocks: Clocks, calls: int) -> Steps:
    for _ in range(calls):
        call = yield from pair.packets.expect(Publish)
        request = call.topic.partition("?")[2]
        answer = Publish(topic=f"$iothub/methods/res/200/?{request}", payload=b'{"ok":true}')
        yield from pair.at_home.send(encode(answer))


def _report(pair: Pair, clocks: Clocks, calls: int) -> Steps:
    for number in range(calls):
        clocks.begin()
        body = json.dumps({"temperature": number}).encode()
        topic = f"$iothub/twin/PATCH/properties/reported/?$rid={number}"
        yield from pair.at_home.send(encode(Publish(topic=topic, payload=body)))
        answer = yield from pair.packets.expect(Publish)
        if not answer.topic.startswith(f"{_RESULTS}204/"):
            raise UnexpectedAnswerError(f"{answer.topic} {answer.payload.decode(errors='replace')}")
        clocks.end()


def _desire(pair: Pair, clocks: Clocks, calls: int) -> Steps:
    for number in range(calls):
        clocks.begin()
        yield from _asked(
            pair, "PATCH", f"/twins/{pair.device.name}", {"properties": {"desired": {"interval": number}}}
        )


def _hear(pair: Pair, clocks: Clocks, calls: int) -> Steps:
    for _ in range(calls):
        change = yield from pair.packets.expect(Publish)
        if not change.topic.startswith(_DESIRED):
            raise UnexpectedAnswerError(change.topic)
        clocks.end()


def _asked(pair: Pair, method: str, path: str, body: object) -> Steps:
    content = b"" if method == "GET" else json.dumps(body).encode()
    status, _, answer = yield from ask(pair.service, pair.owner, method, path, pair.host, body=content)
    if status != 200:
        raise UnexpectedAnswerError(f"{status} {answer.decode(errors='replace')}")


READ = "a service reads a twin"
WORKS = (
    Work(READ, _read_twins, None),
    Work("a service calls a method, the device answers", _call_methods, _answer_methods),
    Work("a device reports, the hub confirms", None, _report),
    Work("a service changes a twin, the device hears", _desire, _hear),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    per_second: float
    server_us: float
    client_us: float
    latencies: Sequence[float]


def _cells(pairs: Sequence[Pair], pid: int, plan: Plan) -> Iterator[Cell]:
    calls = max(1, plan.calls // len(pairs))
    told: dict[str, list[_Round]] = {work.name: [] for work in WORKS}
    for number in range(plan.rounds + 1):
        for work in WORKS:  # in turns, so that they share what else goes on
            one = _round(work, pairs, pid, calls)
            if number:  # the first warms up
                told[work.name].append(one)
    read = median([one.server_us for one in told[READ]])
    for name, rounds in told.items():
        used = median([one.server_us for one in rounds])
        yield Cell(
            work=name,
            at_once=len(pairs),
            per_second=median([one.per_second for one in rounds]),
            **latencies_ms([latency for one in rounds for latency in one.latencies]),
            server_cpu_us=used,
            ratio=significant(used / read),
            client_cpu_us=median([one.client_us for one in rounds]),
        )


def _round(work: Work, pairs: Sequence[Pair], pid: int, calls: int) -> _Round:
    clocks = [Clocks() for _ in pairs]
    conversations = []
    for pair, clock in zip(pairs, clocks, strict=True):
        if work.device is not None:
            conversations.append(Conversation(pair.at_home, work.device(pair, clock, calls)))
        if work.service is not None:
            conversations.append(Conversation(pair.service, work.service(pair, clock, calls)))
    server, client = settled_cpu_seconds(pid), time.process_time()
    took = drive(conversations, width=len(conversations), seconds=ROUND_LIMIT)
    client = time.process_time() - client
    server = settled_cpu_seconds(pid) - server
    count = calls * len(pairs)
    return _Round(
        per_second=count / took,
        server_us=significant(server / count * 1e6),
        client_us=significant(client / count * 1e6),
        latencies=[latency for clock in clocks for latency in clock.latencies],
    )
