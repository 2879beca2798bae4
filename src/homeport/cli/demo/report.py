"""What a person sees: progress while devices come home, then who lives where."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from homeport.cli.console import out
from homeport.cli.demo.journey import Attestation, Journey, Stage
from homeport.cli.listing import plain_table

BAR_WIDTH = 30


def progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(BAR_WIDTH),
        TextColumn("{task.completed}/{task.total}"),
        console=out,
    )


def headline(text: str) -> None:
    out.print(f"\n[bold]{text}[/]")


def step(text: str) -> None:
    out.print(f"  [green]✓[/] {text}", soft_wrap=True)


def missing(text: str) -> None:
    out.print(f"  [yellow]![/] {text}", soft_wrap=True)


def table(journeys: Sequence[Journey]) -> None:
    """Print every device with its home, its time from power-on to connected, and its messages at the hub."""
    grid = plain_table("device", "attestation", "hub")
    grid.add_column("connected after", justify="right")
    grid.add_column("messages", justify="right")
    for journey in journeys:
        if journey.stage is Stage.LOST:
            grid.add_row(journey.device, journey.attestation, f"[red]{journey.error}[/]", "", "")
            continue
        seconds = journey.connected_after
        grid.add_row(
            journey.device,
            journey.attestation,
            journey.hub,
            "" if seconds is None else f"{seconds * 1000:,.0f} ms",
            str(journey.received),
        )
    out.print(grid)


def spread(journeys: Sequence[Journey], attestation: Attestation) -> None:
    """Print how the devices of one group spread over the hubs."""
    counts = Counter(journey.hub for journey in journeys if journey.attestation is attestation and journey.hub)
    total = sum(counts.values())
    for hub, count in sorted(counts.items()):
        bar = "█" * round(BAR_WIDTH * count / total)
        out.print(f"  {hub:<12} [cyan]{bar}[/] {count}")


def summary(journeys: Sequence[Journey], seconds: float) -> None:
    home = [journey for journey in journeys if journey.held]
    times = [journey.connected_after for journey in home if journey.connected_after is not None]
    typical = f", {median(times) * 1000:,.0f} ms from power-on to connected (median)" if times else ""
    out.print(
        f"\n[bold]{len(home)} of {len(journeys)} devices are home[/] after {seconds:.1f} s{typical}.", soft_wrap=True
    )
