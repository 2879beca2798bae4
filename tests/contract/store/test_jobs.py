"""Every JobStore keeps jobs apart, lets one runner have each, and never loses what came of a device's part."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeport.hub.errors import HubCode, HubError
from homeport.hub.jobs import JobStore
from homeport.hub.model import (
    DeviceJob,
    DeviceJobStatus,
    Job,
    JobAnswer,
    JobFault,
    JobStatus,
    JobType,
    MethodRequest,
    TwinUpdate,
)
from homeport.store import Stores
from homeport.values import replace

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)
LATER = NOW + timedelta(hours=1)
METHOD = MethodRequest(name="reboot", payload=b'{"a": 1}', response_timeout=5, connect_timeout=0)
FAULT = JobFault(code="DeviceNotOnline", description="away")


def job(job_id: str = "j", **changes: Any) -> Job:
    values: dict[str, Any] = {
        "task": METHOD,
        "condition": "*",
        "created_at": NOW,
        "start_at": NOW,
        "max_seconds": 60,
        "status": JobStatus.QUEUED,
    }
    return Job(job_id=job_id, **(values | changes))


def part(device_id: str, job_id: str = "j") -> DeviceJob:
    return DeviceJob(
        job_id=job_id,
        device_id=device_id,
        job_type=JobType.DEVICE_METHOD,
        status=DeviceJobStatus.PENDING,
        created_at=NOW,
        updated_at=NOW,
    )


async def parts_of(store: JobStore, job_id: str = "j") -> dict[str, DeviceJob]:
    return {each.device_id: each for each in await store.device_page(after=None, limit=99, job_ids=[job_id])}


async def test_a_job_is_read_as_it_was_written(stores: Stores) -> None:
    store, other = stores.jobs("hub"), stores.jobs("other")
    update = job("twin", task=TwinUpdate(tags={"a": [None, {"b": 1.5}]}, desired=None), condition="tags.x = 'é'")
    for each in (job(), update):
        await store.create(each)
    assert [await store.get("j"), await store.get("twin")] == [job(), update]
    assert await store.get("J") is None
    assert await other.get("j") is None
    with pytest.raises(HubError) as refused:
        await store.create(update)
    assert refused.value.code is HubCode.JOB_ALREADY_EXISTS


async def test_jobs_are_listed_by_type_and_status(stores: Stores) -> None:
    store = stores.jobs("hub")
    for name in ("a", "b", "c"):
        await store.create(job(name))
    await store.create(job("d", task=TwinUpdate(tags=None, desired={"x": 1}), status=JobStatus.SCHEDULED))

    async def ids(after: str | None = None, limit: int = 9, **wanted: Any) -> tuple[list[str], str | None]:
        page = await store.page(after=after, limit=limit, **({"job_type": None, "status": None} | wanted))
        return [each.job_id for each in page.items], page.after

    assert await ids() == (["a", "b", "c", "d"], None)
    assert await ids(limit=2) == (["a", "b"], "b")
    assert await ids("b", 2) == (["c", "d"], None)
    assert await ids(job_type=JobType.UPDATE_TWIN) == (["d"], None)
    assert await ids(status=JobStatus.QUEUED, job_type=JobType.DEVICE_METHOD) == (["a", "b", "c"], None)
    assert await ids(status=JobStatus.FAILED) == ([], None)


async def test_one_runner_has_a_job_until_its_lease_is_over(stores: Stores) -> None:
    store = stores.jobs("hub")
    await store.create(job("late", start_at=LATER))
    await store.create(job("second"))
    await store.create(job("first", start_at=NOW - timedelta(minutes=1)))

    async def claim(owner: str, now: datetime = NOW) -> str | None:
        claimed = await store.claim(now=now, owner=owner, until=now + timedelta(seconds=30))
        return None if claimed is None else claimed.job_id

    assert [await claim("one"), await claim("two"), await claim("three")] == ["first", "second", None]
    assert await store.renew("first", owner="one", until=LATER)
    assert not await store.renew("first", owner="two", until=LATER)
    assert not await store.save(job("first", status=JobStatus.RUNNING), owner="two")
    assert await claim("three", SOON) == "second"
    assert not await store.renew("second", owner="two", until=LATER)
    await store.release()
    assert await claim("three", SOON) == "first"


async def test_parts_are_taken_once_each_and_told(stores: Stores) -> None:
    store = stores.jobs("hub")
    await store.create(job())
    await store.add_devices([part("b"), part("a"), part("a/m")])
    first = await store.begin_device("j", now=SOON)
    assert first == replace(part("a"), status=DeviceJobStatus.RUNNING, started_at=SOON, updated_at=SOON)
    await store.add_devices([part("a"), part("c")])  # again, after a crash: what has begun has begun
    done = replace(
        first,
        status=DeviceJobStatus.COMPLETED,
        ended_at=SOON,
        answer=JobAnswer(status=200, payload=b'{"x": "\xc3\xa9"}'),
    )
    await store.end_device(done)
    assert [each.device_id for each in (await parts_of(store)).values()] == ["a", "a/m", "b", "c"]
    assert (await parts_of(store))["a"] == done
    assert await store.statistics("j") == {DeviceJobStatus.COMPLETED: 1, DeviceJobStatus.PENDING: 3}
    second = await store.begin_device("j", now=SOON)
    assert second is not None
    assert await store.interrupted("j") == [second]


async def test_parts_come_in_order_over_jobs(stores: Stores) -> None:
    store = stores.jobs("hub")
    for name in ("x", "y", "z"):
        await store.create(job(name))
        await store.add_devices([part("a", name), part("b", name)])

    async def keys(after: tuple[str, str] | None, limit: int, job_ids: list[str] | None) -> list[tuple[str, str]]:
        found = await store.device_page(after=after, limit=limit, job_ids=job_ids)
        return [(each.job_id, each.device_id) for each in found]

    assert await keys(None, 3, None) == [("x", "a"), ("x", "b"), ("y", "a")]
    assert await keys(("y", "a"), 9, None) == [("y", "b"), ("z", "a"), ("z", "b")]
    assert await keys(("x", "a"), 2, ["z", "x", "nowhere"]) == [("x", "b"), ("z", "a")]
    assert await keys(None, 9, []) == []


async def test_a_cancelled_job_has_no_open_parts_and_tells_late_answers(stores: Stores) -> None:
    store = stores.jobs("hub")
    await store.create(job())
    await store.claim(now=NOW, owner="one", until=SOON)
    await store.add_devices([part("a"), part("b")])
    begun = await store.begin_device("j", now=NOW)
    assert begun is not None
    cancelled = await store.cancel("j", now=SOON)
    assert cancelled == job(status=JobStatus.CANCELLED, ended_at=SOON)
    assert await store.begin_device("j", now=SOON) is None
    assert {each.status for each in (await parts_of(store)).values()} == {DeviceJobStatus.CANCELED}
    # Its device is still at it, and what it says counts.
    assert await store.renew("j", owner="one", until=LATER)
    late = replace(begun, status=DeviceJobStatus.FAILED, ended_at=LATER, updated_at=LATER, fault=FAULT)
    await store.end_device(late)
    assert (await parts_of(store))["a"] == late
    assert not await store.finish(job(status=JobStatus.COMPLETED, ended_at=LATER), owner="one", rest=None)
    assert await store.cancel("j", now=LATER) == cancelled
    assert await store.claim(now=LATER + timedelta(days=1), owner="two", until=LATER) is None
    assert await store.cancel("nowhere", now=NOW) is None


async def test_what_is_open_at_the_end_fails(stores: Stores) -> None:
    store = stores.jobs("hub")
    await store.create(job())
    await store.claim(now=NOW, owner="one", until=SOON)
    await store.add_devices([part("a"), part("b"), part("c")])
    begun = await store.begin_device("j", now=NOW)
    assert begun is not None
    await store.end_device(replace(begun, status=DeviceJobStatus.COMPLETED, ended_at=NOW))
    await store.begin_device("j", now=NOW)
    ended = job(status=JobStatus.FAILED, ended_at=SOON, failure="too late", has_targets=True, deadline=SOON)
    assert not await store.finish(ended, owner="two", rest=FAULT)
    assert await store.finish(ended, owner="one", rest=FAULT)
    assert await store.get("j") == ended
    assert await store.statistics("j") == {DeviceJobStatus.COMPLETED: 1, DeviceJobStatus.FAILED: 2}
    assert (await parts_of(store))["c"].fault == FAULT


async def test_history_ends(stores: Stores) -> None:
    store = stores.jobs("hub")
    for name in ("open", "old", "new"):
        await store.create(job(name))
        await store.add_devices([part("a", name)])
    await store.cancel("old", now=NOW)
    await store.cancel("new", now=LATER)
    assert await store.expire(ended_before=LATER) == 1
    assert await store.expire(ended_before=LATER) == 0
    assert [await store.get("old"), await parts_of(store, "old")] == [None, {}]
    assert len(await store.device_page(after=None, limit=9, job_ids=None)) == 2
