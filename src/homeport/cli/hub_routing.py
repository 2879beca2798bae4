"""`homeport hub route|endpoint|enrichment …`: where the messages of a hub of this server go."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, admin, err, fail, out
from homeport.cli.listing import plain_table, print_json

routes = typer.Typer(help="Routes: which messages go to which endpoints.", no_args_is_help=True, add_completion=False)
endpoints = typer.Typer(
    help="Endpoints that routes can send messages to: event hubs of ours, webhooks, storage.",
    no_args_is_help=True,
    add_completion=False,
)
enrichments = typer.Typer(
    help="Enrichments: properties that messages are given on their way.", no_args_is_help=True, add_completion=False
)

HubArgument = Annotated[str, typer.Argument(help="Name of the hub.")]
EndpointOption = Annotated[
    list[str], typer.Option("--endpoint", help="Where to; `events` is the built-in endpoint. Repeatable.")
]
SourceOption = Annotated[
    str,
    typer.Option(
        "--source",
        help="DeviceMessages, TwinChangeEvents, DeviceLifecycleEvents, DeviceConnectionStateEvents, "
        "DeviceJobLifecycleEvents or DigitalTwinChangeEvents.",
    ),
]
ConditionOption = Annotated[
    str, typer.Option("--condition", help="In Azure's routing query language, such as \"level = 'hot'\".")
]


# ---------------------------------------------------------------- routes


@routes.command("set")
def set_route(
    hub: HubArgument,
    name: Annotated[str, typer.Argument(help="Name of the route.")],
    endpoint: EndpointOption,
    source: SourceOption = "DeviceMessages",
    condition: ConditionOption = "true",
    enabled: Annotated[bool, typer.Option("--on/--off", help="Whether it counts.")] = True,
    data: DataOption = None,
) -> None:
    """Make a route, or replace it."""
    with admin(data) as client:
        made = client.put_hub_route(hub, name, endpoints=endpoint, source=source, condition=condition, enabled=enabled)
    state = "" if made.is_enabled else " (off)"
    out.print(
        f"Route [bold]{escape(made.name)}[/]{state}: {made.source} where {escape(made.condition)} "
        f"to {escape(', '.join(made.endpoint_names))}.",
        soft_wrap=True,
    )


@routes.command("fallback")
def fallback(
    hub: HubArgument,
    enabled: Annotated[bool, typer.Option("--on/--off", help="Whether it counts.")],
    data: DataOption = None,
) -> None:
    """Say whether device messages that no route takes go to the built-in endpoint, or nowhere."""
    with admin(data) as client:
        client.set_hub_fallback(hub, enabled=enabled)
    where = "go to the built-in endpoint" if enabled else "are dropped"
    out.print(f"Device messages of [bold]{escape(hub)}[/] that no route takes {where}.", soft_wrap=True)


@routes.command("list")
def list_routes(hub: HubArgument, data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the routes of a hub, the fallback route last."""
    with admin(data) as client:
        found = client.hub_routes(hub)
    if output is Output.JSON:
        print_json(found)
        return
    table = plain_table("route", "source", "condition", "endpoints")
    for each in found:
        name = escape(each.name) + ("" if each.is_enabled else " [dim](off)[/]")
        table.add_row(name, each.source, escape(each.condition), escape(", ".join(each.endpoint_names)))
    out.print(table)


@routes.command("test")
def try_routes(
    hub: HubArgument,
    body: Annotated[str, typer.Option("--body", help="The message's body; JSON is taken as such.")] = "",
    body_file: Annotated[Path | None, typer.Option("--body-file", help="Read the body from a file.")] = None,
    properties: Annotated[
        list[str] | None, typer.Option("--property", help="An application property, name=value. Repeatable.")
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option("--system", help="A system property, such as contentType=text/plain. Repeatable."),
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="Whose twin counts.")] = None,
    source: SourceOption = "DeviceMessages",
    condition: Annotated[
        str | None, typer.Option("--condition", help="Try this condition alone, in place of the hub's routes.")
    ] = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what the routes would do with a message; nothing is sent."""
    from homeport.client import RouteTrial

    text = body if body_file is None else body_file.read_text()
    trial = RouteTrial(
        routing_source=source,
        body=_json_or_text(text),
        app_properties=_pairs(properties),
        system_properties=_pairs(system),
        device_id=device,
        condition=condition,
    )
    with admin(data) as client:
        told = client.test_hub_routes(hub, trial)
    if output is Output.JSON:
        print_json(told)
        return
    colours = {"true": "green", "undefined": "yellow"}
    for each in told.routes:
        out.print(f"[{colours.get(each.result, 'dim')}]{each.result:<9}[/]  {escape(each.name)}", soft_wrap=True)
    if condition is not None:
        return
    if not told.deliveries:
        out.print("The message would be dropped.")
    for delivery in told.deliveries:
        given = ", ".join(f"{name}={value}" for name, value in delivery.properties.items())
        with_them = f" with {escape(given)}" if given else ""
        out.print(f"It would arrive at [bold]{escape(delivery.endpoint_name)}[/]{with_them}.", soft_wrap=True)


@routes.command("delete")
def delete_route(
    hub: HubArgument, name: Annotated[str, typer.Argument(help="Name of the route.")], data: DataOption = None
) -> None:
    """Remove a route."""
    with admin(data) as client:
        client.delete_hub_route(hub, name)
    out.print(f"Route [bold]{escape(name)}[/] is gone.", soft_wrap=True)


# ---------------------------------------------------------------- endpoints

NameArgument = Annotated[str, typer.Argument(help="Name of the endpoint.")]


@endpoints.command("event-hub")
def event_hub(
    hub: HubArgument,
    name: NameArgument,
    partitions: Annotated[
        int | None, typer.Option("--partitions", min=1, max=32, help="Fixed from then on.", show_default="4")
    ] = None,
    data: DataOption = None,
) -> None:
    """Make an endpoint that Event Hubs clients read, under its own name."""
    with admin(data) as client:
        made = client.put_hub_event_hub(hub, name, partitions=partitions)
    out.print(f"Endpoint [bold]{escape(made.name)}[/] has {made.partition_count} partitions.", soft_wrap=True)


@endpoints.command("webhook")
def webhook(
    hub: HubArgument,
    name: NameArgument,
    url: Annotated[str, typer.Argument(help="https address, or http on the loopback.")],
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Send requests without a signature.")] = False,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="PEM of the authority to trust there.")] = None,
    data: DataOption = None,
) -> None:
    """Make an endpoint that messages are posted to, or change its address."""
    with admin(data) as client:
        made = client.put_hub_webhook(
            hub, name, url, signed=not unsigned, ca_certificates=ca_file.read_text() if ca_file else None
        )
    err.print(f"Endpoint [bold]{escape(made.name)}[/] posts to {escape(made.url or '')}.", soft_wrap=True)
    if made.secret is not None:
        err.print(
            "The secret that signs its requests (Standard Webhooks), which nobody can tell again:", soft_wrap=True
        )
        typer.echo(made.secret)


@endpoints.command("storage")
def storage(
    hub: HubArgument,
    name: NameArgument,
    connection_string: Annotated[
        str | None,
        typer.Option(
            "--connection-string",
            envvar="HOMEPORT_STORAGE_CONNECTION_STRING",
            help="Of a storage account; the hub's own store if left out.",
        ),
    ] = None,
    container: Annotated[str | None, typer.Option("--container", help="Container of the account.")] = None,
    file_names: Annotated[
        str | None,
        typer.Option(
            "--file-names",
            help="With {iothub} {partition} {YYYY} {MM} {DD} {HH} {mm}, once each.",
            show_default="{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}",
        ),
    ] = None,
    seconds: Annotated[
        int | None, typer.Option("--seconds", min=1, max=720, help="A blob for so long.", show_default="300")
    ] = None,
    chunk: Annotated[int | None, typer.Option("--chunk", help="Or for so many bytes.", show_default="16777216")] = None,
    data: DataOption = None,
) -> None:
    """Make an endpoint that writes messages to blobs of JSON lines, or change how."""
    with admin(data) as client:
        made = client.put_hub_storage(
            hub,
            name,
            connection_string=connection_string,
            container=container,
            file_name_format=file_names,
            batch_seconds=seconds,
            max_chunk_bytes=chunk,
        )
    where = "the hub's own store" if made.storage == "built-in" else f"container {made.container}"
    out.print(
        f"Endpoint [bold]{escape(made.name)}[/] writes a blob to {escape(where)} every "
        f"{made.batch_frequency_in_seconds} s.",
        soft_wrap=True,
    )


@endpoints.command("list")
def list_endpoints(hub: HubArgument, data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the endpoints of a hub but the built-in one, and how delivery goes."""
    with admin(data) as client:
        found = client.hub_endpoints(hub)
    if output is Output.JSON:
        print_json(found)
        return
    table = plain_table("endpoint", "type", "where", "waiting", "last trouble")
    for each in found:
        where = each.url or each.container or each.storage or f"{each.partition_count} partitions"
        table.add_row(
            escape(each.name),
            each.type,
            escape(where),
            "" if each.waiting is None else str(each.waiting),
            escape(each.last_failure or ""),
        )
    out.print(table)


@endpoints.command("delete")
def delete_endpoint(hub: HubArgument, name: NameArgument, data: DataOption = None) -> None:
    """Remove an endpoint and what waits in it."""
    with admin(data) as client:
        client.delete_hub_endpoint(hub, name)
    out.print(f"Endpoint [bold]{escape(name)}[/] is gone, and its messages with it.", soft_wrap=True)


# ---------------------------------------------------------------- enrichments


@enrichments.command("set")
def set_enrichment(
    hub: HubArgument,
    key: Annotated[str, typer.Argument(help="Name of the property.")],
    value: Annotated[str, typer.Argument(help="A text, $iothubname, or a path such as $twin.tags.site.")],
    endpoint: EndpointOption,
    data: DataOption = None,
) -> None:
    """Give messages a property on their way to these endpoints, or change it."""
    with admin(data) as client:
        made = client.put_hub_enrichment(hub, key, value, endpoints=endpoint)
    out.print(
        f"Messages to {escape(', '.join(made.endpoint_names))} have [bold]{escape(made.key)}[/] = "
        f"{escape(made.value)}.",
        soft_wrap=True,
    )


@enrichments.command("list")
def list_enrichments(hub: HubArgument, data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the enrichments of a hub."""
    with admin(data) as client:
        found = client.hub_enrichments(hub)
    if output is Output.JSON:
        print_json(found)
        return
    table = plain_table("property", "value", "endpoints")
    for each in found:
        table.add_row(escape(each.key), escape(each.value), escape(", ".join(each.endpoint_names)))
    out.print(table)


@enrichments.command("delete")
def delete_enrichment(
    hub: HubArgument, key: Annotated[str, typer.Argument(help="Name of the property.")], data: DataOption = None
) -> None:
    """Remove an enrichment."""
    with admin(data) as client:
        client.delete_hub_enrichment(hub, key)
    out.print(f"Enrichment [bold]{escape(key)}[/] is gone.", soft_wrap=True)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text) if text.lstrip()[:1] in {"{", "["} else text
    except ValueError:
        return text


def _pairs(texts: list[str] | None) -> dict[str, str | None]:
    pairs: dict[str, str | None] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise fail(f"{text!r} is not name=value")
        pairs[name] = value
    return pairs
