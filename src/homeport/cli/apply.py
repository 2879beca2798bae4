"""`homeport apply`: make a service have what files declare."""

import asyncio
from typing import Annotated

import typer
from rich.markup import escape

from homeport.ascode.apply import Applied, apply_plan
from homeport.ascode.files import Declarations
from homeport.ascode.kinds import kinds_of
from homeport.ascode.plan import Change, Plan
from homeport.cli.console import (
    DataOption,
    Output,
    OutputOption,
    ServerAccess,
    err,
    fail,
    out,
    progress_bar,
    running_server,
)
from homeport.cli.declarations import clients, compare, documents, no_paths, read, show
from homeport.cli.listing import print_json
from homeport.cli.plan import PathsArgument, PruneOption

_SHOWN_FAILURES = 20


def apply(
    paths: PathsArgument = None,
    prune: PruneOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the differences, ask, and carry them out; doing it again does nothing more."""
    from homeport.client import ClientError

    if not paths:
        raise no_paths()
    declarations = read(paths)
    info = running_server(data)
    try:
        plan, applied = asyncio.run(_run(declarations, info, prune=prune, yes=yes, output=output))
    except ClientError as error:
        raise fail(str(error)) from error
    if output is Output.JSON:
        failures = [{"section": c.kind.section, "name": c.name, "error": str(why)} for c, why in applied.failures]
        print_json({**documents(plan), "applied": applied.done, "failures": failures})
    elif plan.changes:
        out.print(f"[bold green]{applied.done}[/] changed.")
    for change, why in applied.failures[:_SHOWN_FAILURES]:
        err.print(f"[bold red]error[/] {change.kind.noun} {escape(change.name)}: {escape(str(why))}", soft_wrap=True)
    if applied.failures:
        raise fail(f"{len(applied.failures)} of {len(plan.changes)} changes failed; apply again does what is left")


async def _run(
    declarations: Declarations, info: ServerAccess, *, prune: bool, yes: bool, output: Output
) -> tuple[Plan, Applied]:
    async with clients(info) as (service, admin):
        plan = await compare(declarations, kinds_of(service, admin), prune=prune)
        if output is Output.TABLE:
            show(plan)
        if not plan.changes:
            return plan, Applied()
        if not yes:
            if output is Output.JSON:
                raise fail("-o json asks nothing: add --yes", code=2)
            typer.confirm("Carry this out?", abort=True)
        with progress_bar() as bar:
            task = bar.add_task("applying", total=len(plan.changes))

            def progress(change: Change, failure: Exception | None) -> None:
                del change, failure
                bar.advance(task)

            return plan, await apply_plan(plan, progress=progress)
