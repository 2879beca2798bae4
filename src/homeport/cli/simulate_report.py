"""What a person sees of a simulation: how far it is, and the report."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from homeport.cli.listing import plain_table
from homeport.simulation.measures import Step

if TYPE_CHECKING:
    from homeport.simulation.fleet import Fleet

BAR_WIDTH = 24
SHOWN_DEVICES = 10
_LINE_SECONDS = 10.0
"""How often a run says where it is when nobody watches a terminal."""


@contextmanager
def progress(console: Console, fleet: "Fleet") -> Iterator[Callable[[], None]]:
    """Show how far a run is; call what it gives when something has happened."""
    total = len(fleet.identities)
    if not console.is_terminal:
        yield _lines(console, fleet)
        return
    bars = Progress(
        TextColumn("{task.description:<11}"),
        BarColumn(BAR_WIDTH),
        TextColumn("{task.completed:>6}/{task.total}"),
        TextColumn("{task.fields[more]}"),
        console=console,
        transient=True,
    )
    with bars:
        rows = {name: bars.add_task(name, total=total, more="") for name in ("enrolled", "registered", "connected")}

        def tick() -> None:
            measures = fleet.measures
            bars.update(rows["enrolled"], completed=fleet.enrolled)
            bars.update(rows["registered"], completed=measures.registered)
            bars.update(rows["connected"], completed=measures.connected, more=_more(fleet))

        yield tick


def _lines(console: Console, fleet: "Fleet") -> Callable[[], None]:
    last = time.monotonic()

    def tick() -> None:
        nonlocal last
        if time.monotonic() - last < _LINE_SECONDS:
            return
        last = time.monotonic()
        measures = fleet.measures
        console.print(
            f"{fleet.enrolled} enrolled, {measures.registered} registered, {measures.connected} connected, "
            f"{_more(fleet)}",
            soft_wrap=True,
        )

    return tick


def _more(fleet: "Fleet") -> str:
    measures = fleet.measures
    text = f"{len(measures.times.get(Step.SEND, ())):,} messages"
    if measures.methods:
        text += f", {measures.methods:,} methods"
    if faults := measures.faults.total():
        text += f", [yellow]{faults:,} faults[/]"
    if measures.failed:
        text += f", [red]{len(measures.failed):,} failed[/]"
    left = fleet.seconds_left
    return text if left is None else f"{text}, {left:.0f} s left"


def print_report(console: Console, fleet: "Fleet", *, seconds: float, seed: int, profile: str, kept: bool) -> None:
    """Print what happened: devices, steps with percentiles, faults by reason."""
    measures = fleet.measures
    total, failed = len(fleet.identities), len(measures.failed)
    colour = "red" if failed else "green"
    console.print(
        f"[bold]{escape(profile)}[/], seed {seed}: [{colour}]{total - failed} of {total} devices did everything[/] "
        f"in {seconds:.1f} s",
        soft_wrap=True,
    )
    console.print(f"  attestation  {_counts(measures.by_attestation)}", soft_wrap=True)
    console.print(f"  transport    {_counts(measures.by_transport)}", soft_wrap=True)
    if measures.hubs:
        console.print(f"  hub          {_counts(measures.hubs)}", soft_wrap=True)
    if measures.losses or measures.reconnections:
        console.print(f"  connections  {measures.losses} lost, {measures.reconnections} reconnected")
    if measures.methods or measures.desired:
        console.print(f"  heard        {measures.methods} methods, {measures.desired} changes of desired properties")
    if measures.times:
        console.print()
        console.print(_steps(fleet))
    if measures.faults:
        console.print()
        for (step, reason), count in measures.faults.most_common():
            console.print(f"  [yellow]{count:>6}[/]  {step.value}: {escape(reason)}", soft_wrap=True)
    if measures.failed:
        console.print(f"\n[red]{failed} devices failed[/]")
        for name, why in sorted(measures.failed.items())[:SHOWN_DEVICES]:
            console.print(f"  [bold]{escape(name)}[/]  {escape(why)}", soft_wrap=True)
        if failed > SHOWN_DEVICES:
            console.print(f"  … and {failed - SHOWN_DEVICES} more; `-o json` names all")
    if kept:
        console.print(f"\nKept: {len(fleet.identities)} devices whose names begin with {fleet.prefix}")


def _steps(fleet: "Fleet") -> Table:
    table = plain_table("step")
    for name in ("count", "p50", "p90", "p99", "longest"):
        table.add_column(name, justify="right")
    for step, each in fleet.measures.spreads().items():
        times = (each.p50, each.p90, each.p99, each.longest)
        table.add_row(step.value, f"{each.count:,}", *(_milliseconds(time) for time in times))
    return table


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{escape(name)} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"
