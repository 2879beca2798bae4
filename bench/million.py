"""What the provisioning service's calls cost among a million devices, against the same calls among a thousand.

Two servers that differ in nothing but what stands in their stores, asked in turns. The crowds are copies of one
device (`crowd`); what is measured goes through the APIs, at random places in the crowd.
"""

import base64
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from bench import crowd
from bench.conversations import register_https
from bench.devices import Device, KeyGroup, Service, device_token
from bench.figures import median, percentile, significant
from bench.link import client_context
from bench.processes import memory_mib, settled_cpu_seconds
from bench.rounds import Task, run_round
from bench.server import ServerUnderTest
from tests.postgres import PrivatePostgres

_PAGE = "100"
_AT_ONCE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many devices stand in either store, and how many calls of each kind a round has."""

    databases: tuple[str, ...] = ("sqlite", "postgresql")
    small: int = 1000
    large: int = 1_000_000
    rounds: int = 7
    calls: int = 60
    queries: int = 10
    seed: int = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One kind of call: medians of the rounds; ratios are the medians of the rounds' own."""

    database: str
    work: str
    small_ms: float
    large_ms: float
    """Median latency."""
    small_cpu_ms: float
    large_cpu_ms: float
    """Processor time of the server; a database server's own is not in it."""
    ratio: float
    cpu_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """What a server weighs over a store of this size."""

    database: str
    devices: int
    ready_seconds: float
    ready_cpu_seconds: float
    """Processor time from its start until everything is quiet."""
    ready_mib: float
    """Resident memory when everything is quiet after the start."""
    after_mib: float
    """The same when all was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    small: int
    large: int
    rounds: int
    cells: tuple[Cell, ...]
    weights: tuple[Weight, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    milliseconds: float
    cpu_milliseconds: float


@dataclass(slots=True)
class Side:
    """One server and its crowd."""

    service: Service
    pid: int
    count: int
    http: httpx.Client
    key: bytes = field(repr=False)
    group: KeyGroup
    random: random.Random

    def anyone(self) -> str:
        """Return the name of somebody in the crowd."""
        return crowd.name(self.random.randrange(1, self.count))

    def newcomers(self, prefix: str, count: int) -> list[str]:
        """Return names that stand among those of the crowd, and are new."""
        return [f"{self.anyone()}-{prefix}-{number}" for number in range(count)]

    def device(self, name: str) -> Device:
        return Device(name=name, token=device_token(self.service.id_scope, name, self.key))


def measure(folder: Path, plan: Plan, say: Callable[[str], None]) -> Report:
    """Fill the stores, start the servers, and ask them in turns."""
    cells: list[Cell] = []
    weights: list[Weight] = []
    for database in plan.databases:
        with ExitStack() as stack:
            locations = [str(folder / f"million-{database}-{size}") for size in (plan.small, plan.large)]
            options: Sequence[tuple[str, ...]] = [(), ()]
            stores = [f"{location}/homeport.db" for location in locations]
            if database == "postgresql":
                postgres = stack.enter_context(PrivatePostgres())
                stores = [postgres.new_database() for _ in locations]
                options = [("--database", store) for store in stores]
            servers = [
                ServerUnderTest(Path(location), *option) for location, option in zip(locations, options, strict=True)
            ]
            sides, started = [], []
            for server, store, count in zip(servers, stores, (plan.small, plan.large), strict=True):
                key = os.urandom(32)
                _found(server, key)
                crowd.fill(store, count, say)
                say(f"million: a server over {count:,} devices")
                began = time.perf_counter()
                stack.enter_context(server)
                seconds = time.perf_counter() - began
                used = settled_cpu_seconds(server.pid, limit=3.0)
                started.append((seconds, used, memory_mib(server.pid)))
                sides.append(stack.enter_context(_side(server, key, count, plan.seed)))
            cells += _cells(database, sides, plan, say)
            weights += [
                Weight(
                    database=database,
                    devices=side.count,
                    ready_seconds=significant(seconds),
                    ready_cpu_seconds=significant(used),
                    ready_mib=significant(ready),
                    after_mib=significant(memory_mib(side.pid)),
                )
                for side, (seconds, used, ready) in zip(sides, started, strict=True)
            ]
    return Report(small=plan.small, large=plan.large, rounds=plan.rounds, cells=tuple(cells), weights=tuple(weights))


def _found(server: ServerUnderTest, key: bytes) -> None:
    """Make a store with the one device in it that is copied, and stop."""
    with server:
        with _side(server, key, 1, 0) as side:
            _put_enrollment(side, crowd.MODEL)
            _register("model", side, [side.device(crowd.MODEL)])
        server.stop()


@contextmanager
def _side(server: ServerUnderTest, key: bytes, count: int, seed: int) -> Iterator[Side]:
    service = server.service()
    with service.operator() as http:
        yield Side(
            service,
            server.pid,
            count,
            http,
            key,
            KeyGroup(service, f"bench-{count}", tls="1.3"),
            random.Random(seed),
        )


# ---------------------------------------------------------------- what is measured

Work = Callable[[Side, str], Cost]
"""Does one kind of call for one round (its name, so that rounds never share a newcomer), and says what a call cost."""


def _cells(database: str, sides: Sequence[Side], plan: Plan, say: Callable[[str], None]) -> Iterator[Cell]:
    costs: defaultdict[str, list[tuple[Cost, Cost]]] = defaultdict(list)
    for number in range(-1, plan.rounds):
        say(f"million: {database}, round {number + 1} of {plan.rounds}")
        turn = sides if number % 2 else sides[::-1]
        told: list[dict[str, Cost]] = [{}, {}]
        for work in _works(plan):
            for side in turn:
                for name, cost in work(side, f"r{number + 1}"):
                    told[sides.index(side)][name] = cost
        if number >= 0:  # the first warms caches and statements up
            for name in told[0]:
                costs[name].append((told[0][name], told[1][name]))
    for name, pairs in costs.items():
        yield Cell(
            database=database,
            work=name,
            small_ms=median([small.milliseconds for small, _ in pairs]),
            large_ms=median([large.milliseconds for _, large in pairs]),
            small_cpu_ms=median([small.cpu_milliseconds for small, _ in pairs]),
            large_cpu_ms=median([large.cpu_milliseconds for _, large in pairs]),
            ratio=median([large.milliseconds / small.milliseconds for small, large in pairs]),
            cpu_ratio=median([large.cpu_milliseconds / small.cpu_milliseconds for small, large in pairs]),
        )


def _works(plan: Plan) -> Iterable[Callable[[Side, str], Iterator[tuple[str, Cost]]]]:
    """Return the works in their order; newcomers are created, looked for, registered, and removed again."""
    return (partial(_service_calls, plan), partial(_queries, plan), partial(_registrations, plan))


def _service_calls(plan: Plan, side: Side, turn: str) -> Iterator[tuple[str, Cost]]:
    names = side.newcomers(turn, plan.calls)
    crowd_names = [side.anyone() for _ in names]
    yield "create an enrollment", _ask(side, [partial(_put_enrollment, side, each) for each in names])
    yield "look up an enrollment", _ask(side, [partial(_get, side, f"/enrollments/{each}") for each in crowd_names])
    yield (
        "look up a registration",
        _ask(side, [partial(_get, side, f"/registrations/{each}") for each in crowd_names]),
    )
    yield "change an enrollment", _ask(side, [partial(_put_enrollment, side, each, etag="*") for each in names])
    yield "delete an enrollment", _ask(side, [partial(_delete, side, f"/enrollments/{each}") for each in names])


def _queries(plan: Plan, side: Side, _: str) -> Iterator[tuple[str, Cost]]:
    hub = side.service.address
    queries = {
        "a page of all": lambda: "SELECT * FROM enrollments",
        "by id": lambda: f"SELECT * WHERE registrationId = '{side.anyone()}'",
        "by the beginning of an id": lambda: f"SELECT * WHERE STARTSWITH(registrationId, '{side.anyone()[:-1]}')",
        "by hub, a page": lambda: f"SELECT * WHERE registrationState.assignedHub = '{hub}'",
        "by attestation, a page": lambda: "SELECT * WHERE attestation.type = 'symmetricKey'",
        "disabled ones, there are none": lambda: "SELECT * WHERE provisioningStatus = 'disabled'",
        "failed ones, there are none": lambda: "SELECT * WHERE registrationState.status = 'failed'",
        "last changed first, a page": lambda: "SELECT * ORDER BY lastUpdatedDateTimeUtc DESC",
        "no index: all are looked at, at most 5,000": lambda: "SELECT * WHERE deviceId = 'nobody'",
    }
    for name, text in queries.items():
        yield f"query {name}", _ask(side, [partial(_query, side, text()) for _ in range(plan.queries)])


def _registrations(plan: Plan, side: Side, turn: str) -> Iterator[tuple[str, Cost]]:
    names = side.newcomers(f"{turn}-reg", plan.calls)
    for name in names:
        _put_enrollment(side, name)
    devices = [side.device(name) for name in names]
    yield "register, enrolled by itself", _register("new", side, devices)
    yield "register again, of the crowd", _register("again", side, [side.device(side.anyone()) for _ in names])
    members = side.group.named(side.newcomers(f"{turn}-member", plan.calls))
    yield "register, in a group", _register("member", side, members)


# ---------------------------------------------------------------- asking


def _ask(side: Side, calls: Sequence[Callable[[], None]]) -> Cost:
    latencies = []
    before = settled_cpu_seconds(side.pid)
    for call in calls:
        began = time.perf_counter()
        call()
        latencies.append(time.perf_counter() - began)
    used = settled_cpu_seconds(side.pid) - before
    return Cost(percentile(sorted(latencies), 50) * 1000, used / len(calls) * 1000)


def _register(name: str, side: Side, devices: Sequence[Device]) -> Cost:
    service = side.service
    task = Task(
        name=name,
        talk=lambda link, device: register_https(link, device, service.id_scope, service.address),
        place=service.https,
        pid=side.pid,
    )
    done = run_round(task, client_context("1.3"), devices, at_once=min(_AT_ONCE, len(devices)))
    return Cost(percentile(sorted(done.latencies), 50) * 1000, done.server_ms)


def _put_enrollment(side: Side, name: str, etag: str | None = None) -> None:
    key = base64.b64encode(side.key).decode()
    document: dict[str, Any] = {
        "registrationId": name,
        "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": key, "secondaryKey": key}},
    }
    headers = {} if etag is None else {"If-Match": etag}
    _checked(side.http.put(f"/enrollments/{name}", json=document, headers=headers))


def _get(side: Side, path: str) -> None:
    _checked(side.http.get(path))


def _delete(side: Side, path: str) -> None:
    _checked(side.http.delete(path))


def _query(side: Side, text: str) -> None:
    _checked(side.http.post("/enrollments/query", json={"query": text}, headers={"x-ms-max-item-count": _PAGE}))


def _checked(answer: httpx.Response) -> None:
    if answer.status_code not in {200, 204}:
        raise RuntimeError(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
