"""Every NoticeStore gives a notice out once at a time, and only so often."""

from datetime import timedelta
from typing import Any

import pytest

from homeport.hub.model import FileNotification, FileUpload
from homeport.store import Stores
from tests.contract.store.samples import NOW

LATER = NOW + timedelta(minutes=1)
FREE: dict[str, Any] = {"now": NOW, "max_deliveries": 2}


async def notify(stores: Stores, number: int) -> None:
    files, name = stores.file_uploads("hub"), f"d/{number}"
    upload = FileUpload(correlation_id=name, target="d", blob_name=name, blob_uri=f"https://h/{name}", expires_at=LATER)
    await files.begin(upload, limit=9, now=NOW)
    notification = FileNotification(
        device_id="d",
        blob_uri=upload.blob_uri,
        blob_name=name,
        last_updated_at=NOW,
        size=number,
        enqueued_at=NOW + timedelta(seconds=number),
    )
    assert await files.end(name, notification)


async def test_what_waits_and_since_when(stores: Stores) -> None:
    notices = stores.file_notifications("hub")
    assert (await notices.waiting(**FREE)).count == 0
    assert (await notices.waiting(**FREE)).oldest is None
    for number in (3, 4):
        await notify(stores, number)
    waiting = await notices.waiting(**FREE)
    assert (waiting.count, waiting.oldest) == (2, NOW + timedelta(seconds=3))
    (taken,) = await notices.take(limit=1, until=LATER, token="t", **FREE)
    assert (taken.size, taken.blob_uri, taken.last_updated_at) == (3, "https://h/d/3", NOW)
    assert (await notices.waiting(**FREE)).count == 1
    assert (await stores.file_notifications("other").waiting(**FREE)).count == 0


async def test_what_comes_back_too_often_is_not_given_out_again(stores: Stores) -> None:
    notices = stores.file_notifications("hub")
    await notify(stores, 1)
    for token in ("a", "b"):
        assert len(await notices.take(limit=1, until=LATER, token=token, **FREE)) == 1
        assert await notices.finish(token, now=NOW, keep=True)
    assert await notices.take(limit=1, until=LATER, token="c", **FREE) == []
    assert (await notices.waiting(**FREE)).count == 0
    assert await notices.expire(created_before=NOW, **FREE) == 1


async def test_a_lock_that_runs_out_counts_as_a_delivery(stores: Stores) -> None:
    notices = stores.file_notifications("hub")
    await notify(stores, 1)
    await notices.take(limit=1, until=LATER, token="a", **FREE)
    assert await notices.expire(created_before=NOW, **FREE) == 0
    assert len(await notices.take(limit=1, now=LATER, until=LATER, token="b", max_deliveries=2)) == 1
    assert await notices.expire(created_before=NOW, now=LATER, max_deliveries=2) == 1


@pytest.mark.parametrize("keep", [False, True])
async def test_a_lock_is_good_once(stores: Stores, keep: bool) -> None:
    notices = stores.file_notifications("hub")
    await notify(stores, 1)
    await notices.take(limit=1, until=LATER, token="a", **FREE)
    assert not await notices.finish("a", now=LATER, keep=keep)
    assert await notices.finish("a", now=NOW, keep=keep)
    assert not await notices.finish("a", now=NOW, keep=keep)
    assert (await notices.waiting(**FREE)).count == (1 if keep else 0)
