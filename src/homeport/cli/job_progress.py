"""Follows a job to its end, with its progress shown to a person."""

import time
from typing import TYPE_CHECKING

from rich.progress import Progress, TaskID

from homeport.cli.console import progress_bar
from homeport.clock import SystemClock

if TYPE_CHECKING:
    from homeport.client import HubClient, Job

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 1.0


def follow(client: "HubClient", job: "Job") -> "Job":
    """Ask until the job has ended, and return how it ended."""
    pause = _FIRST_PAUSE
    with progress_bar() as progress:
        task = progress.add_task(_words(job), total=None)
        while not job.has_ended:
            _show(progress, task, job)
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            job = client.get_job(job.job_id)
        _show(progress, task, job)
    return job


def _show(progress: Progress, task: TaskID, job: "Job") -> None:
    counted = job.device_job_statistics
    if counted is None or not counted.device_count:
        progress.update(task, description=_words(job))
        return
    progress.update(task, description=_words(job), total=counted.device_count, completed=counted.ended_count)


def _words(job: "Job") -> str:
    failed = job.device_job_statistics.failed_count if job.device_job_statistics else 0
    if failed:
        return f"{job.status}, {failed:,} failed"
    waits = job.start_time is not None and job.start_time > SystemClock().now()
    return f"{job.status}, begins {job.start_time:%Y-%m-%d %H:%M:%S}Z" if waits else job.status
