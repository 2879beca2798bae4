"""How commands speak: results on standard output, everything else on standard error, one way to fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from msgspec import Struct
from rich.console import Console
from rich.markup import escape

from homeport.app.config import default_data_directory
from homeport.app.directory import ConnectionInfo, DataDirectory, DirectoryError
from homeport.values import hiding
from homeport.wire.versions import NEWEST_VERSION

if TYPE_CHECKING:
    from rich.progress import Progress

    from homeport.client import HomeportAdminClient, ProvisioningServiceClient

C = TypeVar("C", "HomeportAdminClient", "ProvisioningServiceClient")

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


def progress_bar() -> "Progress":
    """Return a progress bar for standard error, shown only to a person."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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


@hiding("admin_connection_string")
class ServerAccess(Struct, frozen=True, kw_only=True):
    """How a server's API is reached, and with which proof."""

    admin_connection_string: str
    ca_file: str | Path | None


named_server: ContextVar[ServerAccess | None] = ContextVar("named_server", default=None)
"""The server that the program's own options, or HOMEPORT_SERVER, name; None: that of the data directory.

Set once, before a command runs: typer does not let a command's helpers reach the program's options.
"""


trusted_file: ContextVar[Path | None] = ContextVar("trusted_file", default=None)
"""The PEM that the program's `--ca-file` names: whom to trust where a connection string names the place."""


def name_server(server: str, token: str, ca_file: Path | None) -> None:
    """Let all that this command asks go to this address (`host` or `host:port`), with an administrator's token."""
    authority = server.strip().removeprefix("https://").rstrip("/")
    connection_string = f"HostName={authority};SharedAccessSignature=Bearer {token.strip()}"
    named_server.set(ServerAccess(admin_connection_string=connection_string, ca_file=ca_file))


def running_server(data: Path | None) -> ServerAccess:
    """Return how to reach the API of the server that is named, or of the one that runs in the data directory.

    Ends the command and says plainly that no server answers.
    """
    if (named := named_server.get()) is not None:
        return named
    info = connection_info(data)
    directory = DataDirectory(data or default_data_directory())
    if not directory.is_served():
        raise fail(
            f"no server is running on {directory.path}: this command goes through its API. Start `homeport serve`, "
            "or name another server with --server and --token."
        )
    return ServerAccess(admin_connection_string=info.admin_connection_string, ca_file=info.ca_file)


@contextmanager
def admin(data: Path | None) -> Iterator["HomeportAdminClient"]:
    """Speak to the running server's API, as `running_server` finds it; says so plainly when no server answers."""
    # Commands that only read a file need not wait for an HTTP client to load.

    from homeport.client import HomeportAdminClient

    with _client(data, HomeportAdminClient) as client:
        yield client


@contextmanager
def service(data: Path | None) -> Iterator["ProvisioningServiceClient"]:
    """Speak to the running server's service API, like `admin`."""
    from homeport.client import ProvisioningServiceClient

    with _client(data, ProvisioningServiceClient, api_version=NEWEST_VERSION) as client:
        yield client


@contextmanager
def _client(data: Path | None, kind: type[C], *, api_version: str | None = None) -> Iterator[C]:
    from homeport.client import ClientError

    access = running_server(data)
    try:
        with kind.create_from_connection_string(
            access.admin_connection_string, ca_file=access.ca_file, api_version=api_version
        ) as client:
            yield client
    except ClientError as error:
        raise fail(escape(str(error))) from error
