"""`homeport plan`: how a service differs from what files declare."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from homeport.ascode.files import Declarations
from homeport.ascode.kinds import kinds_of
from homeport.ascode.plan import Plan
from homeport.cli.console import DataOption, Output, OutputOption, ServerAccess, fail, running_server
from homeport.cli.declarations import clients, compare, documents, no_paths, read, show
from homeport.cli.listing import print_json

CHANGES = 2
"""Exit status of `--exit-code` when there is something to do."""

PathsArgument = Annotated[
    list[Path] | None,
    typer.Argument(help="TOML, YAML or JSON files, or folders of them.", metavar="PATH…", show_default=False),
]
PruneOption = Annotated[
    bool, typer.Option("--prune", help="Delete what no file declares, in the sections of the files.")
]


def plan(
    paths: PathsArgument = None,
    prune: PruneOption = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with status 2 if there is anything to do: drift, in CI.")
    ] = False,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what `apply` would do: nothing is changed."""
    from homeport.client import ClientError

    if not paths:
        raise no_paths()
    declarations = read(paths)
    info = running_server(data)
    try:
        made = asyncio.run(_make(declarations, info, prune=prune))
    except ClientError as error:
        raise fail(str(error)) from error
    if output is Output.JSON:
        print_json(documents(made))
    else:
        show(made)
    if exit_code and made.changes:
        raise typer.Exit(CHANGES)


async def _make(declarations: Declarations, info: ServerAccess, *, prune: bool) -> Plan:
    async with clients(info) as (service, admin):
        return await compare(declarations, kinds_of(service, admin), prune=prune)
