"""Runs the scheduled jobs of one hub that are due (contract hub.md 9).

A job is leased, so that one of several processes runs it, and everything is noted as it happens, so that another goes
on where a dead one stopped. A twin update that a dead runner had begun is made again: its result is the same. A method
it had called is not called again: its part fails, and says that nobody knows what became of it.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

from homeport.clock import Clock
from homeport.hub.errors import HubCode, HubError
from homeport.hub.invocation import invoke
from homeport.hub.jobs.part_document import device_job_document
from homeport.hub.jobs.ports import JobStore
from homeport.hub.leased_work import LeasedWork, LeaseLostError
from homeport.hub.messages import Messages
from homeport.hub.methods import MethodCalls
from homeport.hub.model import (
    DeviceJob,
    DeviceJobStatus,
    Job,
    JobAnswer,
    JobFault,
    JobStatus,
    MessageSource,
    MethodRequest,
    Outgoing,
    TwinUpdate,
)
from homeport.hub.registry import Registry
from homeport.hub.selection import asks_for_counts, read_selection, select
from homeport.hub.telling import Telling
from homeport.hub.twins import Twins
from homeport.security.policies import Random
from homeport.values import replace
from homeport.wire import encode

JOBS_AT_ONCE = 10
"""Jobs that one process runs at a time; others wait (contract hub.md 23)."""
DEVICES_AT_ONCE = 20
"""Devices of one job that are worked for at a time."""
POLL_SECONDS = 1.0
_ADDED_AT_ONCE = 500

INTERRUPTED = JobFault(
    code="JobInterrupted",
    description="The server stopped while the method was being called; whether the device carried it out is unknown.",
)
OUT_OF_TIME = JobFault(code="JobExecutionTimeExceeded", description="The job's execution time was over.")

_log = logging.getLogger(__name__)


class JobRunner:
    """Looks for jobs that are due, and works them off."""

    def __init__(
        self,
        *,
        hub: str,
        store: JobStore,
        registry: Registry,
        twins: Twins,
        methods: MethodCalls,
        messages: Messages,
        telling: Telling,
        clock: Clock,
        random: Random,
    ) -> None:
        self._hub = hub
        self._store = store
        self._registry = registry
        self._twins = twins
        self._methods = methods
        self._messages = messages
        self._telling = telling
        self._clock = clock
        self._owner = random(16).hex()
        self._work = LeasedWork(
            hub=hub,
            noun="jobs",
            leases=store,
            owner=self._owner,
            carry=self._carry,
            expire=lambda before: store.expire(ended_before=before),
            at_once=JOBS_AT_ONCE,
            poll_seconds=POLL_SECONDS,
            clock=clock,
        )

    def wake(self) -> None:
        """Look for work now: a job was created."""
        self._work.wake()

    async def run(self) -> None:
        """Run what is due until cancelled; what is under way then is left to whoever takes the lease next."""
        await self._work.run()

    async def _carry(self, job: Job) -> None:
        if job.deadline is None:
            job = replace(
                job, status=JobStatus.RUNNING, deadline=self._clock.now() + timedelta(seconds=job.max_seconds)
            )
            await self._save(job)
        if not job.has_targets:
            try:
                await self._add_targets(job)
            except HubError as error:
                await self._finish(job, JobStatus.FAILED, error.message)
                return
            job = replace(job, has_targets=True)
            await self._save(job)
        if await self._in_time(job):
            await self._finish(job, JobStatus.COMPLETED, None)
        else:
            await self._finish(job, JobStatus.FAILED, OUT_OF_TIME.description)

    async def _in_time(self, job: Job) -> bool:
        """Do every device's part; False if the time was over before."""
        assert job.deadline is not None, "set before the first part"
        seconds = (job.deadline - self._clock.now()).total_seconds()
        if seconds <= 0:
            return False
        async with asyncio.TaskGroup() as tasks:
            alarm = tasks.create_task(self._clock.sleep(seconds))
            work = tasks.create_task(self._do_parts(job))
            await asyncio.wait((alarm, work), return_when=asyncio.FIRST_COMPLETED)
            in_time = work.done()
            alarm.cancel()
            work.cancel()
        return in_time

    async def _add_targets(self, job: Job) -> None:
        """Note which devices the job is for. Raises HubError for a condition that cannot be judged."""
        parts: list[DeviceJob] = []
        now = self._clock.now()
        counts = self._messages.counts if asks_for_counts(job.condition) else None
        async for device, _ in select(self._registry, read_selection(job.condition), "", counts):
            parts.append(
                DeviceJob(
                    job_id=job.job_id,
                    device_id=device.identity.device_id,
                    job_type=job.job_type,
                    status=DeviceJobStatus.PENDING,
                    created_at=now,
                    updated_at=now,
                )
            )
            if len(parts) == _ADDED_AT_ONCE:
                await self._store.add_devices(parts)
                parts = []
        await self._store.add_devices(parts)

    async def _do_parts(self, job: Job) -> None:
        for part in await self._store.interrupted(job.job_id):
            if isinstance(job.task, TwinUpdate):
                await self._do(job, part)
            else:
                await self._end(self._ended(part, fault=INTERRUPTED))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(DEVICES_AT_ONCE):
                tasks.create_task(self._do_some(job))

    async def _do_some(self, job: Job) -> None:
        while (part := await self._store.begin_device(job.job_id, now=self._clock.now())) is not None:
            await self._do(job, part)

    async def _do(self, job: Job, part: DeviceJob) -> None:
        """Do one device's part and note what came of it."""
        answer = None
        try:
            match job.task:
                case TwinUpdate(tags=tags, desired=desired):
                    await self._twins.patch(part.device_id, tags=tags, desired=desired, expected_version=None)
                case MethodRequest():
                    said = await invoke(self._registry, self._methods, part.device_id, job.task)
                    answer = JobAnswer(status=said.status, payload=said.payload)
        except HubError as error:
            ended = self._ended(part, fault=JobFault(code=error.code.wire_name, description=error.message))
        except Exception:
            _log.exception("hub %s: job %s failed with device %s", self._hub, job.job_id, part.device_id)
            fault = JobFault(code=HubCode.SERVER_ERROR.wire_name, description="The server failed; its log has details.")
            ended = self._ended(part, fault=fault)
        else:
            ended = self._ended(part, answer=answer)
        await self._end(ended)

    async def _end(self, part: DeviceJob) -> None:
        """Note what came of a part, and tell whoever wants to know."""
        telling = self._telling
        told: Sequence[Outgoing] = ()
        if telling.wanted(MessageSource.JOB_LIFECYCLE):
            device = None
            if telling.needs_twin(MessageSource.JOB_LIFECYCLE):
                device = await self._registry.find(part.device_id)
            told = telling.job_ended(
                part.device_id,
                part.job_type.value,
                encode(device_job_document(part)),
                None if device is None else device.twin,
            )
        telling.stored(await self._store.end_device(part, told=told))

    def _ended(self, part: DeviceJob, *, answer: JobAnswer | None = None, fault: JobFault | None = None) -> DeviceJob:
        now = self._clock.now()
        status = DeviceJobStatus.COMPLETED if fault is None else DeviceJobStatus.FAILED
        return replace(part, status=status, ended_at=now, updated_at=now, answer=answer, fault=fault)

    async def _save(self, job: Job) -> None:
        if not await self._store.save(job, owner=self._owner):
            raise LeaseLostError

    async def _finish(self, job: Job, status: JobStatus, failure: str | None) -> None:
        ended = replace(job, status=status, failure=failure, ended_at=self._clock.now())
        rest = OUT_OF_TIME if status is JobStatus.FAILED else None
        if not await self._store.finish(ended, owner=self._owner, rest=rest):
            raise LeaseLostError
