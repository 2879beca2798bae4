"""`homeport events …`: lifecycle events as they happen, and the webhooks that are told of them."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, admin, err, fail, out
from homeport.cli.listing import plain_table, print_json

app = typer.Typer(
    help="Lifecycle events: watch them, and tell webhooks of them.", no_args_is_help=True, add_completion=False
)

NameArgument = Annotated[str, typer.Argument(help="Name of the subscription.")]
TypeOption = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only this type, such as device.assigned or device.*; repeatable.", show_default="all"),
]
SubjectOption = Annotated[str, typer.Option("--subject", help="Only subjects that begin so, such as devices/line-3-.")]


@app.command("watch")
def watch(
    data: DataOption = None,
    types: TypeOption = None,
    subject: SubjectOption = "",
    after: Annotated[str | None, typer.Option("--after", help="Begin behind the event with this id.")] = None,
    replay: Annotated[int, typer.Option("--replay", min=0, max=10_000, help="First tell the last so many.")] = 0,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print events as they happen, until Ctrl-C; with `-o json` one CloudEvent a line."""
    with admin(data) as client:
        try:
            for event in client.events(types=types or (), subject=subject, after=after, replay=replay):
                if output is Output.JSON:
                    typer.echo(msgspec.json.encode(event).decode())
                    continue
                by = (event.data.get("by") or {}).get("name", "")
                more = event.data.get("assignedHub") or event.data.get("reason") or ""
                out.print(
                    f"[dim]{event.id:>6}[/]  {event.time:%Y-%m-%d %H:%M:%S}Z  "
                    f"[bold]{escape(event.type.removeprefix('io.homeport.'))}[/]  {escape(event.subject)}  "
                    f"{escape(str(more))}  [dim]{escape(str(by))}[/]",
                    soft_wrap=True,
                )
        except KeyboardInterrupt:
            return


@app.command("subscribe")
def subscribe(
    name: NameArgument,
    url: Annotated[str, typer.Argument(help="https address of the webhook, or http on the loopback.")],
    types: TypeOption = None,
    subject: SubjectOption = "",
    binary: Annotated[bool, typer.Option("--binary", help="CloudEvents' binary mode: attributes in headers.")] = False,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Send messages without a signature.")] = False,
    disabled: Annotated[bool, typer.Option("--disabled", help="Keep it, but tell it nothing for now.")] = False,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="PEM of the authority to trust there.")] = None,
    max_attempts: Annotated[
        int | None,
        typer.Option("--max-attempts", min=1, max=1000, help="Then an event is given up.", show_default="30"),
    ] = None,
    data: DataOption = None,
) -> None:
    """Tell a webhook of events from now on, or change how; it is asked first whether it agrees."""
    with admin(data) as client:
        made = client.subscribe(
            name,
            url,
            types=types or (),
            subject_prefix=subject,
            mode="binary" if binary else "structured",
            signed=not unsigned,
            enabled=not disabled,
            ca_certificates=ca_file.read_text() if ca_file else None,
            max_attempts=max_attempts,
        )
    err.print(f"[bold]{escape(made.name)}[/] is told of {', '.join(made.types) or 'all events'}.", soft_wrap=True)
    if made.secret is not None:
        err.print(
            "The secret that signs its messages (Standard Webhooks), which nobody can tell again:", soft_wrap=True
        )
        typer.echo(made.secret)


@app.command("list")
def list_subscriptions(data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List the subscriptions and how their delivery goes."""
    with admin(data) as client:
        found = client.event_subscriptions()
    if output is Output.JSON:
        print_json(found)
        return
    table = plain_table("name", "webhook", "types", "behind", "given up", "last trouble")
    for each in found:
        table.add_row(
            escape(each.name),
            escape(each.url) + ("" if each.enabled else " [dim](disabled)[/]"),
            escape(", ".join(each.types)) or "all",
            str(each.behind),
            str(each.dead_letters),
            escape(each.last_failure or ""),
        )
    out.print(table)


@app.command("remove")
def remove(name: NameArgument, data: DataOption = None) -> None:
    """Tell a webhook nothing more, and forget what was given up."""
    with admin(data) as client:
        client.unsubscribe(name)
    out.print(f"[bold]{escape(name)}[/] is told of nothing any more.")


@app.command("test")
def try_out(name: NameArgument, data: DataOption = None) -> None:
    """Send a test event to the webhook now, and say how it went."""
    with admin(data) as client:
        tried = client.test_subscription(name)
    if not tried.delivered:
        raise fail(tried.detail)
    out.print(f"[green]✓[/] {tried.detail}")


@app.command("dead-letters")
def dead_letters(name: NameArgument, data: DataOption = None, output: OutputOption = Output.TABLE) -> None:
    """List what was given up for a webhook."""
    with admin(data) as client:
        found = list(client.dead_letters(name))
    if output is Output.JSON:
        print_json(found)
        return
    table = plain_table("event", "type", "subject", "given up", "attempts", "why")
    for each in found:
        table.add_row(
            str(each.seq),
            escape(each.event.type.removeprefix("io.homeport.")) if each.event else "[dim]dropped[/]",
            escape(each.event.subject) if each.event else "",
            f"{each.given_up_date_time_utc:%Y-%m-%d %H:%M:%S}Z",
            str(each.attempts),
            escape(each.reason) + (" [dim](in line again)[/]" if each.replaying else ""),
        )
    out.print(table)


@app.command("replay")
def replay(
    name: NameArgument,
    after: Annotated[
        int | None,
        typer.Option("--after", min=0, help="Everything behind this event.", show_default="what was given up"),
    ] = None,
    data: DataOption = None,
) -> None:
    """Deliver once more: what was given up, or everything behind an event."""
    with admin(data) as client:
        count = client.replay_events(name, after=after)
    out.print(f"{count} events are in line again.")
