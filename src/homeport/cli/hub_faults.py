"""`homeport hub fault-messages`: which hubs let devices break their own connections by special messages."""

from typing import Annotated

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, admin, out


def fault_messages(
    name: Annotated[str | None, typer.Argument(help="Name of the hub; without one, all are listed.")] = None,
    enabled: Annotated[
        bool | None, typer.Option("--on/--off", help="Obey them, or take them for telemetry.", show_default=False)
    ] = None,
    data: DataOption = None,
) -> None:
    """Say or set whether a hub obeys devices' fault injection messages; needs `homeport serve --fault-lab`."""
    with admin(data) as client:
        if name is not None and enabled is not None:
            told = [client.switch_fault_messages(name, enabled=enabled)]
        else:
            told = [each for each in client.fault_messages() if name is None or each.hub.lower() == name.lower()]
    for each in told:
        text = "devices may break their own connections" if each.enabled else "fault messages are telemetry"
        out.print(f"Hub [bold]{escape(each.hub)}[/]: {text}.")
    if not told:
        raise typer.Exit(1)
