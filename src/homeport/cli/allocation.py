"""`homeport allocation …`: why a device goes where it goes, what would move if, and the service's settings."""

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn

from homeport.cli.console import DataOption, Output, OutputOption, admin, err, fail, out
from homeport.cli.listing import plain_table, print_json
from homeport.client import AllocationExplanation, AllocationSettings, ComparisonTotals
from homeport.client.allocation_models import Movement

app = typer.Typer(
    help="How hubs are chosen: explain it, try changes, set it.", no_args_is_help=True, add_completion=False
)

_RESULTS = {"assign": "would go to", "stay": "would stay on", "ask": "is asked about", "none": "would find no hub"}


@app.command("explain")
def explain(
    registration_id: Annotated[str, typer.Argument(help="The device's registration id.")],
    group: Annotated[
        str | None, typer.Option("--group", help="Enrollment group it would come through, if it is new.")
    ] = None,
    payload: Annotated[
        str | None, typer.Option("--payload", help="JSON the device would send; what it sent last if left out.")
    ] = None,
    address: Annotated[str | None, typer.Option("--address", help="Where it would call from.")] = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say where a device would go if it registered now, and why; nothing is assigned."""
    sent = None if payload is None else _json(payload)
    with admin(data) as client:
        told = client.explain_allocation(registration_id, group_id=group, payload=sent, remote_address=address)
    if output is Output.JSON:
        print_json(told)
    else:
        _print_explanation(told)


@app.command("what-if")
def what_if(
    weight: Annotated[
        list[str] | None, typer.Option("--weight", help="HUB=WEIGHT, by name or host name; repeatable.")
    ] = None,
    without: Annotated[list[str] | None, typer.Option("--without", help="A hub taken away; repeatable.")] = None,
    drain: Annotated[list[str] | None, typer.Option("--drain", help="A hub drained; repeatable.")] = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", help="hashed, geoLatency or static in place of every enrollment's policy."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="How many moving devices to list; all with -o json.")
    ] = 20,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say which devices would get another hub at their next registration; nothing moves.

    With -o json, one line for each device that would move, then one with the totals.
    """
    weights = dict(_weight(text) for text in weight or ())
    totals = ComparisonTotals()
    listed: list[Movement] = []
    with (
        admin(data) as client,
        Progress(SpinnerColumn(), TextColumn("{task.description}"), console=err, transient=True) as progress,
    ):
        task = progress.add_task("examining registrations")
        for part in client.compare_allocation(
            weights=weights, without=without or (), drained=drain or (), policy=policy
        ):
            for movement in totals.add(part):
                if output is Output.JSON:
                    sys.stdout.write(msgspec.json.encode(movement).decode() + "\n")
                elif len(listed) < limit:
                    listed.append(movement)
            progress.update(task, description=f"examined {totals.examined} registrations, {totals.moving} would move")
    if output is Output.JSON:
        sys.stdout.write(msgspec.json.encode(_totals(totals)).decode() + "\n")
    else:
        _print_comparison(totals, listed)


@app.command("settings")
def settings(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Replace the settings by this JSON document; - reads stdin.")
    ] = None,
    default_policy: Annotated[
        str | None, typer.Option("--default-policy", help="hashed, geoLatency or static.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Print the service's settings for allocation as JSON; replace them, or only the default policy."""
    with admin(data) as client:
        if file is not None:
            text = sys.stdin.read() if str(file) == "-" else _read(file)
            current = client.put_allocation_settings(_settings(text))
        else:
            current = client.allocation_settings()
        if default_policy is not None:
            changed = msgspec.to_builtins(current) | {"defaultPolicy": default_policy}
            current = client.put_allocation_settings(_settings(msgspec.json.encode(changed)))
    print_json(current)


@app.command("signing-key")
def signing_key(
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Make a new primary key; the old one becomes the secondary.")
    ] = False,
    data: DataOption = None,
) -> None:
    """Print the keys that webhook requests are signed with; a receiver needs one of them."""
    with admin(data) as client:
        keys = client.webhook_signing_keys(rotate=rotate)
    typer.echo(f"primary    {keys.primary_key}\nsecondary  {keys.secondary_key}")


def _print_explanation(told: AllocationExplanation) -> None:
    colour = {"assign": "green", "stay": "green", "ask": "yellow"}.get(told.result, "red")
    where = f" [bold]{escape(told.assigned_hub)}[/]" if told.assigned_hub else ""
    out.print(f"[bold]{escape(told.registration_id)}[/] [{colour}]{_RESULTS[told.result]}[/]{where}", soft_wrap=True)
    through = f"the group {told.enrollment_group_id}" if told.enrollment_group_id else "its individual enrollment"
    default = ", the service's default" if told.is_default_policy else ""
    out.print(f"  comes through   {escape(through)}", soft_wrap=True)
    out.print(f"  policy          {told.allocation_policy}{default}", soft_wrap=True)
    out.print(f"  lives on        {escape(told.current_hub or 'no hub yet')}", soft_wrap=True)
    out.print(f"  because         {escape(told.reason)}", soft_wrap=True)
    if told.candidates:
        table = plain_table("candidate", "weight", "share", "latency", "score")
        for each in told.candidates:
            latency = "" if each.milliseconds is None else f"{each.milliseconds:.0f} ms {each.latency_source or ''}"
            table.add_row(
                escape(each.host_name),
                str(each.allocation_weight),
                f"{each.share:.0%}",
                escape(latency),
                "" if each.score is None else f"{each.score:.4f}",
            )
        out.print(table)
    for exclusion in told.exclusions:
        out.print(f"  [red]✗[/] {escape(exclusion.host_name)}: {escape(exclusion.reason)}", soft_wrap=True)


def _print_comparison(totals: ComparisonTotals, listed: list[Movement]) -> None:
    table = plain_table("hub", "devices now", "then", "change")
    for host in sorted(totals.before.keys() | totals.after.keys()):
        change = totals.after[host] - totals.before[host]
        table.add_row(escape(host), str(totals.before[host]), str(totals.after[host]), f"{change:+d}" if change else "")
    out.print(table)
    out.print(f"[bold]{totals.moving}[/] of {totals.examined} registrations would get another hub.")
    for (origin, to), count in sorted(totals.ways.items(), key=lambda way: -way[1]):
        out.print(f"  {count:>8}  {escape(origin)} → {escape(to) if to else '[red]no hub[/]'}", soft_wrap=True)
    if totals.asked:
        out.print(f"  {totals.asked:>8}  would be asked about (custom allocation), and count where they are")
    if totals.orphaned:
        out.print(f"  {totals.orphaned:>8}  have no enrollment that is enabled, and stay")
    if listed:
        out.print()
    for movement in listed:
        to = escape(movement.to_hub) if movement.to_hub else "[red]no hub[/]"
        name, origin = escape(movement.registration_id), escape(movement.from_hub)
        out.print(f"{name}  {origin} → {to}  [dim]{escape(movement.reason)}[/]", soft_wrap=True)
    if totals.moving > len(listed) > 0:
        out.print(f"[dim]… and {totals.moving - len(listed)} more: --limit, or -o json[/]")


def _totals(totals: ComparisonTotals) -> dict[str, Any]:
    return {
        "examined": totals.examined,
        "moving": totals.moving,
        "before": totals.before,
        "after": totals.after,
        "asked": totals.asked,
        "orphaned": totals.orphaned,
    }


def _weight(text: str) -> tuple[str, int]:
    hub, _, weight = text.rpartition("=")
    if not hub or not (weight.isascii() and weight.isdigit() and len(weight) <= 6):
        raise fail(f"{text!r} is not of the form HUB=WEIGHT", code=2)
    return hub, int(weight)


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise fail(f"the payload is no JSON: {error}", code=2) from error


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise fail(f"{file}: {error}", code=2) from error


def _settings(text: str | bytes) -> AllocationSettings:
    try:
        return msgspec.json.decode(text, type=AllocationSettings)
    except msgspec.DecodeError as error:
        raise fail(f"these are no allocation settings: {error}", code=2) from error
