"""One run: which sections, how much of each, against servers started for it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from bench import breakdown, million, registrations, startup, storm, telemetry
from bench.report import Results
from bench.server import ServerUnderTest

SECTIONS = ("registrations", "breakdown", "telemetry", "storm", "startup")
"""What is measured when nothing else is asked for."""
LONG_SECTIONS = ("million",)
"""Only by name: filling a store takes minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of each section."""

    name: str
    registrations: registrations.Plan
    breakdown: breakdown.Plan
    telemetry: telemetry.Plan
    storm: storm.Plan
    startup: startup.Plan
    million: million.Plan


def full(tls: str) -> Scale:
    """Enough for figures to be kept; under three minutes."""
    return Scale(
        name="full",
        registrations=registrations.Plan(tls=tls),
        breakdown=breakdown.Plan(tls=tls),
        telemetry=telemetry.Plan(tls=tls),
        storm=storm.Plan(tls=tls),
        startup=startup.Plan(),
        million=million.Plan(),
    )


def quick(tls: str) -> Scale:
    """Does it run, and roughly how fast; under half a minute."""
    return Scale(
        name="quick",
        registrations=registrations.Plan(tls=tls, at_once=(10,), rounds=2, count=100),
        breakdown=breakdown.Plan(tls=tls, rounds=1, count=100),
        telemetry=telemetry.Plan(tls=tls, shapes=((20, 20),), rounds=1, seconds=0.5),
        storm=storm.Plan(tls=tls, times=3, peak_count=300, bystanders=5),
        startup=startup.Plan(rounds=1),
        million=million.Plan(databases=("sqlite",), large=100_000, rounds=3),
    )


def smoke(tls: str) -> Scale:
    """Just enough to see that every figure is produced; seconds."""
    return Scale(
        name="smoke",
        registrations=registrations.Plan(tls=tls, at_once=(2,), rounds=1, count=4),
        breakdown=breakdown.Plan(tls=tls, at_once=2, rounds=1, count=4),
        telemetry=telemetry.Plan(tls=tls, shapes=((2, 2),), rounds=1, seconds=0.1),
        storm=storm.Plan(tls=tls, times=0.05, peak_count=10, at_once=5, bystanders=1, addresses=3, probes=2),
        startup=startup.Plan(rounds=1, idle_seconds=0.2),
        million=million.Plan(databases=("sqlite",), small=10, large=20, rounds=1, calls=2, queries=1),
    )


def measure(scale: Scale, sections: Collection[str], folder: Path, say: Callable[[str], None]) -> Results:
    """Carry out the sections; servers keep their data below `folder`. Raises what a failed measurement raises."""
    registered = parts = told = stormed = started = crowded = None
    if {"registrations", "breakdown", "telemetry", "storm"} & set(sections):
        say("starting a server")
        with ServerUnderTest(folder / "server") as server:
            service = server.service()
            if "registrations" in sections:
                registered = registrations.measure(service, server.pid, scale.registrations, say)
            if "breakdown" in sections:
                parts = breakdown.measure(service, server.pid, scale.breakdown, say)
            if "telemetry" in sections:
                told = telemetry.measure(service, server.pid, scale.telemetry, say)
            if "storm" in sections:
                stormed = storm.measure(service, server.pid, scale.storm, say)
    if "startup" in sections:
        started = startup.measure(folder, scale.startup, say)
    if "million" in sections:
        crowded = million.measure(folder, scale.million, say)
    return Results(
        scale=scale.name,
        registrations=registered,
        breakdown=parts,
        telemetry=told,
        storm=stormed,
        startup=started,
        million=crowded,
    )
