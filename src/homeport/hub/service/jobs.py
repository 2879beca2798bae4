"""Scheduled jobs (contract hub.md 9)."""

from homeport.clock import Clock
from homeport.hub.jobs import ScheduledJobs
from homeport.hub.jobs.translate import job_document, read_job, read_status, read_type, unknown_job
from homeport.hub.methods import MAX_PAYLOAD_BYTES
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer, continued, page_size, read
from homeport.paging import encode_token
from homeport.wire import hub_jobs as wire

MAX_JOB_BODY = MAX_PAYLOAD_BYTES + 64 * 1024


class JobsResponder:
    def __init__(self, jobs: ScheduledJobs, clock: Clock) -> None:
        self._jobs = jobs
        self._clock = clock

    async def create(self, job_id: str, body: bytes) -> Reply:
        job = read_job(job_id, read(wire.job_decoder, body, MAX_JOB_BODY), self._clock.now())
        return answer(job_document(await self._jobs.create(job)))

    async def get(self, job_id: str) -> Reply:
        """Answer 200 also when there is none, as the hosted hub does."""
        counted = await self._jobs.get(job_id)
        return answer(unknown_job(job_id) if counted is None else job_document(counted))

    async def cancel(self, job_id: str) -> Reply:
        return answer(job_document(await self._jobs.cancel(job_id)))

    async def list(
        self, *, job_type: str | None, status: str | None, max_items: str | None, continuation: str | None
    ) -> Reply:
        """List jobs, a page at a time; a type or status that no job here can have selects none."""
        headers = {"x-ms-item-type": "JobResponse"}
        limit, what = page_size(max_items), f"jobs {job_type} {status}"
        after = continued(continuation, what)
        try:
            wanted, stands = read_type(job_type), read_status(status)
        except KeyError:
            return answer([], headers)
        page = await self._jobs.page(after=after, limit=limit, job_type=wanted, status=stands)
        if page.after is not None:
            headers["x-ms-continuation"] = encode_token(page.after, what)
        return answer([job_document(counted) for counted in page.items], headers)
