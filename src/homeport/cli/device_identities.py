"""`homeport device list`, `show`, `create`, `update`, `delete`, `keys`: the identities in a hub's registry."""

from enum import StrEnum
from itertools import islice
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, err, fail, out
from homeport.cli.hub_access import HubOption, compact, hub, moment
from homeport.cli.listing import plain_table, print_json
from homeport.client import Device, DeviceAuthentication, Twin
from homeport.client.hub_models import PolicyKey, X509Thumbprint

DeviceArgument = Annotated[str, typer.Argument(help="The device's id at its hub.")]

_TABLE_ROWS = 100


class Proof(StrEnum):
    """How a device proves itself to its hub."""

    KEYS = "keys"
    THUMBPRINT = "thumbprint"
    CA = "ca"


class Status(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


class WhichKey(StrEnum):
    PRIMARY = "primary"
    SECONDARY = "secondary"
    BOTH = "both"


_TYPES = {"sas": "keys", "selfSigned": "thumbprint", "certificateAuthority": "ca"}
_POLICY_KEYS = {
    WhichKey.PRIMARY: PolicyKey.PRIMARY,
    WhichKey.SECONDARY: PolicyKey.SECONDARY,
    WhichKey.BOTH: PolicyKey.BOTH,
}

StatusOption = Annotated[
    Status | None, typer.Option("--status", help="Whether it may connect.", show_default="as it is")
]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why it is disabled or enabled.")]


def list_devices(
    condition: Annotated[
        str, typer.Argument(help="What stands after WHERE: \"tags.site = 'north'\"; nothing is everything.")
    ] = "",
    hub_name: HubOption = None,
    data: DataOption = None,
    connected: Annotated[
        bool | None, typer.Option("--connected/--disconnected", help="Only those.", show_default="all")
    ] = None,
    status: Annotated[Status | None, typer.Option("--status", help="Only those.", show_default="all")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Stop after so many.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List devices; with `-o json` each twin is a line. The language is in docs/reference/queries.md."""
    conditions = [f"({condition.strip()})"] if condition.strip() else []
    if connected is not None:
        conditions.append(f"connectionState = '{'Connected' if connected else 'Disconnected'}'")
    if status is not None:
        conditions.append(f"status = '{status.value}'")
    query = " WHERE ".join(["SELECT * FROM devices", *([" AND ".join(conditions)] if conditions else ())])
    with hub(hub_name, data) as client:
        try:
            if output is Output.JSON:
                for twin in islice(client.query_twins(query), limit):
                    typer.echo(msgspec.json.encode(twin).decode())
                return
            most = limit or _TABLE_ROWS
            found = list(islice(client.query_twins(query, page_size=min(most + 1, 1000)), most + 1))
        except Exception:
            # The refusal names a position; it counts in the whole of what was asked.
            err.print(f"      asked: [bold]{escape(query)}[/]", soft_wrap=True)
            raise
    _print_twins(found[:most])
    if len(found) > most:
        err.print(f"[dim]Only the first {most} devices; --limit tells of more, -o json of all.[/]")


def _print_twins(twins: list[Twin]) -> None:
    table = plain_table("device", "connection", "last active", "proof", "waiting", "tags")
    for twin in twins:
        state = "[green]connected[/]" if twin.connection_state == "Connected" else "[dim]disconnected[/]"
        table.add_row(
            escape(twin.device_id) + ("" if twin.status == "enabled" else " [red](disabled)[/]"),
            state,
            moment(twin.last_activity_time),
            _TYPES.get(twin.authentication_type or "", ""),
            str(twin.cloud_to_device_message_count or ""),
            escape(compact(twin.tags, 60)) if twin.tags else "",
        )
    out.print(table)


def show(
    device_id: DeviceArgument, hub_name: HubOption = None, data: DataOption = None, output: OutputOption = Output.TABLE
) -> None:
    """Show a device's identity and its twin; never its keys."""
    with hub(hub_name, data) as client:
        device, twin = client.get_device(device_id), client.get_twin(device_id)
        modules = client.modules(device_id)
    if output is Output.JSON:
        print_json(
            {"identity": without_keys(device), "twin": twin, "modules": [module.module_id for module in modules]}
        )
        return
    properties = twin.properties
    since = moment(device.connection_state_updated_time)
    rows = {
        "device": f"[bold]{escape(device.device_id)}[/]",
        "status": escape(device.status + (f" ({device.status_reason})" if device.status_reason else "")),
        "connection": device.connection_state.lower() + (f" since {since}" if since else ""),
        "last active": moment(device.last_activity_time) or "never",
        "proof": _proof(device),
        "edge": "yes" if device.capabilities is not None and device.capabilities.iot_edge else "",
        "model": escape(twin.model_id or ""),
        "modules": escape(", ".join(module.module_id for module in modules)),
        "queue": f"holds {device.cloud_to_device_message_count}" if device.cloud_to_device_message_count else "",
        "tags": escape(compact(twin.tags)) if twin.tags else "",
        "desired": escape(compact(_content(properties.desired))) if properties else "",
        "reported": escape(compact(_content(properties.reported))) if properties else "",
    }
    for name, value in rows.items():
        if value:
            out.print(f"{name:<12} {value}", soft_wrap=True)


def create(
    device_id: DeviceArgument,
    hub_name: HubOption = None,
    data: DataOption = None,
    proof: Annotated[Proof, typer.Option("--proof", help="How it proves itself.")] = Proof.KEYS,
    thumbprint: Annotated[
        list[str] | None, typer.Option("--thumbprint", help="Of its certificate, SHA-1 or SHA-256; twice at most.")
    ] = None,
    edge: Annotated[bool, typer.Option("--edge", help="It is an IoT Edge device.")] = False,
    status: Annotated[Status, typer.Option("--status", help="Whether it may connect.")] = Status.ENABLED,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a device in a hub's registry, without provisioning; the hub makes its keys."""
    prints = thumbprint or []
    if (proof is Proof.THUMBPRINT) is not (1 <= len(prints) <= 2):
        raise fail("--proof thumbprint goes with one --thumbprint or two, and the others with none", code=2)
    with hub(hub_name, data) as client:
        made = client.create_device(
            device_id,
            authentication=_authentication(proof, prints),
            status=status.value,
            status_reason=reason,
            iot_edge=edge,
        )
    if output is Output.JSON:
        print_json(without_keys(made))
        return
    more = "; `homeport device keys` prints its connection string" if proof is Proof.KEYS else ""
    out.print(f"[bold]{escape(made.device_id)}[/] is in the registry{more}.", soft_wrap=True)


def update(
    device_id: DeviceArgument,
    hub_name: HubOption = None,
    data: DataOption = None,
    status: StatusOption = None,
    reason: ReasonOption = None,
    edge: Annotated[bool | None, typer.Option("--edge/--no-edge", help="Whether it is an IoT Edge device.")] = None,
) -> None:
    """Change a device's identity; a device that is disabled is cut off at once."""
    with hub(hub_name, data) as client:
        device = client.get_device(device_id)
        changed = device
        if status is not None:
            changed = msgspec.structs.replace(changed, status=status.value, status_reason=reason)
        elif reason is not None:
            changed = msgspec.structs.replace(changed, status_reason=reason)
        if edge is not None and changed.capabilities is not None:
            capabilities = msgspec.structs.replace(changed.capabilities, iot_edge=edge)
            changed = msgspec.structs.replace(changed, capabilities=capabilities)
        if changed == device:
            raise fail("nothing to change: give --status, --reason or --edge", code=2)
        changed = client.replace_device(changed)
    why = f" ({escape(changed.status_reason)})" if changed.status_reason else ""
    out.print(f"[bold]{escape(device_id)}[/] is {changed.status}{why}.", soft_wrap=True)


def delete(
    device_ids: Annotated[list[str], typer.Argument(help="Ids at their hub.")],
    hub_name: HubOption = None,
    data: DataOption = None,
) -> None:
    """Delete devices with their twins, modules and waiting messages; a connected one is cut off at once."""
    with hub(hub_name, data) as client:
        for device_id in device_ids:
            client.delete_device(device_id)
            out.print(f"[bold]{escape(device_id)}[/] is gone from the registry.", soft_wrap=True)


def keys(
    device_id: DeviceArgument,
    hub_name: HubOption = None,
    data: DataOption = None,
    regenerate: Annotated[
        WhichKey | None, typer.Option("--regenerate", help="Make this one anew, or both.", show_default="neither")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print a device's keys and connection string: they open the hub to whoever has them."""
    with hub(hub_name, data) as client:
        if regenerate is not None:
            done = client.regenerate_keys([device_id], key=_POLICY_KEYS[regenerate])
            for refused in done.errors:
                raise fail(f"{escape(refused.id)} keeps its keys: {escape(refused.error_status)}")
        device = client.get_device(device_id)
        host = client.host_name
    pair = None if device.authentication is None else device.authentication.symmetric_key
    if pair is None or pair.primary_key is None:
        raise fail(f"{escape(device_id)} has no keys: it proves itself by {_proof(device)}")
    connection_string = f"HostName={host};DeviceId={device_id};SharedAccessKey={pair.primary_key}"
    if output is Output.JSON:
        print_json(
            {
                "deviceId": device_id,
                "primaryKey": pair.primary_key,
                "secondaryKey": pair.secondary_key,
                "connectionString": connection_string,
            }
        )
        return
    for name, value in (
        ("primary key", pair.primary_key),
        ("secondary key", pair.secondary_key or ""),
        ("connection string", connection_string),
    ):
        out.print(f"[bold]{name:<18}[/] {escape(value)}", soft_wrap=True)


def without_keys(device: Device) -> Device:
    """Return the identity as anybody may see it."""
    if device.authentication is None or device.authentication.symmetric_key is None:
        return device
    hidden = msgspec.structs.replace(device.authentication, symmetric_key=None)
    return msgspec.structs.replace(device, authentication=hidden)


def _authentication(proof: Proof, thumbprints: list[str]) -> DeviceAuthentication | None:
    match proof:
        case Proof.KEYS:
            return None
        case Proof.CA:
            return DeviceAuthentication(type="certificateAuthority")
        case Proof.THUMBPRINT:
            primary, secondary = (*thumbprints, None)[:2]
            return DeviceAuthentication(
                type="selfSigned",
                x509_thumbprint=X509Thumbprint(primary_thumbprint=primary, secondary_thumbprint=secondary),
            )


def _proof(device: Device) -> str:
    kind = "sas" if device.authentication is None else device.authentication.type
    prints = None if device.authentication is None else device.authentication.x509_thumbprint
    if kind != "selfSigned" or prints is None:
        return {"sas": "keys", "certificateAuthority": "a certificate of a CA"}.get(kind, escape(kind))
    known = (print_ for print_ in (prints.primary_thumbprint, prints.secondary_thumbprint) if print_)
    return "thumbprint " + escape(", ".join(known))


def _content(section: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in section.items() if not name.startswith("$")}
