"""`homeport hub …`: the hubs devices are assigned to."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from homeport.cli import hub_certificate
from homeport.cli.console import DataOption, Output, OutputOption, admin, fail, out
from homeport.cli.consumer_group import app as consumer_groups
from homeport.cli.hub_events import events
from homeport.cli.hub_faults import fault_messages
from homeport.cli.hub_files import files
from homeport.cli.hub_query import query, statistics
from homeport.cli.hub_queues import messages
from homeport.cli.hub_routing import endpoints, enrichments, routes
from homeport.cli.hub_transfers import export_devices, import_devices
from homeport.cli.listing import plain_table, print_json
from homeport.client import LinkedHub

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


@app.command("set")
def set_hub(
    name: Annotated[str, typer.Argument(help="Name of the linked hub.")],
    weight: Annotated[
        int | None, typer.Option("--weight", min=1, max=1000, help="Share of the devices, relative to the other hubs.")
    ] = None,
    max_devices: Annotated[
        int | None, typer.Option("--max-devices", min=0, help="Take no new devices beyond so many; 0: no limit.")
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="Where the hub is, for lowest latency; empty: nowhere.")
    ] = None,
    take_part: Annotated[
        bool | None,
        typer.Option(
            "--take-part/--no-take-part",
            help="Whether policies choose it; without, its devices move away.",
            show_default=False,
        ),
    ] = None,
    data: DataOption = None,
) -> None:
    """Change how a hub takes part in allocation."""
    with admin(data) as client:
        hub = client.update_hub(
            name,
            allocation_weight=weight,
            apply_allocation_policy=take_part,
            max_devices=max_devices,
            region=region,
        )
    out.print(f"Hub [bold]{escape(hub.name)}[/]: {escape(_standing(hub))}.", soft_wrap=True)


@app.command("drain")
def drain(
    name: Annotated[str, typer.Argument(help="Name of the linked hub.")],
    undo: Annotated[bool, typer.Option("--undo", help="Let it take new devices again.")] = False,
    data: DataOption = None,
) -> None:
    """Send no new devices to a hub; those that live there keep it."""
    with admin(data) as client:
        hub = client.update_hub(name, draining=not undo)
    out.print(f"Hub [bold]{escape(hub.name)}[/]: {escape(_standing(hub))}.", soft_wrap=True)


@app.command("check")
def check(
    name: Annotated[str | None, typer.Argument(help="Name of the linked hub; all if left out.")] = None,
    data: DataOption = None,
) -> None:
    """Look at the links now: reachable or not, credentials and rights sufficient or not; exit code 1 if one is not."""
    with admin(data) as client:
        names = [name] if name else [hub.name for hub in client.hubs()]
        hubs = [client.check_hub(each) for each in names]
    for hub in hubs:
        detail = f"  {escape(hub.health.detail)}" if hub.health and hub.health.detail else ""
        out.print(f"{_health(hub)}  [bold]{escape(hub.name)}[/]  {escape(hub.host_name)}{detail}", soft_wrap=True)
    if any(hub.health is None or hub.health.state != "healthy" for hub in hubs):
        raise typer.Exit(1)


@app.command("list")
def list_hubs(data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the linked hubs."""
    with admin(data) as client:
        hubs = list(client.hubs())
    if output is Output.JSON:
        print_json(hubs)
        return
    table = plain_table("hub", "host name", "devices", "weight", "new devices", "region", "served by", "health")
    for hub in hubs:
        limit = f" of {hub.max_devices}" if hub.max_devices is not None else ""
        table.add_row(
            escape(hub.name),
            escape(hub.host_name),
            f"{hub.devices}{limit}",
            str(hub.allocation_weight),
            _takes(hub),
            escape(hub.region or ""),
            "this server" if hub.local else "another host",
            _health(hub),
        )
    out.print(table)


app.command("files")(files)
app.command("fault-messages")(fault_messages)
app.command("messages")(messages)
app.add_typer(hub_certificate.app, name="certificate")
app.command("query")(query)
app.command("statistics")(statistics)
app.add_typer(routes, name="route")
app.add_typer(endpoints, name="endpoint")
app.add_typer(enrichments, name="enrichment")
app.command("events")(events)
app.add_typer(consumer_groups, name="consumer-group")
app.command("export")(export_devices)
app.command("import")(import_devices)


def _standing(hub: LinkedHub) -> str:
    limit = "" if hub.max_devices is None else f" of at most {hub.max_devices}"
    region = f", region {hub.region}" if hub.region else ""
    return f"weight {hub.allocation_weight}, {hub.devices} devices{limit}, new devices: {_takes(hub)}{region}"


def _takes(hub: LinkedHub) -> str:
    if not hub.apply_allocation_policy:
        return "only if named"
    if hub.draining:
        return "drained"
    return "full" if hub.max_devices is not None and hub.devices >= hub.max_devices else "yes"


def _health(hub: LinkedHub) -> str:
    state = hub.health.state if hub.health else "not checked yet"
    colour = "green" if state == "healthy" else "dim" if hub.health is None else "red"
    return f"[{colour}]{state}[/]"
