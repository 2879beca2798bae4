"""Where a registration's processor time goes: the same connection with more and more of a registration in it.

Each step does what the one before did, and something more; the difference is what the something costs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.conversations import (
    ask_nobody,
    look_up_https,
    register_https,
    register_mqtt,
    shake_hands,
    subscribe_mqtt,
)
from bench.devices import CertificateGroup, Group, KeyGroup, Service
from bench.figures import median, significant
from bench.link import Place
from bench.processes import Program
from bench.rounds import Talk, Task, run_round

_PROOF = "proof, and a record of why"
_AGAIN = "register again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    tls: str = "1.3"
    at_once: int = 10
    rounds: int = 3
    count: int = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    mechanism: str
    transport: str
    name: str
    server_cpu_ms: float
    """Processor time of the server for each device; median of the rounds."""
    more_ms: float
    """What it costs beyond the step before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    tls: str
    at_once: int
    rounds: int
    count: int
    steps: tuple[Step, ...]


def measure(service: Service, server_pid: int, plan: Plan, say: Callable[[str], None]) -> Report:
    """Measure the steps of all four kinds of registration, all steps of a kind in each round."""
    groups: tuple[Group, ...] = (
        KeyGroup(service, "bench-breakdown-keys", tls=plan.tls),
        CertificateGroup(service, "bench-breakdown-certificates", tls=plan.tls),
    )
    steps: list[Step] = []
    with Program("-m", "bench.bare_tls", service.address) as bare:
        bare_place = (service.address, int(bare.said.split()[1]))
        for group in groups:
            for transport, place, talks in _talks(service):
                say(f"breakdown: {group.mechanism}, {transport}")
                tasks = [Task(name="handshake", talk=lambda link, _: shake_hands(link), place=bare_place, pid=bare.pid)]
                tasks += [Task(name=name, talk=talk, place=place, pid=server_pid) for name, talk in talks]
                steps += _steps(group, transport, tasks, plan)
    return Report(tls=plan.tls, at_once=plan.at_once, rounds=plan.rounds, count=plan.count, steps=tuple(steps))


def _talks(service: Service) -> tuple[tuple[str, Place, list[tuple[str, Talk]]], ...]:
    scope, host = service.id_scope, service.address
    return (
        (
            "https",
            service.https,
            [
                ("a request that nobody answers", lambda link, device: ask_nobody(link, device, host)),
                (_PROOF, lambda link, device: look_up_https(link, device, scope, host)),
                ("register", lambda link, device: register_https(link, device, scope, host)),
                (_AGAIN, lambda link, device: register_https(link, device, scope, host)),
            ],
        ),
        (
            "mqtt",
            service.mqtt,
            [
                ("connect and subscribe", lambda link, device: subscribe_mqtt(link, device, scope)),
                ("register", lambda link, device: register_mqtt(link, device, scope)),
            ],
        ),
    )


def _steps(group: Group, transport: str, tasks: list[Task], plan: Plan) -> Iterator[Step]:
    costs: dict[str, list[float]] = {task.name: [] for task in tasks}
    for number in range(plan.rounds + 1):
        # The same devices for all steps: the one before the last makes them known, the last finds them known.
        devices = group.devices(f"steps-{group.mechanism}-{transport}-{number}", plan.count)
        for task in tasks:
            done = run_round(task, group.context, devices, at_once=plan.at_once)
            if number:  # the first warms up
                costs[task.name].append(done.server_ms)
    before: dict[str, float] = {}
    for name, values in costs.items():
        cost = median(values)
        # Registering again stands beside registering, and not on top of it.
        below = before.get(_PROOF if name == _AGAIN else next(reversed(before), ""), 0.0)
        before[name] = cost
        yield Step(
            mechanism=group.mechanism,
            transport=transport,
            name=name,
            server_cpu_ms=cost,
            more_ms=significant(cost - below),
        )
