"""How commands speak: results on standard output, everything else on standard error, one way to fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from homeport.app.config import default_data_directory
from homeport.app.directory import ConnectionInfo, DataDirectory, DirectoryError

if TYPE_CHECKING:
    from homeport.client import HomeportAdminClient, ProvisioningServiceClient

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Output(StrEnum):
    """The shapes a listing can be printed in."""

    TABLE = "table"
    JSON = "json"


DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", help="The server's data directory.", envvar="HOMEPORT_DATA", show_default="XDG state directory"
    ),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Shape of the answer.")]


def fail(message: str, *, code: int = 1) -> typer.Exit:
    """Print why a command could not do its work; raise the result."""
    err.print(f"[bold red]error[/] {message}", soft_wrap=True)
    return typer.Exit(code)


def progress_bar() -> Progress:
    """Return a progress bar for standard error, shown only to a person."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=not err.is_terminal,
        transient=True,
    )


def connection_info(data: Path | None) -> ConnectionInfo:
    """Return what the server in this data directory told its clients, or end the command with the reason."""
    try:
        return DataDirectory(data or default_data_directory()).read_connection()
    except DirectoryError as error:
        raise fail(str(error)) from error


def running_server(data: Path | None) -> ConnectionInfo:
    """Return how to reach the running server's API, or end the command and say plainly that no server answers."""
    info = connection_info(data)
    directory = DataDirectory(data or default_data_directory())
    if not directory.is_served():
        raise fail(
            f"no server is running on {directory.path}: this command goes through its API. Start `homeport serve`."
        )
    return info


@contextmanager
def admin(data: Path | None) -> Iterator["HomeportAdminClient"]:
    """Speak to the running server's API; says so plainly when no server answers."""
    # Commands that only read a file need not wait for an HTTP client to load.
    from homeport.client import ClientError, HomeportAdminClient

    info = running_server(data)
    try:
        with HomeportAdminClient.create_from_connection_string(
            info.admin_connection_string, ca_file=info.ca_file
        ) as client:
            yield client
    except ClientError as error:
        raise fail(str(error)) from error


@contextmanager
def service(data: Path | None) -> Iterator["ProvisioningServiceClient"]:
    """Speak to the running server's Azure-compatible service API, as `admin` does to the rest."""
    from homeport.client import ClientError, ProvisioningServiceClient

    info = running_server(data)
    try:
        with ProvisioningServiceClient.create_from_connection_string(
            info.admin_connection_string, ca_file=info.ca_file
        ) as client:
            yield client
    except ClientError as error:
        raise fail(str(error)) from error
