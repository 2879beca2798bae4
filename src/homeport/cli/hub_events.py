"""`homeport hub events`: how long a hub of the running server keeps events, and where they are read."""

from typing import Annotated

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, admin, out
from homeport.cli.listing import plain_table, print_json

_MEBIBYTE = 1 << 20


def events(
    name: Annotated[str, typer.Argument(help="Name of the hub.")],
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="One endpoint; `events` is the built-in one.")
    ] = None,
    retention_days: Annotated[
        int | None, typer.Option("--retention-days", min=1, max=7, help="Keep events for so many days.")
    ] = None,
    max_megabytes: Annotated[
        int | None, typer.Option("--max-megabytes", min=0, help="Keep no more than this, in MiB; 0: no limit.")
    ] = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show or change how long a hub keeps events for readers, and how much of them."""
    with admin(data) as client:
        if retention_days is None and max_megabytes is None:
            told = client.event_hubs(name) if endpoint is None else [client.event_hub(name, endpoint)]
        else:
            size = None if max_megabytes is None else max_megabytes * _MEBIBYTE
            told = [client.update_event_hub(name, endpoint or "events", retention_days=retention_days, max_bytes=size)]
    if output is Output.JSON:
        print_json(told)
        return
    table = plain_table("endpoint", "event hub name", "partitions", "kept for", "at most")
    for each in told:
        days = f"{each.retention_days} day{'' if each.retention_days == 1 else 's'}"
        size_limit = "" if each.max_bytes is None else f"{each.max_bytes / _MEBIBYTE:g} MiB"
        table.add_row(escape(each.name), escape(each.event_hub_name), str(each.partition_count), days, size_limit)
    out.print(table)
