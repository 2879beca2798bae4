"""`homeport why`: the last attempts of one device, each with what was checked and what to do about it."""

from typing import Annotated

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, admin, err, out
from homeport.cli.listing import print_json


def why(
    registration_id: Annotated[str, typer.Argument(help="The device's registration id.")],
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="How many attempts, newest first.")] = 5,
) -> None:
    """Say why a device was, or was not, provisioned."""
    with admin(data) as client:
        attempts = client.why(registration_id, limit=limit)
    if output is Output.JSON:
        print_json(attempts)
        return
    if not attempts:
        err.print(f"No attempt of [bold]{escape(registration_id)}[/] is on record: it has not reached this server.")
        raise typer.Exit(1)
    for attempt in attempts:
        good = attempt.outcome in {"assigned", "assigning", "challenged"}
        colour = "green" if good else "red"
        code = f" {attempt.code}" if attempt.code else ""
        out.print(
            f"[bold]{attempt.at:%Y-%m-%d %H:%M:%S}Z[/]  [{colour}]{attempt.outcome}{code}[/]  "
            f"{attempt.transport} from {attempt.remote_address}  [dim]{attempt.tracking_id}[/]",
            soft_wrap=True,
        )
        for check in attempt.checks:
            mark = "[green]✓[/]" if check.passed else "[red]✗[/]"
            out.print(f"  {mark} {check.name:<22} {escape(check.detail)}", soft_wrap=True)
        # The check that failed has said it already.
        if attempt.reason and attempt.reason not in {check.detail for check in attempt.checks}:
            out.print(f"  [bold]{escape(attempt.reason)}[/]", soft_wrap=True)
        if attempt.advice:
            out.print(f"  → {escape(attempt.advice)}", soft_wrap=True)
        out.print()
