"""Scheduled jobs as services see them: created, looked up, cancelled (contract hub.md 9). Running is `runner`'s."""

from collections.abc import Collection, Sequence

from msgspec import Struct

from homeport.clock import Clock
from homeport.hub.errors import HubCode, HubError
from homeport.hub.jobs.ports import JobStore
from homeport.hub.jobs.runner import JobRunner
from homeport.hub.model import DeviceJob, Job, JobStatistics, JobStatus, JobType
from homeport.paging import Page
from homeport.values import replace


class CountedJob(Struct, frozen=True, kw_only=True):
    """A job, and how far it is with its devices."""

    job: Job
    statistics: JobStatistics


class ScheduledJobs:
    """The jobs of one hub."""

    def __init__(self, *, store: JobStore, runner: JobRunner, clock: Clock) -> None:
        self._store = store
        self._runner = runner
        self._clock = clock

    async def create(self, job: Job) -> CountedJob:
        """Store a new job; it begins at its time. Raises HubError JOB_ALREADY_EXISTS."""
        now = self._clock.now()
        status = JobStatus.SCHEDULED if job.start_at > now else JobStatus.QUEUED
        job = replace(job, created_at=now, status=status)
        await self._store.create(job)
        self._runner.wake()
        return CountedJob(job=job, statistics={})

    async def get(self, job_id: str) -> CountedJob | None:
        job = await self._store.get(job_id)
        return None if job is None else await self._counted(job)

    async def cancel(self, job_id: str) -> CountedJob:
        """End a job: what has not begun does not begin; what a device still answers is noted. An ended one stays so.

        Raises HubError JOB_NOT_FOUND.
        """
        job = await self._store.cancel(job_id, now=self._clock.now())
        if job is None:
            raise HubError(HubCode.JOB_NOT_FOUND, f"There is no job {job_id}.")
        return await self._counted(job)

    async def page(
        self, *, after: str | None, limit: int, job_type: JobType | None, status: JobStatus | None
    ) -> Page[CountedJob]:
        page = await self._store.page(after=after, limit=limit, job_type=job_type, status=status)
        return Page(items=[await self._counted(job) for job in page.items], after=page.after)

    async def device_page(
        self, *, after: tuple[str, str] | None, limit: int, job_ids: Collection[str] | None
    ) -> Sequence[DeviceJob]:
        """Return parts of jobs in order of job id and device id, behind `after`."""
        return await self._store.device_page(after=after, limit=limit, job_ids=job_ids)

    async def _counted(self, job: Job) -> CountedJob:
        return CountedJob(job=job, statistics=await self._store.statistics(job.job_id))
