"""One run: which sections, how much of each, against servers started for it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from bench import breakdown, crowded_hub, events, hub, million, registrations, startup, storm, telemetry, twins
from bench.report import Results
from bench.server import ServerUnderTest

SECTIONS = ("registrations", "breakdown", "telemetry", "events", "hub", "storm", "startup")
"""What is measured when nothing else is asked for."""
LONG_SECTIONS = ("crowded-hub", "twins", "million")
"""Only by name: they take minutes."""
_ON_ONE_SERVER = {"registrations", "breakdown", "telemetry", "events", "hub", "crowded-hub", "storm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of each section."""

    name: str
    registrations: registrations.Plan
    breakdown: breakdown.Plan
    telemetry: telemetry.Plan
    events: events.Plan
    hub: hub.Plan
    storm: storm.Plan
    startup: startup.Plan
    crowded_hub: crowded_hub.Plan
    twins: twins.Plan
    million: million.Plan


def full(tls: str) -> Scale:
    """Enough for figures to be kept; under three minutes."""
    return Scale(
        name="full",
        registrations=registrations.Plan(tls=tls),
        breakdown=breakdown.Plan(tls=tls),
        telemetry=telemetry.Plan(tls=tls),
        events=events.Plan(tls=tls),
        hub=hub.Plan(tls=tls),
        storm=storm.Plan(tls=tls),
        startup=startup.Plan(),
        crowded_hub=crowded_hub.Plan(tls=tls),
        twins=twins.Plan(),
        million=million.Plan(),
    )


def quick(tls: str) -> Scale:
    """Does it run, and roughly how fast; under half a minute."""
    return Scale(
        name="quick",
        registrations=registrations.Plan(tls=tls, at_once=(10,), rounds=2, count=100),
        breakdown=breakdown.Plan(tls=tls, rounds=1, count=100),
        telemetry=telemetry.Plan(tls=tls, shapes=((20, 20),), rounds=1, seconds=0.5),
        events=events.Plan(tls=tls, readers=(1,), seconds=1),
        hub=hub.Plan(tls=tls, at_once=(10,), rounds=1, calls=200),
        storm=storm.Plan(tls=tls, times=3, peak_count=300, bystanders=5),
        startup=startup.Plan(rounds=1),
        crowded_hub=crowded_hub.Plan(tls=tls, devices=500, idle_seconds=2),
        twins=twins.Plan(devices=20_000, rounds=1),
        million=million.Plan(databases=("sqlite",), large=100_000, rounds=3),
    )


def smoke(tls: str) -> Scale:
    """Just enough to see that every figure is produced; seconds."""
    return Scale(
        name="smoke",
        registrations=registrations.Plan(tls=tls, at_once=(2,), rounds=1, count=4),
        breakdown=breakdown.Plan(tls=tls, at_once=2, rounds=1, count=4),
        telemetry=telemetry.Plan(tls=tls, shapes=((2, 2),), rounds=1, seconds=0.1),
        events=events.Plan(tls=tls, devices=2, per_second=100, readers=(0, 1), seconds=0.1),
        hub=hub.Plan(tls=tls, at_once=(2,), rounds=1, calls=4),
        storm=storm.Plan(tls=tls, times=0.05, peak_count=10, at_once=5, bystanders=1, addresses=3, probes=2),
        startup=startup.Plan(rounds=1, idle_seconds=0.2),
        crowded_hub=crowded_hub.Plan(tls=tls, devices=10, idle_seconds=0.2),
        twins=twins.Plan(devices=200, rounds=1),
        million=million.Plan(databases=("sqlite",), small=10, large=20, rounds=1, calls=2, queries=1),
    )


def measure(scale: Scale, sections: Collection[str], folder: Path, say: Callable[[str], None]) -> Results:
    """Carry out the sections; servers keep their data below `folder`. Raises what a failed measurement raises."""
    registered = parts = told = read = hubbed = stormed = started = crowded = queried = among = None
    if _ON_ONE_SERVER & set(sections):
        say("starting a server")
        with ServerUnderTest(folder / "server") as server:
            service = server.service()
            owner = server.connection()["HOMEPORT_HUB_CONNECTION_STRING"]
            if "registrations" in sections:
                registered = registrations.measure(service, server.pid, scale.registrations, say)
            if "breakdown" in sections:
                parts = breakdown.measure(service, server.pid, scale.breakdown, say)
            if "telemetry" in sections:
                told = telemetry.measure(service, server.pid, scale.telemetry, say)
            if "events" in sections:
                endpoint = server.connection()["HOMEPORT_EVENTHUB_CONNECTION_STRING"]
                read = events.measure(service, server.pid, endpoint, scale.events, say)
            if "hub" in sections:
                hubbed = hub.measure(service, server.pid, owner, scale.hub, say)
            if "crowded-hub" in sections:
                crowded = crowded_hub.measure(service, server.pid, owner, scale.crowded_hub, say)
            if "storm" in sections:
                stormed = storm.measure(service, server.pid, scale.storm, say)
    if "startup" in sections:
        started = startup.measure(folder, scale.startup, say)
    if "twins" in sections:
        queried = twins.measure(folder, scale.twins, say)
    if "million" in sections:
        among = million.measure(folder, scale.million, say)
    return Results(
        scale=scale.name,
        registrations=registered,
        breakdown=parts,
        telemetry=told,
        events=read,
        hub=hubbed,
        storm=stormed,
        startup=started,
        crowded_hub=crowded,
        twins=queried,
        million=among,
    )
