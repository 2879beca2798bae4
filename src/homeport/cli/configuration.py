"""`homeport configuration …`: what the devices that a condition targets are to have."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, fail, out
from homeport.cli.hub_access import HubOption, compact, hub, moment
from homeport.cli.listing import plain_table, print_json

if TYPE_CHECKING:
    from homeport.client import Configuration

app = typer.Typer(
    help="Configurations: desired properties, or Edge deployments, for all devices of a kind.",
    no_args_is_help=True,
    add_completion=False,
)

IdArgument = Annotated[str, typer.Argument(help="The configuration's id.")]
_KINDS = {"device_content": "devices", "module_content": "modules", "modules_content": "Edge deployment"}


@app.command("list")
def list_configurations(
    hub_name: HubOption = None, data: DataOption = None, output: OutputOption = Output.TABLE
) -> None:
    """List the configurations, the highest priority first."""
    with hub(hub_name, data) as client:
        found = sorted(client.configurations(), key=lambda each: (-each.priority, each.id))
    if output is Output.JSON:
        print_json(found)
        return
    table = plain_table()
    for head in ("configuration", "for", "target", "priority", "targeted", "applied", "changed"):
        table.add_column(head, no_wrap=head != "target")
    for each in found:
        results = each.system_metrics.results
        table.add_row(
            escape(each.id),
            _kind(each),
            escape(each.target_condition or "nobody"),
            str(each.priority),
            str(results.get("targetedCount", "")),
            str(results.get("appliedCount", "")),
            moment(each.last_updated_time_utc),
        )
    out.print(table)


@app.command("show")
def show(
    configuration_id: IdArgument,
    hub_name: HubOption = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a configuration with its content and metrics."""
    with hub(hub_name, data) as client:
        found = client.get_configuration(configuration_id)
    if output is Output.JSON:
        print_json(found)
        return
    pairs = {
        "configuration": escape(found.id),
        "for": _kind(found),
        "target": escape(found.target_condition or "nobody"),
        "priority": str(found.priority),
        "labels": escape(compact(found.labels)) if found.labels else "",
        "created": moment(found.created_time_utc),
        "changed": moment(found.last_updated_time_utc),
    }
    for name, value in pairs.items():
        if value:
            out.print(f"[bold]{name:<14}[/] {value}", soft_wrap=True)
    out.print("[bold]content[/]")
    text = msgspec.json.format(msgspec.json.encode(found.content)).decode()
    out.print(escape(text), soft_wrap=True)
    _tell_metrics(found)


@app.command("metrics")
def metrics(
    configuration_id: IdArgument,
    hub_name: HubOption = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show how many devices each metric counted when the hub last looked."""
    with hub(hub_name, data) as client:
        found = client.get_configuration(configuration_id)
    if output is Output.JSON:
        print_json({"systemMetrics": found.system_metrics, "metrics": found.metrics})
        return
    _tell_metrics(found)


@app.command("create")
def create(
    file: Annotated[Path, typer.Argument(help="JSON or YAML, as the REST API takes it; - reads standard input.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Change the one with this id, if there is one; its content stays.")
    ] = False,
    hub_name: HubOption = None,
    data: DataOption = None,
) -> None:
    """Create a configuration from a file."""
    wanted = _read(file)
    from homeport.client import NotFoundError

    with hub(hub_name, data) as client:
        standing = None
        if replace:
            try:
                standing = client.get_configuration(wanted.id)
            except NotFoundError:
                standing = None
        if standing is None:
            made = client.create_configuration(wanted)
        else:
            if standing.content != wanted.content:
                raise fail(
                    f"the content of {escape(wanted.id)} is another, and content cannot be changed: "
                    "create a configuration with another id and a higher priority",
                )
            made = client.update_configuration(msgspec.structs.replace(wanted, etag=standing.etag))
    word = "created" if standing is None else "changed"
    out.print(
        f"Configuration [bold]{escape(made.id)}[/] is {word}: {_kind(made)}, "
        f"{escape(made.target_condition or 'targeting nobody')}, priority {made.priority}.",
        soft_wrap=True,
    )


@app.command("delete")
def delete(configuration_id: IdArgument, hub_name: HubOption = None, data: DataOption = None) -> None:
    """Delete a configuration; devices get what the next one in line says."""
    with hub(hub_name, data) as client:
        client.delete_configuration(configuration_id)
    out.print(f"Configuration [bold]{escape(configuration_id)}[/] is deleted.")


def _kind(configuration: "Configuration") -> str:
    return next((word for member, word in _KINDS.items() if getattr(configuration.content, member)), "")


def _tell_metrics(configuration: "Configuration") -> None:
    table = plain_table("metric")
    table.add_column("devices", justify="right")
    table.add_column("query")
    for each in (configuration.system_metrics, configuration.metrics):
        for name, query in each.queries.items():
            table.add_row(escape(name), str(each.results.get(name, "not yet")), escape(query))
    if table.row_count:
        out.print(table)


def _read(file: Path) -> "Configuration":
    """Read a document, or end the command with what is wrong in it."""
    from homeport.ascode.plain_yaml import read_plain
    from homeport.client import Configuration

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        return msgspec.convert(read_plain(text), Configuration)
    except (OSError, ValueError) as error:
        raise fail(f"{escape(str(file))}: {escape(str(error))}", code=2) from error
