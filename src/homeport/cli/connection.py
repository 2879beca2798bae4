"""`homeport connection`: what every client needs to reach this server."""

import json
import shlex
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

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
    values = connection_info(data).variables
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
