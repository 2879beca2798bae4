"""What the commands share that move enrollments between services: their options, the run, the report."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from homeport.ascode.bulk import Existing, Item, Outcome, Result, Tally, bring_in
from homeport.ascode.transfer import Incomplete, Source, adapted
from homeport.cli.console import err, fail, out, progress_bar
from homeport.client.aio import ProvisioningServiceClient

_SHOWN = 20

ConnectionStringOption = Annotated[
    str,
    typer.Option(
        "--connection-string",
        envvar="HOMEPORT_AZURE_CONNECTION_STRING",
        help="Of the other provisioning service: HostName=…;SharedAccessKeyName=…;SharedAccessKey=….",
    ),
]
CaFileOption = Annotated[
    Path | None, typer.Option("--ca-file", help="PEM of the authority to trust there, if the system does not.")
]
HubOption = Annotated[
    list[str] | None, typer.Option("--hub", help="OLD=NEW: the hub that takes the place of another; repeatable.")
]
ExistingOption = Annotated[
    Existing, typer.Option("--existing", help="What to do with an enrollment that exists already and differs.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def hub_names(options: Sequence[str] | None) -> dict[str, str]:
    """Read `OLD=NEW`, or end the command."""
    names = {}
    for option in options or ():
        old, equals, new = option.partition("=")
        if not (old and equals and new):
            raise fail(f"--hub {option}: give OLD=NEW, two host names", code=2)
        names[old] = new
    return names


async def move(
    source: Source,
    target: ProvisioningServiceClient,
    hubs: Mapping[str, str],
    *,
    existing: Existing,
    dry_run: bool,
    yes: bool,
) -> Tally | None:
    """Count, ask, and write groups, then enrollments; None if nothing was to be written."""
    found: dict[str, int] = {"enrollment groups": 0, "enrollments": 0}
    incomplete: list[Incomplete] = []
    for noun, items in (
        ("enrollment groups", source.groups(survey=True)),
        ("enrollments", source.individuals(survey=True)),
    ):
        async for item in items:
            if isinstance(item, Incomplete):
                incomplete.append(item)
            else:
                found[noun] += 1
    out.print(" and ".join(f"[bold]{count}[/] {noun}" for noun, count in found.items()) + " can be taken along.")
    for each in incomplete[:_SHOWN]:
        err.print(f"[yellow]left behind[/] {escape(each.name)}: {escape(each.reason)}", soft_wrap=True)
    if len(incomplete) > _SHOWN:
        err.print(f"… and {len(incomplete) - _SHOWN} more.")
    total = sum(found.values())
    if dry_run or not total:
        return None
    if not yes:
        typer.confirm(f"Write to {target.host_name}?", abort=True)
    tally = Tally()
    with progress_bar() as bar:
        task = bar.add_task("writing", total=total)

        def told(outcome: Outcome) -> None:
            tally.add(outcome)
            bar.advance(task)

        def left_behind(each: Incomplete) -> None:
            told(Outcome(key=0, name=each.name, result=Result.FAILED, reason=each.reason))

        for items in (source.groups(), source.individuals()):
            await bring_in(target, _adapted(items, hubs, left_behind), existing=existing, told=told)
    return tally


async def _adapted(
    items: AsyncIterator[Item | Incomplete], hubs: Mapping[str, str], left_behind: Callable[[Incomplete], None]
) -> AsyncIterator[tuple[int, Item]]:
    async for item in items:
        if isinstance(item, Incomplete):
            left_behind(item)
        else:
            yield 0, adapted(item, hubs)


def report(tally: Tally, *, where: Callable[[Outcome], str]) -> None:
    """Print how it ended; ends the command with status 1 if anything failed."""
    words = {
        Result.CREATED: "created",
        Result.SAME: "there already",
        Result.SKIPPED: "left as they were",
        Result.REPLACED: "replaced",
        Result.FAILED: "failed",
    }
    out.print(", ".join(f"[bold]{tally.counts[result]}[/] {word}" for result, word in words.items()) + ".")
    for outcome in tally.failures[:_SHOWN]:
        err.print(f"[bold red]{escape(where(outcome))}[/]: {escape(outcome.reason)}", soft_wrap=True)
    if len(tally.failures) > _SHOWN:
        err.print(f"… and {len(tally.failures) - _SHOWN} more.")
    if tally.failures:
        raise typer.Exit(1)
