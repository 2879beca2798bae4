"""How commands reach a hub: by the name of one of the server's, or by any hub's connection string."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.markup import escape

from homeport.cli.console import connection_info, fail, named_server, running_server, trusted_file

if TYPE_CHECKING:
    from homeport.client import HubClient

HubOption = Annotated[
    str | None,
    typer.Option(
        "--hub",
        envvar="HOMEPORT_HUB",
        help="Name of a hub of this server, or the connection string of any hub.",
        show_default="the server's first",
    ),
]


@contextmanager
def hub(name: str | None, data: Path | None) -> Iterator["HubClient"]:
    """Speak to a hub; ends the command and says why when there is none, or it does not answer or refuses."""
    # Commands that only print their help need not wait for an HTTP client to load.
    from homeport.client import ClientError, HubClient

    _, connection_string, ca_file = hub_place(name, data)
    try:
        with HubClient.create_from_connection_string(connection_string, ca_file=ca_file) as client:
            yield client
    except ClientError as error:
        raise fail(escape(str(error))) from error


def hub_names(name: str | None, data: Path | None) -> list[str]:
    """Return the one that is named, or all hubs of the server."""
    if name is not None or named_server.get() is not None:
        return [hub_place(name, data)[0]]
    running_server(data)
    return list(connection_info(data).hub_connection_strings)


def hub_place(name: str | None, data: Path | None) -> tuple[str, str, str | Path | None]:
    """Return a hub's name or host, its connection string, and whom to trust there."""
    if name is not None and name.lower().startswith("hostname="):
        return name.partition(";")[0].partition("=")[2], name, trusted_file.get()
    if named_server.get() is not None:
        raise fail(
            "a hub of another server is reached with the hub's own connection string: give it as --hub, or in "
            "HOMEPORT_HUB (`homeport connection` prints it there)",
            code=2,
        )
    running_server(data)
    info = connection_info(data)
    known = info.hub_connection_strings
    if not known:
        raise fail("this server has no hub of its own; `homeport hub create` makes one")
    chosen = next(iter(known)) if name is None else name
    if chosen not in known:
        raise fail(f"this server has no hub {escape(chosen)}; it has {', '.join(known)}")
    return chosen, known[chosen], info.ca_file


def json_value(text: str, option: str) -> Any:
    """Read JSON from an argument, or from the file that `@` names; ends the command if it is none."""
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise fail(f"{option}: {escape(str(error))}", code=2) from error
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise fail(f"{option} is not JSON: {escape(str(error))}", code=2) from error


def json_object(text: str | None, option: str) -> dict[str, Any] | None:
    """Read a JSON object as `json_value` does; None if it was not given."""
    if text is None:
        return None
    value = json_value(text, option)
    if not isinstance(value, dict):
        raise fail(f'{option} is not a JSON object, such as \'{{"site": "north"}}\'', code=2)
    return value


def compact(value: object, limit: int = 120) -> str:
    """Return JSON on one line, cut to size."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def moment(time: datetime | None) -> str:
    """Write a time for a table; empty for what has not happened."""
    return "" if time is None or time.year < 1970 else f"{time:%Y-%m-%d %H:%M:%S}Z"
