"""How commands speak: results on standard output, everything else on standard error, one way to fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from homeport.app.config import default_data_directory
from homeport.app.directory import ConnectionInfo, DataDirectory, DirectoryError

if TYPE_CHECKING:
    from homeport.client import HomeportAdminClient

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


def connection_info(data: Path | None) -> ConnectionInfo:
    """Return what the server in this data directory told its clients, or end the command with the reason."""
    try:
        return DataDirectory(data or default_data_directory()).read_connection()
    except DirectoryError as error:
        raise fail(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A server that is spoken to with an administrator's token, from wherever its address can be reached."""

    server: str
    token: str = field(repr=False)
    ca_file: Path | None = None


named_server: ContextVar[Remote | None] = ContextVar("named_server", default=None)
"""The server that the program's own options, or HOMEPORT_SERVER, name; None: that of the data directory.

Set once, before a command runs: typer does not let a command's helpers reach the program's options.
"""


@contextmanager
def admin(data: Path | None) -> Iterator["HomeportAdminClient"]:
    """Speak to the server's API: that of the data directory, or the one `--server` and `--token` name.

    Says so plainly when no server answers.
    """
    # Commands that only read a file need not wait for an HTTP client to load.
    from homeport.client import ClientError, HomeportAdminClient

    if (named := named_server.get()) is not None:
        try:
            with HomeportAdminClient.create_from_token(named.server, named.token, ca_file=named.ca_file) as client:
                yield client
        except ClientError as error:
            raise fail(str(error)) from error
        return
    info = connection_info(data)
    directory = DataDirectory(data or default_data_directory())
    if not directory.is_served():
        raise fail(
            f"no server is running on {directory.path}: this command goes through its API. Start `homeport serve`."
        )
    try:
        with HomeportAdminClient.create_from_connection_string(
            info.admin_connection_string, ca_file=info.ca_file
        ) as client:
            yield client
    except ClientError as error:
        raise fail(str(error)) from error
