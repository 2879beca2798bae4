"""Registrations per second, their latency, and their processor time beside that of the bare TLS handshake."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from bench.amqp import register_amqp
from bench.bare_tls import server_certificates
from bench.conversations import register_https, register_mqtt, register_tpm_https, shake_hands
from bench.devices import AskedGroup, CertificateGroup, Group, KeyGroup, Service, TpmDevices
from bench.figures import latencies_ms, median
from bench.processes import Program
from bench.rounds import Round, Task, run_round
from bench.tls_engine import engine_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to do: `at_once` devices, each width for `rounds` rounds of `count` devices."""

    tls: str = "1.3"
    at_once: tuple[int, ...] = (1, 10, 100)
    rounds: int = 3
    count: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One line of the result: medians of the rounds, percentiles over all of them."""

    mechanism: str
    work: str
    """`handshake`, `https`, `mqtt` or `amqp`."""
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
    with (
        Program("-m", "bench.bare_tls", service.address) as bare,
        Program("-m", "bench.webhook", service.address) as hook,
    ):
        bare_place = (service.address, int(bare.said.split()[1]))
        tasks = (
            Task(name="handshake", talk=lambda link, _: shake_hands(link), place=bare_place, pid=bare.pid),
            Task(
                name="https",
                talk=lambda link, device: register_https(link, device, service.id_scope, service.address),
                place=service.https,
                pid=server_pid,
            ),
            Task(
                name="mqtt",
                talk=lambda link, device: register_mqtt(link, device, service.id_scope),
                place=service.mqtt,
                pid=server_pid,
            ),
            Task(
                name="amqp",
                talk=lambda link, device: register_amqp(link, device, service.id_scope),
                place=service.amqp,
                pid=server_pid,
            ),
        )
        handshake, https, _, amqp = tasks
        # A TPM speaks no MQTT (contract dps.md 4).
        tpm_tasks = (
            handshake,
            replace(
                https, talk=lambda link, device: register_tpm_https(link, device, service.id_scope, service.address)
            ),
            amqp,
        )
        groups: tuple[Group, ...] = (
            KeyGroup(service, "bench-keys", tls=plan.tls),
            CertificateGroup(service, "bench-certificates", tls=plan.tls),
            AskedGroup(
                service, "bench-asked", tls=plan.tls, webhook=f"http://{service.address}:{hook.said.split()[1]}/"
            ),
            TpmDevices(service, tls=plan.tls),
        )
        for group in groups:
            engine[group.mechanism] = engine_seconds(
                server_certificates(service.address),
                group.context,
                group.devices(f"engine-{group.mechanism}", 1)[0].credential,
            )
            works = tpm_tasks if isinstance(group, TpmDevices) else tasks
            for task in works:
                # Warms caches and statements up.
                run_round(
                    task,
                    group.context,
                    group.devices(f"{group.mechanism}-{task.name}-warm", min(plan.count, 100)),
                    at_once=10,
                )
            for at_once in plan.at_once:
                say(f"registrations: {group.mechanism}, {at_once} at once")
                cells += _cells(group, works, at_once, plan)
    return Report(
        tls=plan.tls,
        rounds=plan.rounds,
        count=plan.count,
        engine_cpu_ms={mechanism: median([seconds * 1000]) for mechanism, seconds in engine.items()},
        cells=tuple(cells),
    )


def _cells(group: Group, tasks: Sequence[Task], at_once: int, plan: Plan) -> Iterator[Cell]:
    rounds: defaultdict[str, list[Round]] = defaultdict(list)
    for number in range(plan.rounds):
        for task in tasks:
            devices = group.devices(f"{group.mechanism}-{task.name}-{at_once}-{number}", plan.count)
            rounds[task.name].append(run_round(task, group.context, devices, at_once=at_once))
    bare = rounds["handshake"]
    for name, done in rounds.items():
        yield Cell(
            mechanism=group.mechanism,
            work=name,
            at_once=at_once,
            per_second=median([one.per_second for one in done]),
            **latencies_ms([latency for one in done for latency in one.latencies]),
            server_cpu_ms=median([one.server_ms for one in done]),
            ratio=median([one.server_ms / floor.server_ms for one, floor in zip(done, bare, strict=True)]),
            client_cpu_ms=median([one.client_ms for one in done]),
        )
