"""The scheduled jobs of one hub in SQL."""

from collections.abc import Collection, Sequence
from datetime import datetime

from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import (
    DeviceJob,
    DeviceJobStatus,
    Job,
    JobFault,
    JobStatistics,
    JobStatus,
    JobType,
    Outgoing,
    StoredTelemetry,
)
from homeport.paging import Page
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.job_rows import JOB_COLUMNS, PART_COLUMNS, job_of, job_values, part_of, part_values
from homeport.store.log_writing import LogWrite
from homeport.store.rows import key_of, to_micros
from homeport.values import replace

_ONE = "WHERE hub = :hub AND job_id = :job_id"
_CREATE = """
    INSERT INTO scheduled_jobs (hub, job_id, job_type, status, start_at, ended_at, lease_owner, lease_until, data)
    VALUES (:hub, :job_id, :job_type, :status, :start_at, :ended_at, NULL, 0, :data)
    ON CONFLICT (hub, job_id) DO NOTHING"""
_GET = f"SELECT {JOB_COLUMNS} FROM scheduled_jobs {_ONE}"
_HOLD = f"{_GET} /*postgres FOR UPDATE*/"
_PAGE = f"""
    SELECT {JOB_COLUMNS} FROM scheduled_jobs WHERE hub = :hub AND job_id > :after
    AND (CAST(:job_type AS TEXT) IS NULL OR job_type = :job_type)
    AND (CAST(:status AS TEXT) IS NULL OR status = :status)
    ORDER BY job_id LIMIT :limit"""
_DUE = f"""
    SELECT {JOB_COLUMNS} FROM scheduled_jobs
    WHERE hub = :hub AND ended_at IS NULL AND start_at <= :now AND lease_until <= :now
    ORDER BY start_at, job_id LIMIT 1 /*postgres FOR UPDATE SKIP LOCKED*/"""
_LEASE = f"UPDATE scheduled_jobs SET lease_owner = :owner, lease_until = :until {_ONE}"
_MINE = f"{_ONE} AND lease_owner = :owner"
# Also of a cancelled job, whose devices may be at it still.
_RENEW = f"UPDATE scheduled_jobs SET lease_until = :until {_MINE}"
_SAVE = f"UPDATE scheduled_jobs SET status = :status, ended_at = :ended_at, data = :data {_MINE} AND ended_at IS NULL"
_END = f"UPDATE scheduled_jobs SET status = :status, ended_at = :ended_at, data = :data {_ONE}"
_RELEASE = "UPDATE scheduled_jobs SET lease_owner = NULL, lease_until = 0 WHERE hub = :hub AND ended_at IS NULL"
_EXPIRED = "SELECT job_id FROM scheduled_jobs WHERE hub = :hub AND ended_at < :before LIMIT 100"
_REMOVE = f"DELETE FROM scheduled_jobs {_ONE}"
_REMOVE_PARTS = f"DELETE FROM job_devices {_ONE}"

_ADD_PART = """
    INSERT INTO job_devices (hub, job_id, device_id, status, updated_at, data)
    VALUES (:hub, :job_id, :device_id, :status, :updated_at, :data)
    ON CONFLICT (hub, job_id, device_id) DO NOTHING"""
_NEXT_PART = f"""
    SELECT {PART_COLUMNS} FROM job_devices {_ONE} AND status = 'pending'
    ORDER BY device_id LIMIT 1 /*postgres FOR UPDATE SKIP LOCKED*/"""
_SET_PART = f"UPDATE job_devices SET status = :status, updated_at = :updated_at, data = :data {_ONE}"
_SET_ONE_PART = f"{_SET_PART} AND device_id = :device_id"
# What was under way when its job was cancelled is told when it is known after all.
_END_PART = f"{_SET_ONE_PART} AND status IN ('running', 'canceled')"
_PARTS_IN = f"SELECT {PART_COLUMNS} FROM job_devices {_ONE} AND status = :status ORDER BY device_id"
_COUNT = f"SELECT status, count(*) FROM job_devices {_ONE} GROUP BY status"
_PARTS = f"""
    SELECT {PART_COLUMNS} FROM job_devices WHERE hub = :hub
    AND (job_id > :job_id OR (job_id = :job_id AND device_id > :device_id)) ORDER BY job_id, device_id LIMIT :limit"""
_PARTS_OF_JOB = f"""
    SELECT {PART_COLUMNS} FROM job_devices {_ONE} AND device_id > :device_id ORDER BY device_id LIMIT :limit"""


class SqlJobStore:
    """JobStore of one hub over a Database."""

    def __init__(self, database: Database, hub: str) -> None:
        self._database = database
        self._hub = key_of(hub)

    async def create(self, job: Job) -> None:
        if not await self._database.execute(_CREATE, {"hub": self._hub, **job_values(job)}):
            raise HubError(HubCode.JOB_ALREADY_EXISTS, f"There is a job {job.job_id} already.")

    async def get(self, job_id: str) -> Job | None:
        row = await self._database.fetch_one(_GET, self._where(job_id))
        return None if row is None else job_of(row)

    async def page(
        self, *, after: str | None, limit: int, job_type: JobType | None, status: JobStatus | None
    ) -> Page[Job]:
        rows = await self._database.fetch_all(
            _PAGE,
            {
                "hub": self._hub,
                "after": after or "",
                "job_type": None if job_type is None else job_type.value,
                "status": None if status is None else status.value,
                "limit": limit + 1,
            },
        )
        jobs = [job_of(row) for row in rows[:limit]]
        return Page(items=jobs, after=jobs[-1].job_id if len(rows) > limit else None)

    async def statistics(self, job_id: str) -> JobStatistics:
        rows = await self._database.fetch_all(_COUNT, self._where(job_id))
        return {DeviceJobStatus(status): count for status, count in rows}

    async def cancel(self, job_id: str, *, now: datetime) -> Job | None:
        async def work(transaction: Transaction) -> Job | None:
            row = await transaction.fetch_one(_HOLD, self._where(job_id))
            if row is None:
                return None
            job = job_of(row)
            if job.status.is_end:
                return job
            ended = replace(job, status=JobStatus.CANCELLED, ended_at=now)
            await transaction.execute(_END, {"hub": self._hub, **job_values(ended)})
            for status in (DeviceJobStatus.PENDING, DeviceJobStatus.RUNNING):
                await self._end_parts(transaction, job_id, status, DeviceJobStatus.CANCELED, None, now)
            return ended

        return await self._database.write(work)

    async def claim(self, *, now: datetime, owner: str, until: datetime) -> Job | None:
        async def work(transaction: Transaction) -> Job | None:
            row = await transaction.fetch_one(_DUE, {"hub": self._hub, "now": to_micros(now)})
            if row is None:
                return None
            job = job_of(row)
            await transaction.execute(_LEASE, {**self._where(job.job_id), "owner": owner, "until": to_micros(until)})
            return job

        # Looked at first: most of the time nothing is due, and a look is cheaper than a write.
        if await self._database.fetch_one(_DUE.partition("/*")[0], {"hub": self._hub, "now": to_micros(now)}) is None:
            return None
        return await self._database.write(work)

    async def renew(self, job_id: str, *, owner: str, until: datetime) -> bool:
        values: Parameters = {**self._where(job_id), "owner": owner, "until": to_micros(until)}
        return await self._database.execute(_RENEW, values) > 0

    async def save(self, job: Job, *, owner: str) -> bool:
        return await self._database.execute(_SAVE, {"hub": self._hub, **job_values(job), "owner": owner}) > 0

    async def finish(self, job: Job, *, owner: str, rest: JobFault | None) -> bool:
        ended_at = job.ended_at or job.created_at

        async def work(transaction: Transaction) -> bool:
            if not await transaction.execute(_SAVE, {"hub": self._hub, **job_values(job), "owner": owner}):
                return False
            if rest is not None:
                for status in (DeviceJobStatus.PENDING, DeviceJobStatus.RUNNING):
                    await self._end_parts(transaction, job.job_id, status, DeviceJobStatus.FAILED, rest, ended_at)
            return True

        return await self._database.write(work)

    async def release(self) -> None:
        await self._database.execute(_RELEASE, {"hub": self._hub})

    async def expire(self, *, ended_before: datetime) -> int:
        async def work(transaction: Transaction) -> int:
            rows = await transaction.fetch_all(_EXPIRED, {"hub": self._hub, "before": to_micros(ended_before)})
            for (job_id,) in rows:
                await transaction.execute(_REMOVE_PARTS, self._where(job_id))
                await transaction.execute(_REMOVE, self._where(job_id))
            return len(rows)

        removed = 0
        while some := await self._database.write(work):
            removed += some
        return removed

    async def add_devices(self, parts: Sequence[DeviceJob]) -> None:
        if not parts:
            return
        rows = [{"hub": self._hub, **part_values(part)} for part in parts]
        await self._database.write(lambda transaction: transaction.execute_many(_ADD_PART, rows))

    async def begin_device(self, job_id: str, *, now: datetime) -> DeviceJob | None:
        async def work(transaction: Transaction) -> DeviceJob | None:
            row = await transaction.fetch_one(_NEXT_PART, self._where(job_id))
            if row is None:
                return None
            part = replace(part_of(row), status=DeviceJobStatus.RUNNING, started_at=now, updated_at=now)
            await transaction.execute(_SET_ONE_PART, {"hub": self._hub, **part_values(part)})
            return part

        return await self._database.write(work)

    async def end_device(self, part: DeviceJob, *, told: Sequence[Outgoing] = ()) -> Sequence[StoredTelemetry]:
        values: Parameters = {"hub": self._hub, **part_values(part)}
        telling = LogWrite(self._hub, told)

        async def work(transaction: Transaction) -> Sequence[StoredTelemetry]:
            # Nothing is told of a part that is gone or had its end already.
            return await telling.run(transaction) if await transaction.execute(_END_PART, values) else ()

        return await self._database.write(work)

    async def interrupted(self, job_id: str) -> Sequence[DeviceJob]:
        where = {**self._where(job_id), "status": DeviceJobStatus.RUNNING.value}
        return [part_of(row) for row in await self._database.fetch_all(_PARTS_IN, where)]

    async def device_page(
        self, *, after: tuple[str, str] | None, limit: int, job_ids: Collection[str] | None
    ) -> Sequence[DeviceJob]:
        job_id, device_id = after or ("", "")
        if job_ids is None:
            where: Parameters = {"hub": self._hub, "job_id": job_id, "device_id": device_id, "limit": limit}
            return [part_of(row) for row in await self._database.fetch_all(_PARTS, where)]
        parts: list[DeviceJob] = []
        for each in sorted(each for each in job_ids if each >= job_id):
            where = {
                "hub": self._hub,
                "job_id": each,
                "device_id": device_id if each == job_id else "",
                "limit": limit - len(parts),
            }
            parts += [part_of(row) for row in await self._database.fetch_all(_PARTS_OF_JOB, where)]
            if len(parts) == limit:
                break
        return parts

    async def _end_parts(
        self,
        transaction: Transaction,
        job_id: str,
        before: DeviceJobStatus,
        after: DeviceJobStatus,
        fault: JobFault | None,
        now: datetime,
    ) -> None:
        rows = await transaction.fetch_all(_PARTS_IN, {**self._where(job_id), "status": before.value})
        parts = [replace(part_of(row), status=after, fault=fault, ended_at=now, updated_at=now) for row in rows]
        if parts:
            await transaction.execute_many(_SET_ONE_PART, [{"hub": self._hub, **part_values(part)} for part in parts])

    def _where(self, job_id: str) -> dict[str, str]:
        return {"hub": self._hub, "job_id": job_id}
