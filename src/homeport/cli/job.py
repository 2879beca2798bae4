"""`homeport job …`: one twin update or method call for many devices, and what became of each."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from homeport.cli.console import DataOption, Output, OutputOption, err, fail, out
from homeport.cli.hub_access import HubOption, hub, json_object, json_value, moment
from homeport.cli.job_progress import follow
from homeport.cli.job_report import count, listing, tell
from homeport.cli.listing import print_json
from homeport.clock import SystemClock

if TYPE_CHECKING:
    from homeport.client import HubClient, Job

app = typer.Typer(
    help="Scheduled jobs: a twin update or a method call for many devices.", no_args_is_help=True, add_completion=False
)
schedule = typer.Typer(help="Schedule a job.", no_args_is_help=True, add_completion=False)
app.add_typer(schedule, name="schedule")

IdArgument = Annotated[str, typer.Argument(help="The job's id.")]
WhereOption = Annotated[
    str | None,
    typer.Option("--where", help="Which devices: what stands after WHERE in a query, such as \"tags.site = 'north'\"."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every device of the hub.")]
NewIdOption = Annotated[str | None, typer.Option("--id", help="The job's id.", show_default="made up")]
StartOption = Annotated[
    str | None,
    typer.Option("--start", help="When: 2026-05-01T06:00 (UTC unless it says), or +30m, +2h, +1d.", show_default="now"),
]
MaxOption = Annotated[
    int | None, typer.Option("--max-seconds", min=1, help="Time for all devices together.", show_default="3600")
]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait until it has ended and tell the outcome; exit code 1 if a device failed.")
]

_SHOWN = 50


@schedule.command("twin")
def schedule_twin(
    where: WhereOption = None,
    every: AllOption = False,
    tags: Annotated[str | None, typer.Option("--tags", help="JSON to merge into tags, or @file.")] = None,
    desired: Annotated[
        str | None, typer.Option("--desired", help="JSON to merge into desired properties, or @file.")
    ] = None,
    job_id: NewIdOption = None,
    start: StartOption = None,
    max_seconds: MaxOption = None,
    wait: WaitOption = False,
    hub_name: HubOption = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Merge into the twins of many devices; null removes a member."""
    condition, begins = _condition(where, every=every), _start(start)
    tag_values, desired_values = json_object(tags, "--tags"), json_object(desired, "--desired")
    if not (tag_values or desired_values):
        raise fail("say what to write with --tags or --desired", code=2)
    with hub(hub_name, data) as client:
        job = client.schedule_twin_update(
            job_id or _new_id(),
            condition,
            tags=tag_values,
            desired=desired_values,
            start_time=begins,
            max_seconds=max_seconds,
        )
        _scheduled(client, job, output, wait=wait)


@schedule.command("method")
def schedule_method(
    method: Annotated[str, typer.Argument(help="Name of the method.")],
    where: WhereOption = None,
    every: AllOption = False,
    payload: Annotated[str, typer.Option("--payload", help="JSON for the method, or @file.")] = "null",
    response_timeout: Annotated[
        int | None, typer.Option("--response-timeout", min=5, max=300, help="Seconds for an answer.", show_default="30")
    ] = None,
    connect_timeout: Annotated[
        int | None,
        typer.Option(
            "--connect-timeout", min=0, max=300, help="Seconds to wait for an absent device.", show_default="0"
        ),
    ] = None,
    job_id: NewIdOption = None,
    start: StartOption = None,
    max_seconds: MaxOption = None,
    wait: WaitOption = False,
    hub_name: HubOption = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Call a direct method of many devices."""
    condition, begins = _condition(where, every=every), _start(start)
    value = json_value(payload, "--payload")
    with hub(hub_name, data) as client:
        job = client.schedule_method(
            job_id or _new_id(),
            condition,
            method,
            value,
            response_timeout=response_timeout,
            connect_timeout=connect_timeout,
            start_time=begins,
            max_seconds=max_seconds,
        )
        _scheduled(client, job, output, wait=wait)


@app.command("list")
def list_jobs(
    status: Annotated[
        str | None, typer.Option("--status", help="Only those: scheduled, running, completed, failed, cancelled.")
    ] = None,
    hub_name: HubOption = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the jobs of the last 30 days, newest first."""
    with hub(hub_name, data) as client:
        jobs = sorted(client.jobs(status=status), key=lambda job: job.created_time or datetime.min.replace(tzinfo=UTC))
    jobs.reverse()
    if output is Output.JSON:
        print_json(jobs)
        return
    out.print(listing(jobs))


@app.command("show")
def show(
    job_id: IdArgument,
    failed: Annotated[bool, typer.Option("--failed", help="Only the devices where it failed.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Tell of so many devices.")] = _SHOWN,
    wait: WaitOption = False,
    hub_name: HubOption = None,
    data: DataOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a job and what became of each device."""
    with hub(hub_name, data) as client:
        job = follow(client, client.get_job(job_id)) if wait else client.get_job(job_id)
        tell(client, job, output, status="failed" if failed else None, limit=limit)
    if wait:
        _exit_code(job)


@app.command("cancel")
def cancel(job_id: IdArgument, hub_name: HubOption = None, data: DataOption = None) -> None:
    """Stop a job; devices that it has not come to are left alone."""
    with hub(hub_name, data) as client:
        job = client.cancel_job(job_id)
    if job.status != "cancelled":
        out.print(f"Job [bold]{escape(job.job_id)}[/] had ended already: {job.status}, {count(job)}.")
        return
    out.print(f"Job [bold]{escape(job.job_id)}[/] is cancelled; {count(job)}.")


def _scheduled(client: "HubClient", job: "Job", output: Output, *, wait: bool) -> None:
    if not wait:
        if output is Output.JSON:
            print_json(job)
            return
        out.print(f"Job [bold]{escape(job.job_id)}[/] is {job.status}; it begins {moment(job.start_time)}.")
        err.print(f"[dim]homeport job show {escape(job.job_id)} tells what became of it.[/]", soft_wrap=True)
        return
    err.print(f"[dim]job {escape(job.job_id)}[/]", soft_wrap=True)
    ended = follow(client, job)
    tell(client, ended, output, status=None, limit=_SHOWN)
    _exit_code(ended)


def _exit_code(job: "Job") -> None:
    counted = job.device_job_statistics
    if job.status != "completed" or (counted is not None and counted.failed_count):
        raise typer.Exit(1)


def _condition(where: str | None, *, every: bool) -> str:
    if (where is None) is not every:
        raise fail("say which devices: --where CONDITION, or --all", code=2)
    return "*" if where is None else where


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _start(text: str | None) -> datetime | None:
    if text is None:
        return None
    number, unit = text[1:-1], text[-1:]
    if text.startswith("+") and number.isdecimal() and len(number) < 8 and unit in _UNITS:
        span: dict[str, Any] = {_UNITS[unit]: int(number)}
        return SystemClock().now() + timedelta(**span)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise fail("--start is a time such as 2026-05-01T06:00, or a span such as +30m", code=2) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _new_id() -> str:
    return f"job-{secrets.token_hex(4)}"
