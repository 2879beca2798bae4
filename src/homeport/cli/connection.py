"""`homeport connection`: what every client needs to reach this server."""

import json
import re
import shlex
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from homeport.app.directory import ConnectionInfo
from homeport.cli.console import DataOption, connection_info, out


class Shape(StrEnum):
    ENV = "env"
    JSON = "json"
    TABLE = "table"


def connection(
    data: DataOption = None,
    output: Annotated[Shape, typer.Option("--output", "-o", help="env can be sourced by a shell.")] = Shape.TABLE,
) -> None:
    """Print the addresses and keys that clients of this server need."""
    values = variables(connection_info(data))
    match output:
        case Shape.ENV:
            for name, value in values.items():
                typer.echo(f"{name}={shlex.quote(value)}")
        case Shape.JSON:
            typer.echo(json.dumps(values, indent=2))
        case Shape.TABLE:
            width = max(map(len, values))
            for name, value in values.items():
                # One line each, however long: keys are copied from here.
                out.print(f"[bold]{name:<{width}}[/]  {escape(value)}", soft_wrap=True)


def variables(info: ConnectionInfo) -> dict[str, str]:
    """Return the documented names and their values; scripts rely on the names.

    The first hub has the plain name, every further one its own name behind it, in capitals.
    """
    values = {
        "HOMEPORT_ID_SCOPE": info.id_scope,
        "HOMEPORT_GLOBAL_ENDPOINT": info.global_endpoint,
        "HOMEPORT_DPS_CONNECTION_STRING": info.dps_connection_string,
    }
    for position, (name, connection_string) in enumerate(info.hub_connection_strings.items()):
        suffix = "" if position == 0 else "_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
        values[f"HOMEPORT_HUB_CONNECTION_STRING{suffix}"] = connection_string
        if (events := info.event_hub_connection_strings.get(name)) is not None:
            values[f"HOMEPORT_EVENTHUB_CONNECTION_STRING{suffix}"] = events
    values["HOMEPORT_CA_FILE"] = info.ca_file
    values["HOMEPORT_PORTAL_URL"] = info.portal_url
    return values
