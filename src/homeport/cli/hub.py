"""`homeport hub …`: the hubs devices are assigned to."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from homeport.cli.console import DataOption, Output, OutputOption, admin, fail, out

app = typer.Typer(
    help="Hubs: create one here, link one elsewhere, list them.", no_args_is_help=True, add_completion=False
)

WeightOption = Annotated[
    int, typer.Option("--weight", min=1, max=1000, help="Share of the devices, relative to the other hubs.")
]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name of the hub, for you.")],
    hostname: Annotated[
        list[str], typer.Option("--hostname", help="Host name or address devices are sent to; repeatable.")
    ],
    data: DataOption = None,
    weight: WeightOption = 1,
) -> None:
    """Create a hub in the running server and link it at once."""
    with admin(data) as client:
        hub = client.create_hub(name, host_names=hostname, allocation_weight=weight)
    out.print(f"Hub [bold]{hub.name}[/] serves {hub.host_name}; its share of new devices is {hub.allocation_weight}.")


@app.command("link")
def link(
    connection_string: Annotated[
        str,
        typer.Option(
            "--connection-string",
            envvar="HOMEPORT_LINK_CONNECTION_STRING",
            help="Of another Homeport or Azure IoT Hub: RegistryRead, RegistryWrite and ServiceConnect.",
        ),
    ],
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", help="PEM of the authority to trust there, if the system does not.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name for the link; the host's first label if left out.")
    ] = None,
    data: DataOption = None,
    weight: WeightOption = 1,
) -> None:
    """Link a hub that runs elsewhere, so that devices can be assigned to it."""
    fields = dict(part.split("=", 1) for part in connection_string.split(";") if "=" in part)
    if "HostName" not in fields:
        raise fail("the connection string has no HostName")
    with admin(data) as client:
        hub = client.link_hub(
            name or fields["HostName"].split(":")[0].split(".")[0],
            connection_string=connection_string,
            allocation_weight=weight,
            ca_certificates=ca_file.read_text() if ca_file else None,
        )
    out.print(
        f"Hub [bold]{hub.name}[/] at {hub.host_name} is linked; its share of new devices is {hub.allocation_weight}."
    )


@app.command("unlink")
def unlink(name: Annotated[str, typer.Argument(help="Name of the linked hub.")], data: DataOption = None) -> None:
    """Stop assigning devices to a hub; the devices that live there stay."""
    with admin(data) as client:
        client.unlink_hub(name)
    out.print(f"Hub [bold]{name}[/] takes no more new devices.")


@app.command("list")
def list_hubs(data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the linked hubs."""
    with admin(data) as client:
        hubs = list(client.hubs())
    if output is Output.JSON:
        typer.echo(msgspec.json.format(msgspec.json.encode(hubs)).decode())
        return
    table = Table(
        "hub", "host name", "weight", "takes part", "served by", box=None, pad_edge=False, header_style="bold"
    )
    for hub in hubs:
        served_by = "this server" if hub.local else "another host"
        table.add_row(
            hub.name,
            hub.host_name,
            str(hub.allocation_weight),
            "yes" if hub.apply_allocation_policy else "no",
            served_by,
        )
    out.print(table)
