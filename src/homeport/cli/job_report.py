"""How a job and what became of its devices are printed."""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from homeport.cli.console import Output, err, out
from homeport.cli.hub_access import compact, moment
from homeport.cli.listing import plain_table, print_json

if TYPE_CHECKING:
    from homeport.client import DeviceJob, HubClient, Job

_TONES = {"completed": "green", "failed": "red", "running": "cyan", "cancelled": "yellow", "canceled": "yellow"}

_TAKEN = 70
"""Characters of a line that the other columns of a listing take at most."""
_NARROWEST = 8


def tell(client: "HubClient", job: "Job", output: Output, *, status: str | None, limit: int) -> None:
    """Print a job and up to `limit` of its devices, those with `status` if it is given."""
    found = client.device_jobs(job.job_id, status=status, page_size=min(limit + 1, 1000))
    parts = list(islice(found, limit + 1))
    cut = len(parts) > limit
    del parts[limit:]
    if output is Output.JSON:
        print_json({"job": job, "devices": parts})
        return
    pairs = {
        "job": escape(job.job_id),
        "what": escape(task(job)),
        "which": escape(job.query_condition or "*"),
        "status": state(job.status) + (f"  {escape(job.failure_reason)}" if job.failure_reason else ""),
        "created": moment(job.created_time),
        "begins": moment(job.start_time),
        "ended": moment(job.end_time),
        "devices": count(job),
    }
    for name, value in pairs.items():
        if value:
            out.print(f"[bold]{name:<9}[/] {value}", soft_wrap=True)
    if not parts:
        return
    out.print()
    table = plain_table()
    for head in ("device", "status", "ended"):
        table.add_column(head, no_wrap=True)
    table.add_column("outcome")
    for part in parts:
        device = part.device_id + (f"/{part.module_id}" if part.module_id else "")
        table.add_row(escape(device), state(part.status), moment(part.end_time_utc), escape(outcome(part)))
    out.print(table)
    if cut:
        err.print(f"[dim]Only the first {len(parts)} devices; --limit tells of more.[/]")


def outcome(part: "DeviceJob") -> str:
    """Say in a line what a device's part came to."""
    if part.error is not None:
        return f"{part.error.code}: {part.error.description}"
    answered = part.outcome.device_method_response if part.outcome else None
    if answered is not None:
        return f"{answered.status} {compact(answered.payload)}"
    return "written" if part.status == "completed" else ""


def listing(jobs: Sequence["Job"]) -> Table:
    """Return a table of jobs; what does not fit of the last column is cut, so that each has one line."""
    table = plain_table()
    for head in ("job", "what", "status", "done", "failed", "begins", "which"):
        table.add_column(head, no_wrap=True, justify="right" if head in {"done", "failed"} else "left")
    room = max(_NARROWEST, out.width - _TAKEN - max((len(job.job_id) for job in jobs), default=0))
    for job in jobs:
        counted = job.device_job_statistics
        condition = job.query_condition or "*"
        table.add_row(
            escape(job.job_id),
            escape(task(job)),
            state(job.status),
            f"{counted.succeeded_count}/{counted.device_count}" if counted and counted.device_count else "",
            str(counted.failed_count) if counted and counted.failed_count else "",
            "" if job.start_time is None else f"{job.start_time:%Y-%m-%d %H:%M}Z",
            escape(condition if len(condition) <= room else condition[: room - 1] + "…"),
        )
    return table


def task(job: "Job") -> str:
    """Say what a job does."""
    if job.cloud_to_device_method is not None:
        return f"method {job.cloud_to_device_method.method_name}"
    if job.update_twin is None:
        return job.type
    desired = job.update_twin.properties.desired if job.update_twin.properties else {}
    names = [name for name, values in (("tags", job.update_twin.tags), ("desired", desired)) if values]
    return f"twin: {' and '.join(names)}"


def state(status: str) -> str:
    """Write where a job or a part of it stands, in its colour."""
    return f"[{_TONES.get(status, 'dim')}]{escape(status)}[/]"


def count(job: "Job") -> str:
    """Say how far a job is."""
    counted = job.device_job_statistics
    if counted is None or (not counted.device_count and not job.has_ended):
        return "not selected yet"
    if not counted.device_count:
        return "no device"
    words = [f"{counted.succeeded_count:,} of {counted.device_count:,} done"]
    if counted.failed_count:
        words.append(f"{counted.failed_count:,} failed")
    return ", ".join(words)
