"""How commands print what they found: a table for people, or JSON for programs."""

import msgspec
import typer
from rich.table import Table


def print_json(document: object) -> None:
    """Print a document the way people and programs can both read it."""
    typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())


def plain_table(*headings: str) -> Table:
    """Make a table without lines."""
    return Table(*headings, box=None, pad_edge=False, header_style="bold")
