"""`homeport hub files`: where a hub keeps the files that devices upload."""

from typing import Annotated, TypeVar

import typer
from msgspec import UNSET, UnsetType
from rich.markup import escape

from homeport.cli.console import DataOption, admin, fail, out
from homeport.client.hub_models import FileUploadChanges

T = TypeVar("T")


def files(
    name: Annotated[str, typer.Argument(help="Name of the hub.")],
    data: DataOption = None,
    connection_string: Annotated[
        str | None,
        typer.Option(
            "--connection-string",
            envvar="HOMEPORT_STORAGE_CONNECTION_STRING",
            help="Of a storage account to use, with AccountName and AccountKey.",
        ),
    ] = None,
    container: Annotated[str | None, typer.Option("--container", help="Container of the account.")] = None,
    built_in: Annotated[bool, typer.Option("--built-in", help="Use the store below the data directory.")] = False,
    life: Annotated[
        int | None, typer.Option("--life", min=60, max=86400, help="Seconds a device may take to upload.")
    ] = None,
    notifications: Annotated[
        bool | None, typer.Option("--notifications/--no-notifications", help="Whether services are told.")
    ] = None,
    writable: Annotated[
        bool, typer.Option("--writable", help="Print an address that writes, too: for imports and exports.")
    ] = False,
    enabled: Annotated[bool | None, typer.Option("--on/--off", help="Whether files are taken at all.")] = None,
) -> None:
    """Show or change where a hub keeps the files of its devices; prints an address that reads them for an hour."""
    if built_in and (connection_string or container):
        raise fail("--built-in goes without --connection-string and --container")
    changes = FileUploadChanges(
        enabled=_given(enabled),
        connection_string=None if built_in else _given(connection_string),
        container=None if built_in else _given(container),
        sas_life_in_seconds=_given(life),
        notifications=_given(notifications),
    )
    with admin(data) as client:
        told = None if changes == FileUploadChanges() else client.set_hub_file_upload(name, changes)
        if told is None or writable:
            told = client.hub_file_upload(name, writable=writable)
    where = "below the data directory" if told.storage == "built-in" else escape(told.storage)
    if not told.enabled:
        out.print(f"Hub [bold]{escape(name)}[/] takes no files (--on changes that).")
        return
    services = "services are told" if told.notifications else "nobody is told"
    out.print(f"Hub [bold]{escape(name)}[/] keeps files {where}; {services}.", soft_wrap=True)
    able = "Readable and writable" if writable else "Readable"
    out.print(f"A device has {told.sas_life_in_seconds} s to upload one. {able} for an hour from now:")
    typer.echo(told.container_url)


def _given(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value
