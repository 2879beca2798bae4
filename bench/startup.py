"""From spawning `homeport serve` to its `ready` line, and what it weighs when nobody is connected."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.figures import median
from bench.processes import cpu_seconds, memory_mib
from bench.server import ServerUnderTest


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    rounds: int = 5
    idle_seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Medians of the rounds; each round has a data directory of its own."""

    rounds: int
    bare_python_seconds: float
    """Starting and ending the interpreter with an empty program: the floor."""
    fresh_seconds: float
    """With an empty data directory: database, root CA and keys are made."""
    existing_seconds: float
    existing_cpu_seconds: float
    stop_seconds: float
    """From SIGTERM to the end of the process."""
    idle_mib: float
    """Resident memory, ready and idle."""
    idle_cpu_percent: float


def measure(folder: Path, plan: Plan, say: Callable[[str], None]) -> Report:
    bare: list[float] = []
    fresh: list[float] = []
    existing: list[float] = []
    existing_cpu: list[float] = []
    stop: list[float] = []
    memory: list[float] = []
    idle_cpu: list[float] = []
    for number in range(plan.rounds):
        say(f"start-up: round {number + 1} of {plan.rounds}")
        bare.append(_seconds(lambda: subprocess.run([sys.executable, "-c", ""], check=True)))
        server = ServerUnderTest(folder / f"start-{number}")
        try:
            fresh.append(_seconds(server.start))
            stop.append(_seconds(server.stop))
            existing.append(_seconds(server.start))
            existing_cpu.append(cpu_seconds(server.pid))
            time.sleep(plan.idle_seconds / 2)
            before = cpu_seconds(server.pid)
            time.sleep(plan.idle_seconds)
            idle_cpu.append((cpu_seconds(server.pid) - before) / plan.idle_seconds * 100)
            memory.append(memory_mib(server.pid))
            stop.append(_seconds(server.stop))
        finally:
            if server.running:
                server.kill()
    return Report(
        rounds=plan.rounds,
        bare_python_seconds=median(bare),
        fresh_seconds=median(fresh),
        existing_seconds=median(existing),
        existing_cpu_seconds=median(existing_cpu),
        stop_seconds=median(stop),
        idle_mib=median(memory),
        idle_cpu_percent=median(idle_cpu),
    )


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
