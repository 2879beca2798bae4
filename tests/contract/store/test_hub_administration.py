"""What administrators set of a hub: CA certificates and queue settings, told in the journal; imports and exports."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from homeport.dps.model import Recorded, Wanted
from homeport.errors import Code, HomeportError
from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import (
    FeedbackSettings,
    FileUploadSettings,
    HubCaCertificate,
    QueueSettings,
    Transfer,
    TransferKind,
    TransferPhase,
    TransferPlace,
    TransferStatus,
)
from homeport.store import Stores
from homeport.values import replace
from tests.contract.store.samples import NOW

SOON = NOW + timedelta(seconds=30)
ROOT = HubCaCertificate(
    name="Root", certificate=b"\x30\x01", is_verified=False, etag="1", created_at=NOW, updated_at=NOW
)
EXPORT = Transfer(
    job_id="j1",
    kind=TransferKind.EXPORT,
    created_at=NOW,
    output_container="https://a/b?sig=c",
    place=TransferPlace(phase=TransferPhase.MODULES, after="d", blocks=2),
)


async def entries(stores: Stores, subject: str = "hubs/*") -> Sequence[Recorded]:
    page = await stores.journal.page(Wanted(subject=subject), after=None, limit=50, newest_first=False)
    return page.items


async def told(stores: Stores) -> list[tuple[str, str]]:
    return [(entry.kind, entry.subject) for entry in await entries(stores)]


async def test_ca_certificates(stores: Stores) -> None:
    one, other = stores.hub_authorities("Hub"), stores.hub_authorities("other")
    await one.create(ROOT, limit=2)
    assert list(await one.all()) == [ROOT]
    assert list(await other.all()) == []
    with pytest.raises(HomeportError) as taken:
        await one.create(replace(ROOT, name="ROOT"), limit=2)
    assert taken.value.code is Code.CA_CERTIFICATE_EXISTS
    await other.create(ROOT, limit=2)
    await one.create(replace(ROOT, name="a"), limit=2)
    with pytest.raises(HomeportError, match="at most 2"):
        await one.create(replace(ROOT, name="b"), limit=2)
    assert [each.name for each in await one.all()] == ["a", "Root"]
    coded = replace(ROOT, verification_code="SECRETCODE", etag="2")
    await one.replace(coded, expected_etag="1")
    proven = replace(ROOT, is_verified=True, etag="3")
    for refused, code in (("1", Code.PRECONDITION_FAILED), ("x", Code.PRECONDITION_FAILED)):
        with pytest.raises(HomeportError) as stale:
            await one.replace(proven, expected_etag=refused)
        assert stale.value.code is code
    await one.replace(proven, expected_etag="2")
    assert (await stores.hub_authorities("hub").all())[1] == proven
    assert await one.all() is await one.all()
    with pytest.raises(HomeportError):
        await one.delete("root", expected_etag="1")
    await one.delete("root", expected_etag="3")
    with pytest.raises(HomeportError) as gone:
        await one.delete("root", expected_etag=None)
    assert gone.value.code is Code.NOT_FOUND
    assert [each.name for each in await one.all()] == ["a"]
    assert len(await other.all()) == 1
    of_root = [kind for kind, subject in await told(stores) if subject == "hubs/Hub/certificates/Root"]
    assert of_root == [
        "hubCaCertificate.uploaded",
        "hubCaCertificate.updated",
        "hubCaCertificate.verified",
        "hubCaCertificate.deleted",
    ]
    assert "SECRETCODE" not in str(await entries(stores))


async def test_queue_settings(stores: Stores) -> None:
    queues = stores.hub_queues("hub")
    assert await queues.get() == QueueSettings()
    changed = QueueSettings(
        default_life=timedelta(days=2),
        max_deliveries=100,
        lock=timedelta(seconds=5),
        feedback=FeedbackSettings(life=timedelta(minutes=1), lock=timedelta(seconds=300), max_deliveries=1),
        etag="1",
    )
    await queues.put(changed, expected_etag="")
    assert await stores.hub_queues("HUB").get() == changed
    assert await stores.hub_queues("other").get() == QueueSettings()
    with pytest.raises(HomeportError) as stale:
        await queues.put(changed, expected_etag="")
    assert stale.value.code is Code.PRECONDITION_FAILED
    await queues.put(replace(changed, max_deliveries=3, etag="2"), expected_etag=None)
    assert (await queues.get()).max_deliveries == 3
    assert await told(stores) == [("hubQueues.updated", "hubs/hub/cloudToDevice")] * 2


async def test_another_process_sees_changes(pair: tuple[Stores, Stores]) -> None:
    here, there = pair
    assert list(await there.hub_authorities("hub").all()) == []
    assert await there.hub_queues("hub").get() == QueueSettings()
    await here.hub_authorities("hub").create(ROOT, limit=9)
    await here.hub_queues("hub").put(QueueSettings(max_deliveries=7, etag="1"), expected_etag=None)
    assert list(await there.hub_authorities("hub").all()) == [ROOT]
    assert (await there.hub_queues("hub").get()).max_deliveries == 7


async def test_file_settings_are_told_without_secrets(stores: Stores) -> None:
    first = FileUploadSettings(built_in_key=b"1" * 32)
    files = stores.file_uploads("hub")
    await files.settings(first)
    await files.configure(replace(first, connection_string="AccountKey=SECRET", container="c"))
    (entry,) = await entries(stores, "hubs/hub/fileUpload")
    assert entry.kind == "hubFiles.updated"
    assert "SECRET" not in str(entry.document)
    assert entry.document["data"]["changes"]["container"] == {"after": "c"}


async def test_one_transfer_at_a_time(stores: Stores) -> None:
    transfers = stores.transfers("hub")
    await transfers.create(EXPORT)
    assert await transfers.get("j1") == EXPORT
    assert await transfers.get("j2") is None
    with pytest.raises(HubError) as refused:
        await transfers.create(replace(EXPORT, job_id="j2"))
    assert refused.value.code is HubCode.JOB_QUOTA_EXCEEDED
    await stores.transfers("other").create(EXPORT)
    ended = await transfers.cancel("j1", now=SOON)
    assert ended is not None
    assert (ended.status, ended.ended_at, ended.output_container) == (TransferStatus.CANCELLED, SOON, None)
    assert await transfers.cancel("j1", now=NOW) == ended
    assert await transfers.cancel("j2", now=NOW) is None
    later = replace(EXPORT, job_id="j2", created_at=SOON)
    await transfers.create(later)
    assert [each.job_id for each in await transfers.all()] == ["j2", "j1"]
    assert await transfers.expire(created_before=SOON + timedelta(days=1)) == 1
    assert list(await transfers.all()) == [later]


async def test_leases_of_transfers(stores: Stores) -> None:
    transfers = stores.transfers("hub")
    assert await transfers.claim(now=NOW, owner="a", until=SOON) is None
    await transfers.create(EXPORT)
    assert await transfers.claim(now=NOW, owner="a", until=SOON) == EXPORT
    assert await transfers.claim(now=NOW, owner="b", until=SOON) is None
    further = replace(EXPORT, status=TransferStatus.RUNNING, place=TransferPlace(after="e"))
    assert await transfers.save(further, owner="a")
    assert not await transfers.save(EXPORT, owner="b")
    assert not await transfers.renew("j1", owner="b", until=SOON)
    assert await transfers.renew("j1", owner="a", until=SOON + timedelta(seconds=9))
    assert await transfers.claim(now=SOON, owner="b", until=SOON) is None
    await transfers.release()
    assert await transfers.claim(now=NOW, owner="b", until=SOON) == further
    assert not await transfers.save(further, owner="a")
    done = replace(further, status=TransferStatus.COMPLETED, ended_at=SOON)
    assert await transfers.save(done, owner="b")
    assert not await transfers.save(further, owner="b")
    assert not await transfers.renew("j1", owner="b", until=SOON)
    assert await transfers.get("j1") == done
    assert await transfers.claim(now=SOON + timedelta(days=1), owner="b", until=SOON) is None
