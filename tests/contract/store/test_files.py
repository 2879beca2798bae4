"""Every FileUploadStore counts what is under way, and ends an upload once; every BlobIndex holds the latest blob."""

import asyncio
from datetime import timedelta

import pytest

from homeport.hub.blob_errors import BlobCode, BlobError
from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import BlobProperties, Block, FileNotification, FileUpload, FileUploadSettings, StoredBlob
from homeport.store import Stores
from tests.contract.store.samples import NOW, device

LATER = NOW + timedelta(hours=1)


def upload(number: int, target: str = "d") -> FileUpload:
    return FileUpload(
        correlation_id=f"{target}-{number}",
        target=target,
        blob_name=f"{target}/{number}",
        blob_uri=f"https://h/c/{target}/{number}",
        expires_at=LATER,
    )


def blob(name: str, **changes: object) -> StoredBlob:
    fields: dict[str, object] = {
        "name": name,
        "size": 3,
        "etag": '"1"',
        "last_modified": NOW,
        "file": f"f-{name}",
        "properties": BlobProperties(content_type="text/plain", headers={"x-ms-meta-a": "1"}),
        "blocks": [Block(id="YQ==", size=1), Block(id="Yg==", size=2)],
    }
    return StoredBlob(**(fields | changes))  # type: ignore[arg-type]


def accept(present: StoredBlob | None) -> None:
    del present


async def test_settings_stand_from_the_first_look(stores: Stores) -> None:
    files = stores.file_uploads("hub")
    first = FileUploadSettings(built_in_key=b"1" * 32)
    assert await files.settings(first) == first
    assert await files.settings(FileUploadSettings(built_in_key=b"2" * 32)) == first
    changed = FileUploadSettings(
        built_in_key=b"1" * 32,
        connection_string="AccountName=a;AccountKey=aw==",
        container="c",
        sas_life=timedelta(minutes=5),
        notifications=False,
        enabled=False,
    )
    await files.configure(changed)
    assert await files.settings(first) == changed
    assert await stores.file_uploads("other").settings(first) == first


async def test_an_upload_from_beginning_to_end(stores: Stores) -> None:
    files = stores.file_uploads("hub")
    await files.begin(upload(1), limit=1, now=NOW)
    assert await files.find("d-1") == upload(1)
    assert await stores.file_uploads("other").find("d-1") is None
    assert await files.end("d-1", None)
    assert not await files.end("d-1", None)
    assert await files.find("d-1") is None


async def test_an_end_is_told_once(stores: Stores) -> None:
    files = stores.file_uploads("hub")
    await files.begin(upload(1), limit=1, now=NOW)
    told = FileNotification(device_id="d", blob_uri="u", blob_name="n", last_updated_at=NOW, size=1, enqueued_at=NOW)
    assert sorted(await asyncio.gather(*(files.end("d-1", told) for _ in range(4)))) == [False] * 3 + [True]
    assert (await stores.file_notifications("hub").waiting(now=NOW, max_deliveries=9)).count == 1


async def test_how_many_are_under_way(stores: Stores) -> None:
    await stores.devices("hub").create(device("d"))
    files = stores.file_uploads("hub")
    begun = await asyncio.gather(
        *(files.begin(upload(number), limit=3, now=NOW) for number in range(8)), return_exceptions=True
    )
    refused = [each for each in begun if isinstance(each, HubError)]
    assert [each.code for each in refused] == [HubCode.TOO_MANY_UPLOADS] * 5
    # Others have room, and what has expired makes room.
    await files.begin(upload(1, "e"), limit=3, now=NOW)
    await files.begin(upload(99), limit=3, now=LATER)
    assert await files.expire(before=LATER) == 0
    assert await files.expire(before=LATER + timedelta(seconds=1)) == 5


async def test_a_blob_replaces_another(stores: Stores) -> None:
    index = stores.blobs("hub")
    assert await index.put(blob("a"), accept) is None
    assert await index.find("a") == blob("a")
    assert await index.put(blob("a", etag='"2"'), accept) == blob("a")
    assert await stores.blobs("other").find("a") is None
    assert await index.delete("a") == blob("a", etag='"2"')
    assert await index.delete("a") is None


async def test_a_condition_that_does_not_hold_changes_nothing(stores: Stores) -> None:
    index = stores.blobs("hub")
    await index.put(blob("a"), accept)

    def refuse(present: StoredBlob | None) -> None:
        assert present == blob("a")
        raise BlobError(BlobCode.CONDITION_NOT_MET, "no")

    with pytest.raises(BlobError, match="no"):
        await index.put(blob("a", etag='"2"'), refuse)
    assert await index.find("a") == blob("a")


async def test_blobs_in_order(stores: Stores) -> None:
    index = stores.blobs("hub")
    for name in ("d/ä", "d/b", "d/a", "e/a", "d", "d0"):
        await index.put(blob(name), accept)
    names = [each.name for each in await index.list(prefix="d/", after="", limit=9)]
    assert names == ["d/a", "d/b", "d/ä"]
    assert [each.name for each in await index.list(prefix="d/", after="d/a", limit=1)] == ["d/b"]
    assert [each.name for each in await index.list(prefix="", after="d/ä", limit=9)] == ["d0", "e/a"]
