"""`homeport query`: enrollments, groups or registrations that satisfy a condition."""

from collections.abc import Iterable
from enum import StrEnum
from itertools import islice
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from homeport.cli.console import DataOption, admin, err, service


class Source(StrEnum):
    """What to look through."""

    ENROLLMENTS = "enrollments"
    GROUPS = "groups"
    REGISTRATIONS = "registrations"


def query(
    source: Annotated[Source, typer.Argument(help="What to look through.")],
    condition: Annotated[
        str, typer.Argument(help="For example \"registrationState.status = 'failed'\"; nothing is everything.")
    ] = "",
    data: DataOption = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Stop after so many.")] = None,
) -> None:
    """Print what satisfies a condition, one JSON document a line. The language is in docs/reference/queries.md."""
    words = condition.strip()
    text = f"SELECT * WHERE {words}" if words and not words.upper().startswith(("SELECT ", "ORDER ")) else words
    text = f"SELECT * {text}" if text.upper().startswith("ORDER ") else text
    try:
        if source is Source.REGISTRATIONS:
            with admin(data) as client:
                _tell(client.registrations(text), limit)
            return
        with service(data) as client:
            groups, individuals = client.query_enrollment_groups, client.query_individual_enrollments
            _tell(groups(text) if source is Source.GROUPS else individuals(text), limit)
    except typer.Exit:
        # The refusal names a position; it counts in the whole of what was asked.
        err.print(f"      asked: [bold]{escape(text)}[/]", soft_wrap=True)
        raise


def _tell(items: Iterable[object], limit: int | None) -> None:
    for item in islice(items, limit):
        typer.echo(msgspec.json.encode(item).decode())
