"""`homeport device …`: shut one device out, or let it in again."""

from typing import Annotated

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, fail, out, service

app = typer.Typer(help="Single devices: shut out, let in again.", no_args_is_help=True, add_completion=False)

IdArgument = Annotated[str, typer.Argument(help="The device's registration id.")]


@app.command("disable")
def disable(registration_id: IdArgument, data: DataOption = None) -> None:
    """Keep one device from registering, whichever group it belongs to; the group's other devices are not touched."""
    with service(data) as client:
        client.disable_device(registration_id)
    out.print(f"[bold]{escape(registration_id)}[/] is shut out: it can register no more. Its hub still knows it.")


@app.command("enable")
def enable(registration_id: IdArgument, data: DataOption = None) -> None:
    """Take back what `disable` did."""
    from homeport.client import NotFoundError

    with service(data) as client:
        try:
            restored = client.enable_device(registration_id)
        except NotFoundError:
            raise fail(f"{registration_id} has no individual enrollment, so it is not shut out by one.") from None
    how = "through its own enrollment" if restored else "through its group"
    out.print(f"[bold]{escape(registration_id)}[/] may register again, {how}.")
