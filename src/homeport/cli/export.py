"""`homeport export …`: everything as files that `apply` takes, or into an Azure provisioning service."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from homeport.ascode.bulk import Existing, Tally
from homeport.ascode.transfer import HomeportSource
from homeport.ascode.writing import Format, UnwritableError, write_declarations
from homeport.cli.console import DataOption, err, fail, running_server
from homeport.cli.declarations import clients
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
from homeport.client import ClientError
from homeport.client.aio import ProvisioningServiceClient

app = typer.Typer(
    help="Take everything out: as files for `apply`, or into Azure's service.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("files")
def export_files(
    file: Annotated[
        Path | None, typer.Argument(help="Where to; its ending says the format. Standard output if left out.")
    ] = None,
    form: Annotated[Format | None, typer.Option("--format", help="The format, if the name does not say it.")] = None,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="With the symmetric keys; without them, new ones are made elsewhere.")
    ] = False,
    data: DataOption = None,
) -> None:
    """Write hubs, groups and enrollments as declarations."""
    info = running_server(data)
    chosen = form or _format_of(file)

    async def run(target: IO[str]) -> int:
        async with clients(info) as (_, admin):
            return await write_declarations(admin, target, chosen, secrets=secrets)

    try:
        with _target(file) as target:
            count = asyncio.run(run(target))
    except (ClientError, UnwritableError) as error:
        raise fail(str(error)) from error
    except OSError as error:
        raise fail(f"{file}: {error.strerror}") from error
    if file is not None:
        err.print(f"[bold]{count}[/] things written to {file}" + ("" if secrets else ", without symmetric keys") + ".")


def _format_of(file: Path | None) -> Format:
    if file is None:
        return Format.YAML
    ending = file.suffix.removeprefix(".").replace("yml", "yaml")
    if ending not in {form.value for form in Format}:
        raise fail(f"{file}: the name does not say the format; give --format", code=2)
    return Format(ending)


@contextmanager
def _target(file: Path | None) -> Iterator[IO[str]]:
    """Open the file for its owner alone, and put it in place when it is whole."""
    if file is None:
        yield sys.stdout
        return
    temporary = file.with_name(f"{file.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as target:  # noqa: PTH123 - a descriptor with the right mode
            yield target
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@app.command("azure")
def export_azure(
    connection_string: ConnectionStringOption,
    hub: HubOption = None,
    existing: ExistingOption = Existing.FAIL,
    ca_file: CaFileOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    data: DataOption = None,
) -> None:
    """Write all enrollments and groups, keys and certificates included, to an Azure DPS."""
    info = running_server(data)
    names = hub_names(hub)

    async def run() -> Tally | None:
        other = ProvisioningServiceClient.create_from_connection_string(connection_string, ca_file=ca_file)
        async with other, clients(info) as (_, admin):
            return await move(HomeportSource(admin), other, names, existing=existing, dry_run=dry_run, yes=yes)

    try:
        tally = asyncio.run(run())
    except ClientError as error:
        raise fail(str(error)) from error
    if tally is not None:
        report(tally, where=lambda outcome: outcome.name)
