"""`homeport import …`: enrollments out of a table, or out of another provisioning service."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.progress import Progress, TaskID

from homeport.ascode.bulk import Existing, Item, Outcome, Tally, bring_in
from homeport.ascode.checkpoint import Checkpoint, CheckpointError
from homeport.ascode.documents import unknown_members
from homeport.ascode.table import Line, TableError, read_table
from homeport.ascode.transfer import PublicApiSource, read_certificates
from homeport.cli.console import DataOption, ServerAccess, err, fail, out, progress_bar, running_server
from homeport.cli.declarations import clients
from homeport.cli.listing import plain_table
from homeport.cli.moving import (
    CaFileOption,
    ConnectionStringOption,
    DryRunOption,
    ExistingOption,
    HubOption,
    YesOption,
    hub_names,
    move,
    report,
)
from homeport.client import ClientError, IndividualEnrollment
from homeport.client.aio import ProvisioningServiceClient

app = typer.Typer(
    help="Bring enrollments in: from CSV, or from Azure's service.", no_args_is_help=True, add_completion=False
)

_PREVIEW = 5
_ERRORS = 20
_CHUNK = 500
"""Lines between two records of progress; after a crash so many may be looked at twice."""


@app.command("csv")
def import_csv(
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8; the first line names the columns.")],
    existing: ExistingOption = Existing.FAIL,
    skip_errors: Annotated[
        bool, typer.Option("--skip-errors", help="Import the other lines although some cannot be.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew, not where the last run stopped.")] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    data: DataOption = None,
) -> None:
    """Create an individual enrollment for each line; a run that was stopped goes on where it stopped."""
    info = running_server(data)
    try:
        checkpoint = Checkpoint.of(file)
        if restart:
            checkpoint.line = 0
        total = _preview(file, checkpoint, skip_errors=skip_errors)
        if dry_run or not total:
            return
        if not yes:
            typer.confirm(f"Import {total} enrollments?", abort=True)
        tally = Tally()
        with progress_bar() as bar:
            asyncio.run(_import(file, checkpoint, info, existing, tally, bar, bar.add_task("importing", total=total)))
        checkpoint.clear()
    except (TableError, CheckpointError, ClientError) as error:
        raise fail(str(error)) from error
    report(tally, where=lambda outcome: f"line {outcome.key} {outcome.name}")


def _preview(file: Path, checkpoint: Checkpoint, *, skip_errors: bool) -> int:
    """Read the whole file, show its beginning and what is wrong, and return how many lines are to be imported."""
    first: list[Line] = []
    wrong: list[Line] = []
    count = done = errors = 0
    for line in map(_checked, read_table(file)):
        if line.problem is not None:
            errors += 1
            if len(wrong) < _ERRORS:
                wrong.append(line)
        elif line.number <= checkpoint.line:
            done += 1
        else:
            count += 1
            if len(first) < _PREVIEW:
                first.append(line)
    if first:
        _show(first)
    out.print(f"[bold]{count}[/] to import" + (f", {done} done before" if done else "") + f", {errors} with errors.")
    for line in wrong:
        err.print(f"[bold red]line {line.number}[/] {escape(line.name)}: {escape(line.problem or '')}", soft_wrap=True)
    if errors > len(wrong):
        err.print(f"… and {errors - len(wrong)} more.")
    if errors and not skip_errors:
        raise fail("correct these lines, or leave them out with --skip-errors")
    return count


def _show(lines: Sequence[Line]) -> None:
    table = plain_table("line", "registration id", "attestation", "and")
    for line in lines:
        others = [name for name in line.document if name not in {"registrationId", "attestation"}]
        table.add_row(str(line.number), escape(line.name), line.document["attestation"]["type"], ", ".join(others))
    out.print(table)


def _checked(line: Line) -> Line:
    """Let the model have its say about what the table could read."""
    if line.problem is not None:
        return line
    try:
        understood = msgspec.convert(line.document, IndividualEnrollment)
    except msgspec.ValidationError as error:
        return _wrong(line, str(error))
    unknown = list(unknown_members(line.document, msgspec.to_builtins(understood)))
    return _wrong(line, f"there is no member {unknown[0]}") if unknown else line


def _wrong(line: Line, problem: str) -> Line:
    return Line(number=line.number, name=line.name, document={}, problem=problem)


async def _import(
    file: Path,
    checkpoint: Checkpoint,
    info: ServerAccess,
    existing: Existing,
    tally: Tally,
    bar: Progress,
    task: TaskID,
) -> None:
    def told(outcome: Outcome) -> None:
        tally.add(outcome)
        bar.advance(task)

    lines = (line for line in map(_checked, read_table(file)) if line.problem is None and line.number > checkpoint.line)
    async with clients(info) as (service, _):
        while chunk := list(islice(lines, _CHUNK)):
            await bring_in(service, _items(chunk), existing=existing, told=told)
            checkpoint.advance(chunk[-1].number)


async def _items(chunk: Sequence[Line]) -> AsyncIterator[tuple[int, Item]]:
    for line in chunk:
        yield line.number, msgspec.convert(line.document, IndividualEnrollment)


@app.command("azure")
def import_azure(
    connection_string: ConnectionStringOption,
    hub: HubOption = None,
    certificates: Annotated[
        Path | None,
        typer.Option("--certificates", help="Folder with the certificates, which Azure does not tell.", exists=True),
    ] = None,
    new_keys: Annotated[
        bool, typer.Option("--new-keys", help="Do not read symmetric keys: new ones are generated here.")
    ] = False,
    existing: ExistingOption = Existing.FAIL,
    ca_file: CaFileOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    data: DataOption = None,
) -> None:
    """Bring enrollments and groups in from an Azure DPS, through its public API."""
    info = running_server(data)
    names = hub_names(hub)
    known = read_certificates(certificates) if certificates else {}

    async def run() -> Tally | None:
        other = ProvisioningServiceClient.create_from_connection_string(connection_string, ca_file=ca_file)
        async with other, clients(info) as (service, _):
            source = PublicApiSource(other, certificates=known, new_keys=new_keys)
            return await move(source, service, names, existing=existing, dry_run=dry_run, yes=yes)

    try:
        tally = asyncio.run(run())
    except ClientError as error:
        raise fail(str(error)) from error
    if tally is not None:
        report(tally, where=lambda outcome: outcome.name)
