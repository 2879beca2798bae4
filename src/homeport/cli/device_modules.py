"""`homeport device module …`: the modules of a device."""

from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, out
from homeport.cli.device_identities import DeviceArgument
from homeport.cli.hub_access import HubOption, hub, moment
from homeport.cli.listing import plain_table, print_json
from homeport.client import Module

app = typer.Typer(help="Modules: list, create, delete.", no_args_is_help=True, add_completion=False)

ModuleArgument = Annotated[str, typer.Argument(help="The module's id.")]


@app.command("list")
def list_modules(
    device_id: DeviceArgument, hub_name: HubOption = None, data: DataOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the modules of a device."""
    with hub(hub_name, data) as client:
        modules = client.modules(device_id)
    if output is Output.JSON:
        print_json([_without_keys(module) for module in modules])
        return
    table = plain_table("module", "connection", "last active", "managed by")
    for module in modules:
        connected = module.connection_state == "Connected"
        table.add_row(
            escape(module.module_id),
            "[green]connected[/]" if connected else "[dim]disconnected[/]",
            moment(module.last_activity_time),
            escape(module.managed_by or ""),
        )
    out.print(table)


@app.command("create")
def create(
    device_id: DeviceArgument, module_id: ModuleArgument, hub_name: HubOption = None, data: DataOption = None
) -> None:
    """Make a module; the hub makes its keys."""
    with hub(hub_name, data) as client:
        client.create_module(device_id, module_id)
    out.print(f"[bold]{escape(module_id)}[/] is a module of {escape(device_id)}.", soft_wrap=True)


@app.command("delete")
def delete(
    device_id: DeviceArgument, module_id: ModuleArgument, hub_name: HubOption = None, data: DataOption = None
) -> None:
    """Delete a module with its twin."""
    with hub(hub_name, data) as client:
        client.delete_module(device_id, module_id)
    out.print(f"[bold]{escape(module_id)}[/] is gone from {escape(device_id)}.", soft_wrap=True)


def _without_keys(module: Module) -> Module:
    if module.authentication is None or module.authentication.symmetric_key is None:
        return module
    hidden = msgspec.structs.replace(module.authentication, symmetric_key=None)
    return msgspec.structs.replace(module, authentication=hidden)
