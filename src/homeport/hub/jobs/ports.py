"""What scheduled jobs need from a store; one object serves one hub."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from homeport.hub.model import (
    DeviceJob,
    Job,
    JobFault,
    JobStatistics,
    JobStatus,
    JobType,
    Outgoing,
    StoredTelemetry,
)
from homeport.paging import Page


class JobStore(Protocol):
    """Jobs and their devices. A job that is being run is leased to one runner; all writes are durable."""

    async def create(self, job: Job) -> None:
        """Raise HubError JOB_ALREADY_EXISTS."""
        ...

    async def get(self, job_id: str) -> Job | None: ...

    async def page(
        self, *, after: str | None, limit: int, job_type: JobType | None, status: JobStatus | None
    ) -> Page[Job]:
        """Return jobs in order of their id, behind the id `after`."""
        ...

    async def statistics(self, job_id: str) -> JobStatistics: ...

    async def cancel(self, job_id: str, *, now: datetime) -> Job | None:
        """End a job unless it has ended, and its open parts with it; return what it is then, None if unknown."""
        ...

    async def claim(self, *, now: datetime, owner: str, until: datetime) -> Job | None:
        """Lease the job that is due the longest and that nobody runs; None if there is none."""
        ...

    async def renew(self, job_id: str, *, owner: str, until: datetime) -> bool:
        """Go on with a job, or with what is under way of a cancelled one; False if another runner has it."""
        ...

    async def save(self, job: Job, *, owner: str) -> bool:
        """Store where a job stands; False, and nothing stored, if it was ended or another runner has it."""
        ...

    async def finish(self, job: Job, *, owner: str, rest: JobFault | None) -> bool:
        """Store a job's end; parts that have not ended fail with `rest`. False as for `save`."""
        ...

    async def release(self) -> None:
        """Void every lease. Only for the sole process of a database, before it begins: all holders are dead."""
        ...

    async def expire(self, *, ended_before: datetime) -> int:
        """Remove jobs that ended before, with their devices, and return how many."""
        ...

    async def add_devices(self, parts: Sequence[DeviceJob]) -> None:
        """Add a job's parts; those that are there already stay as they are."""
        ...

    async def begin_device(self, job_id: str, *, now: datetime) -> DeviceJob | None:
        """Take the next part that has not begun, and note that it has; None if none is left or the job was ended."""
        ...

    async def end_device(self, part: DeviceJob, *, told: Sequence[Outgoing] = ()) -> Sequence[StoredTelemetry]:
        """Store what came of a part that had begun, also of one that was cancelled meanwhile.

        What is `told` of it is appended to the event log in the same transaction; return where it is there.
        """
        ...

    async def interrupted(self, job_id: str) -> Sequence[DeviceJob]:
        """Return the parts that had begun and have not ended: at the start of a run, those that a dead runner left."""
        ...

    async def device_page(
        self, *, after: tuple[str, str] | None, limit: int, job_ids: Collection[str] | None
    ) -> Sequence[DeviceJob]:
        """Return parts in order of job id and device id, behind `after`; of these jobs only, or of all with None."""
        ...
