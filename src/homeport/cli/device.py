"""`homeport device …`: the devices of a hub, and who may register. A module for each noun; here is the list of all."""

from typing import Annotated

import typer
from rich.markup import escape

from homeport.cli import device_identities, device_messages, device_modules, device_twin
from homeport.cli.console import DataOption, fail, out, service

app = typer.Typer(
    help="Devices of a hub: identities, twins, methods, messages, modules; shut one out of registering.",
    no_args_is_help=True,
    add_completion=False,
)
app.command("list")(device_identities.list_devices)
app.command("show")(device_identities.show)
app.command("create")(device_identities.create)
app.command("update")(device_identities.update)
app.command("delete")(device_identities.delete)
app.command("keys")(device_identities.keys)
app.add_typer(device_twin.app, name="twin")
app.add_typer(device_modules.app, name="module")
app.command("call")(device_messages.call)
app.command("send")(device_messages.send)
app.command("purge")(device_messages.purge)
app.command("telemetry")(device_messages.telemetry)

IdArgument = Annotated[str, typer.Argument(help="The device's registration id.")]


@app.command("disable")
def disable(registration_id: IdArgument, data: DataOption = None) -> None:
    """Keep one device from registering, whichever group it belongs to; the group's other devices are not touched."""
    with service(data) as client:
        client.disable_device(registration_id)
    out.print(
        f"[bold]{escape(registration_id)}[/] is shut out: it can register no more. Its hub still knows it; "
        "`homeport device update --status disabled` cuts it off there.",
        soft_wrap=True,
    )


@app.command("enable")
def enable(registration_id: IdArgument, data: DataOption = None) -> None:
    """Take back what `disable` did."""
    from homeport.client import NotFoundError

    with service(data) as client:
        try:
            restored = client.enable_device(registration_id)
        except NotFoundError:
            raise fail(f"{registration_id} has no individual enrollment, so it is not shut out by one.") from None
    how = "through its own enrollment" if restored else "through its group"
    out.print(f"[bold]{escape(registration_id)}[/] may register again, {how}.")
