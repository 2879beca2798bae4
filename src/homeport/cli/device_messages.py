"""`homeport device call`, `send`, `purge`, `telemetry`: what passes between a hub and one of its devices."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, fail, out
from homeport.cli.device_identities import DeviceArgument
from homeport.cli.device_twin import ModuleOption
from homeport.cli.hub_access import HubOption, hub, json_value
from homeport.cli.listing import print_json
from homeport.client.hub_message_models import Acknowledgement, CloudToDeviceMessage
from homeport.clock import SystemClock


def call(
    device_id: DeviceArgument,
    method: Annotated[str, typer.Argument(help="Name of the direct method.")],
    payload: Annotated[str, typer.Argument(help="JSON, or @ and a file.")] = "null",
    hub_name: HubOption = None,
    data: DataOption = None,
    module: ModuleOption = None,
    timeout: Annotated[int, typer.Option("--timeout", min=5, max=300, help="Seconds the device may take.")] = 30,
    connect_timeout: Annotated[
        int, typer.Option("--connect-timeout", min=0, max=300, help="Seconds to wait for it to connect.")
    ] = 0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Call a direct method and print the device's answer; exit status 1 if the device's status is 400 or more."""
    value = json_value(payload, "the payload")
    with hub(hub_name, data) as client:
        answer = client.call_method(
            device_id,
            method,
            value,
            module_id=module,
            response_timeout=timeout,
            connect_timeout=connect_timeout,
        )
    if output is Output.JSON:
        print_json(answer)
    else:
        colour = "green" if answer.status < 400 else "red"
        out.print(
            f"[{colour}]{answer.status}[/]  {escape(msgspec.json.encode(answer.payload).decode())}", soft_wrap=True
        )
    if answer.status >= 400:
        raise typer.Exit(1)


def send(
    device_id: DeviceArgument,
    body: Annotated[str, typer.Argument(help="The message, or @ and a file.")],
    hub_name: HubOption = None,
    data: DataOption = None,
    module: ModuleOption = None,
    properties: Annotated[
        list[str] | None, typer.Option("--property", help="NAME=VALUE; repeatable.", show_default="none")
    ] = None,
    content_type: Annotated[str | None, typer.Option("--content-type", help="Such as application/json.")] = None,
    message_id: Annotated[str | None, typer.Option("--message-id", help="To be found in the feedback.")] = None,
    correlation_id: Annotated[str | None, typer.Option("--correlation-id", help="For the device.")] = None,
    life: Annotated[
        int | None,
        typer.Option("--life", min=1, max=172_800, help="Seconds it may wait.", show_default="an hour"),
    ] = None,
    acknowledgement: Annotated[
        Acknowledgement, typer.Option("--ack", help="Which ends of it are told as feedback.")
    ] = Acknowledgement.NONE,
) -> None:
    """Put a message into a device's queue; it is delivered when the device is connected and takes messages."""
    pairs = [text.partition("=") for text in properties or ()]
    if any(not name or not equals for name, equals, _ in pairs):
        raise fail("a --property is written NAME=VALUE", code=2)
    message = CloudToDeviceMessage(
        body=_body(body),
        message_id=message_id,
        correlation_id=correlation_id,
        content_type=content_type,
        expiry_time=None if life is None else SystemClock().now() + timedelta(seconds=life),
        acknowledgement=acknowledgement,
        properties={name: value for name, _, value in pairs},
    )
    with hub(hub_name, data) as client:
        client.send_message(device_id, message, module_id=module)
        waiting = client.get_device(device_id).cloud_to_device_message_count if module is None else None
    more = "" if waiting is None else f", which holds {waiting}"
    out.print(f"The message is in the queue of [bold]{escape(device_id)}[/]{more}.", soft_wrap=True)


def purge(device_id: DeviceArgument, hub_name: HubOption = None, data: DataOption = None) -> None:
    """Drop all messages that wait for a device."""
    with hub(hub_name, data) as client:
        count = client.purge_messages(device_id)
    dropped = "1 message" if count == 1 else f"{count} messages"
    out.print(f"Dropped {dropped} of [bold]{escape(device_id)}[/].", soft_wrap=True)


def telemetry(
    device_id: DeviceArgument,
    hub_name: HubOption = None,
    data: DataOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="So many at most.")] = 20,
    properties: Annotated[bool, typer.Option("--properties", "-p", help="Show their properties.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print a device's newest messages, the newest last. `homeport monitor` follows them."""
    from homeport.cli.monitor_lines import Happening, document, lines

    with hub(hub_name, data) as client:
        found = [Happening(hub=None, event=message) for message in client.telemetry(device_id, limit=limit)][::-1]
    for each in found:
        if output is Output.JSON:
            typer.echo(msgspec.json.encode(document(each)).decode())
            continue
        for line in lines(each, hubs=False, properties=properties, width=None):
            out.print(line, soft_wrap=True)


def _body(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise fail(f"{escape(text[1:])}: {error.strerror}", code=2) from error
