"""Registrations per second, their latency, and their processor time beside that of the bare TLS handshake."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from bench.bare_tls import server_certificates
from bench.conversations import register_https, register_mqtt, shake_hands
from bench.devices import CertificateGroup, Device, Group, KeyGroup, Service
from bench.drive import Conversation, drive
from bench.figures import latencies_ms, median
from bench.link import Link, Place, Steps
from bench.processes import Program, settled_cpu_seconds
from bench.tls_engine import engine_seconds

ROUND_LIMIT = 30.0

Work = Literal["handshake", "https", "mqtt"]
WORKS: tuple[Work, ...] = ("handshake", "https", "mqtt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to do: `at_once` devices, each width for `rounds` rounds of `count` devices."""

    tls: str = "1.3"
    at_once: tuple[int, ...] = (1, 10, 100)
    rounds: int = 3
    count: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    per_second: float
    server_ms: float
    """Processor time of the server for each device."""
    client_ms: float
    latencies: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One line of the result: medians of the rounds, percentiles over all of them."""

    mechanism: str
    work: Work
    at_once: int
    per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    server_cpu_ms: float
    ratio: float
    """Server processor time in terms of the bare handshake's; the median of the rounds' own ratios."""
    client_cpu_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    tls: str
    rounds: int
    count: int
    engine_cpu_ms: dict[str, float]
    """The server's side of a handshake between memory buffers: no socket, no event loop, no close."""
    cells: tuple[Cell, ...]


def measure(service: Service, server_pid: int, plan: Plan, say: Callable[[str], None]) -> Report:
    """Run all cells; the works take turns within each round, so that a slow moment of the machine hits all alike."""
    cells: list[Cell] = []
    engine: dict[str, float] = {}
    with Program("-m", "bench.bare_tls", service.address) as bare:
        bare_place = (service.address, int(bare.said.split()[1]))
        groups: tuple[Group, ...] = (
            KeyGroup(service, "bench-keys", tls=plan.tls),
            CertificateGroup(service, "bench-certificates", tls=plan.tls),
        )
        for group in groups:
            run = _Runner(service, server_pid, bare_place, bare.pid, group)
            engine[group.mechanism] = engine_seconds(
                server_certificates(service.address), group.context, group.devices("engine", 1)[0].credential
            )
            for work in WORKS:
                run.round(work, 10, min(plan.count, 100))  # warms caches and statements up
            for at_once in plan.at_once:
                say(f"registrations: {group.mechanism}, {at_once} at once")
                cells += _cells(run, at_once, plan)
    return Report(
        tls=plan.tls,
        rounds=plan.rounds,
        count=plan.count,
        engine_cpu_ms={mechanism: median([seconds * 1000]) for mechanism, seconds in engine.items()},
        cells=tuple(cells),
    )


def _cells(run: "_Runner", at_once: int, plan: Plan) -> Iterator[Cell]:
    rounds: defaultdict[Work, list[_Round]] = defaultdict(list)
    for _ in range(plan.rounds):
        for work in WORKS:
            rounds[work].append(run.round(work, at_once, plan.count))
    for work, done in rounds.items():
        ratios = [one.server_ms / bare.server_ms for one, bare in zip(done, rounds["handshake"], strict=True)]
        yield Cell(
            mechanism=run.group.mechanism,
            work=work,
            at_once=at_once,
            per_second=median([one.per_second for one in done]),
            **latencies_ms([latency for one in done for latency in one.latencies]),
            server_cpu_ms=median([one.server_ms for one in done]),
            ratio=median(ratios),
            client_cpu_ms=median([one.client_ms for one in done]),
        )


class _Runner:
    """One group of devices against the server and the yardstick; every device is new."""

    def __init__(self, service: Service, server_pid: int, bare: Place, bare_pid: int, group: Group) -> None:
        self.group = group
        self._service = service
        self._server_pid = server_pid
        self._bare = bare
        self._bare_pid = bare_pid
        self._used = 0

    def round(self, work: Work, at_once: int, count: int) -> _Round:
        self._used += 1
        devices = self.group.devices(f"{self.group.mechanism}-{self._used}", count)
        pid = self._bare_pid if work == "handshake" else self._server_pid
        links: list[Link] = []
        server, client = settled_cpu_seconds(pid), time.process_time()
        seconds = drive(self._conversations(work, devices, links), width=at_once, seconds=ROUND_LIMIT)
        client = time.process_time() - client
        server = settled_cpu_seconds(pid) - server
        return _Round(
            per_second=count / seconds,
            server_ms=server / count * 1000,
            client_ms=client / count * 1000,
            latencies=tuple(link.answered - link.began for link in links),
        )

    def _conversations(self, work: Work, devices: list[Device], links: list[Link]) -> Iterator[Conversation]:
        place = {"handshake": self._bare, "https": self._service.https, "mqtt": self._service.mqtt}[work]
        for device in devices:
            link = Link(place, self.group.context, device.credential)
            links.append(link)
            yield Conversation(link, self._steps(work, link, device))

    def _steps(self, work: Work, link: Link, device: Device) -> Steps:
        match work:
            case "handshake":
                return shake_hands(link)
            case "https":
                return register_https(link, device, self._service.id_scope, self._service.address)
            case "mqtt":
                return register_mqtt(link, device, self._service.id_scope)
