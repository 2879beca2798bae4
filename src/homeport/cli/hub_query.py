"""`homeport hub query` and `homeport hub statistics`: what lives in a hub."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, err, out
from homeport.cli.hub_access import HubOption, compact, hub, hub_names
from homeport.cli.listing import plain_table, print_json

_TABLE_ROWS = 100
_WIDEST = 60


def query(
    text: Annotated[
        str,
        typer.Argument(help="A query, or what stands after WHERE, such as \"tags.site = 'north'\"; nothing is all."),
    ] = "",
    hub_name: HubOption = None,
    data: DataOption = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Stop after so many rows.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Ask a hub about its devices, modules or jobs; `-o json` prints one document a line, as many as there are."""
    asked = _query(text)
    with hub(hub_name, data) as client:
        try:
            if output is Output.JSON:
                for row in islice(client.query(asked), limit):
                    typer.echo(msgspec.json.encode(row).decode())
                return
            most = limit or _TABLE_ROWS
            rows = list(islice(client.query(asked, page_size=min(most + 1, 1000)), most + 1))
        except Exception:
            # The refusal names a position; it counts in the whole of what was asked.
            err.print(f"      asked: [bold]{escape(asked)}[/]", soft_wrap=True)
            raise
    _tell(rows[:most])
    if len(rows) > most:
        err.print(f"[dim]Only the first {most} rows; --limit tells of more, -o json of all.[/]")


def statistics(hub_name: HubOption = None, data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """Count the devices of the server's hubs: all, disabled, connected."""
    found = {}
    for name in hub_names(hub_name, data):
        with hub(hub_name or name, data) as client:
            found[name] = (client.get_registry_statistics(), client.get_service_statistics())
    if output is Output.JSON:
        print_json(
            {
                name: {
                    "totalDeviceCount": devices.total_device_count,
                    "enabledDeviceCount": devices.enabled_device_count,
                    "disabledDeviceCount": devices.disabled_device_count,
                    "connectedDeviceCount": service.connected_device_count,
                }
                for name, (devices, service) in found.items()
            }
        )
        return
    table = plain_table("hub")
    for head in ("devices", "enabled", "disabled", "connected"):
        table.add_column(head, justify="right")
    for name, (devices, service) in found.items():
        numbers = (devices.total_device_count, devices.enabled_device_count, devices.disabled_device_count)
        table.add_row(escape(name), *(f"{each:,}" for each in numbers), f"{service.connected_device_count:,}")
    out.print(table)


def _query(text: str) -> str:
    words = text.strip()
    if words.upper().startswith("SELECT "):
        return words
    return f"SELECT * FROM devices WHERE {words}" if words else "SELECT * FROM devices"  # noqa: S608  # no SQL


def _tell(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        err.print("[dim]nothing[/]")
        return
    told = [_twin(row) if _is_twin(row) else row for row in rows]
    heads = list(dict.fromkeys(name for row in told for name in row))
    table = plain_table(*heads)
    for row in told:
        table.add_row(*(escape(_cell(row.get(name))) for name in heads))
    out.print(table)


def _is_twin(row: Mapping[str, Any]) -> bool:
    return {"deviceId", "properties", "tags", "deviceEtag"} <= row.keys()


def _twin(row: Mapping[str, Any]) -> dict[str, Any]:
    """Choose what of a whole twin fits a line."""
    sections = {
        name: {key: value for key, value in row["properties"].get(name, {}).items() if not key.startswith("$")}
        for name in ("desired", "reported")
    }
    return {
        "device": row["deviceId"] + (f"/{row['moduleId']}" if row.get("moduleId") else ""),
        "status": row.get("status"),
        "connection": row.get("connectionState"),
        "tags": row["tags"] or None,
        "desired": sections["desired"] or None,
        "reported": sections["reported"] or None,
    }


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value if len(value) <= _WIDEST else value[: _WIDEST - 1] + "…"
    return compact(value, _WIDEST)
