"""`homeport hub consumer-group …`: names under which readers share a hub's events."""

from typing import Annotated

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, admin, out
from homeport.cli.listing import plain_table, print_json

app = typer.Typer(
    help="Consumer groups: names under which readers share a hub's events.", no_args_is_help=True, add_completion=False
)

HubArgument = Annotated[str, typer.Argument(help="Name of the hub.")]
GroupArgument = Annotated[str, typer.Argument(help="Name of the consumer group.")]
EndpointOption = Annotated[str, typer.Option("--endpoint", help="Endpoint of the hub; `events` is the built-in one.")]


@app.command("list")
def list_groups(
    hub: HubArgument,
    endpoint: EndpointOption = "events",
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the consumer groups of an endpoint; $Default is always there."""
    with admin(data) as client:
        groups = client.consumer_groups(hub, endpoint)
    if output is Output.JSON:
        print_json(groups)
        return
    table = plain_table("consumer group", "created")
    for group in groups:
        table.add_row(escape(group.name), f"{group.created_date_time_utc:%Y-%m-%d %H:%M}Z")
    out.print(table)


@app.command("create")
def create(
    hub: HubArgument, group: GroupArgument, endpoint: EndpointOption = "events", data: DataOption = None
) -> None:
    """Make a consumer group; up to 20 besides $Default. One that is there already stays as it is."""
    with admin(data) as client:
        made = client.create_consumer_group(hub, group, endpoint)
    out.print(f"Consumer group [bold]{escape(made.name)}[/] reads {escape(endpoint)} of hub {escape(hub)}.")


@app.command("delete")
def delete(
    hub: HubArgument, group: GroupArgument, endpoint: EndpointOption = "events", data: DataOption = None
) -> None:
    """Remove a consumer group; who reads in it goes on until it connects anew."""
    with admin(data) as client:
        client.delete_consumer_group(hub, group, endpoint)
    out.print(f"Consumer group [bold]{escape(group)}[/] of hub {escape(hub)} is removed.")
