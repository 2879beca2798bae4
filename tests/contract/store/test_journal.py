"""The journal: one chain whoever writes, in the change's own transaction, and no tampering that goes unnoticed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeport.dps.model import Entry, Kind, LinkedHub, ProvisioningStatus, Recorded, RegistrationStatus, Wanted
from homeport.errors import HomeportError
from homeport.security.callers import SYSTEM, Caller, CallerKind
from homeport.store import Stores, open_stores
from homeport.store.database import Transaction
from homeport.values import replace
from tests.contract.store.samples import finished, group, individual, linked, registration

ANNA = Caller(kind=CallerKind.ADMINISTRATOR, name="anna", remote_address="192.0.2.1", tracking_id="t-1")
EVERYTHING = Wanted()


def entry(subject: str, kind: Kind = Kind.HUB_UPDATED, **data: Any) -> Entry:
    return Entry(kind=kind, subject=subject, by=SYSTEM, data=data)


async def told(stores: Stores, wanted: Wanted = EVERYTHING) -> list[Recorded]:
    return list((await stores.journal.page(wanted, after=None, limit=1000, newest_first=False)).items)


async def execute(stores: Stores, sql: str, **values: Any) -> int:
    return await stores.database.execute(sql, values)


async def filled(stores: Stores, count: int = 6) -> list[Recorded]:
    for number in range(count):
        await stores.journal.record([entry(f"hubs/h{number}", number=number)])
    return await told(stores)


async def broken_at(stores: Stores) -> int | None:
    broken, _, _ = await stores.journal.verify()
    return None if broken is None else broken.seq


async def test_an_enrollments_life_is_told_with_who_did_it_and_no_secret(stores: Stores) -> None:
    await stores.enrollments.create_individual(individual("Dev-1"), by=ANNA)
    await stores.enrollments.replace_individual(
        individual("dev-1", etag="e2", device_id="other"), expected_etag="e1", by=ANNA
    )
    await stores.enrollments.delete_individual("DEV-1", expected_etag="e2", by=ANNA)
    created, updated, deleted = await told(stores)
    assert [e.kind for e in (created, updated, deleted)] == [
        "enrollment.created",
        "enrollment.updated",
        "enrollment.deleted",
    ]
    assert created.document["by"] == {"kind": "administrator", "name": "anna"}
    assert created.document["remoteAddress"] == "192.0.2.1"
    assert created.document["trackingId"] == "t-1"
    assert created.document["data"]["changes"]["attestation.primaryKey"] == {"secret": True}
    assert (updated.document["etagBefore"], updated.document["etagAfter"]) == ("e1", "e2")
    assert updated.document["data"]["changes"]["deviceId"] == {"after": "other"}
    assert deleted.document["etagBefore"] == "e2"
    assert "c3Nzc3" not in str(created.document)
    assert "ssss" not in str(created.document)


async def test_a_group_that_is_disabled_and_enabled_is_told_as_that(stores: Stores) -> None:
    await stores.enrollments.create_group(group("g"), by=ANNA)
    off = group("g", etag="e2", provisioning_status=ProvisioningStatus.DISABLED)
    await stores.enrollments.replace_group(off, expected_etag="e1", by=ANNA)
    await stores.enrollments.replace_group(group("g", etag="e3"), expected_etag="e2", by=ANNA)
    await stores.enrollments.delete_group("g", expected_etag=None, by=ANNA)
    assert [e.kind for e in await told(stores)] == [
        "enrollmentGroup.created",
        "enrollmentGroup.disabled",
        "enrollmentGroup.enabled",
        "enrollmentGroup.deleted",
    ]


async def test_what_was_refused_leaves_no_entry(stores: Stores) -> None:
    await stores.enrollments.create_individual(individual("a"))
    refused = [
        stores.enrollments.create_individual(individual("A")),
        stores.enrollments.replace_individual(individual("a"), expected_etag="other"),
        stores.enrollments.delete_individual("b", expected_etag=None),
        stores.enrollments.delete_group("b", expected_etag=None),
        stores.linked_hubs.delete("none"),
        stores.registrations.delete("none", expected_etag=None),
    ]
    for call in refused:
        with pytest.raises(HomeportError):
            await call
    assert len(await told(stores)) == 1


async def test_linked_hubs_are_told_without_their_keys(stores: Stores) -> None:
    hub: LinkedHub = linked("east", connection_string="HostName=x;SharedAccessKey=topsecret")
    await stores.linked_hubs.put(hub, create=True, by=ANNA)
    await stores.linked_hubs.put(replace(hub, allocation_weight=7), create=False, by=ANNA)
    await stores.linked_hubs.delete("east", by=ANNA)
    entries = await told(stores)
    assert [(e.kind, e.subject) for e in entries] == [
        ("hub.linked", "hubs/east"),
        ("hub.updated", "hubs/east"),
        ("hub.unlinked", "hubs/east"),
    ]
    assert entries[1].document["data"] == {"changes": {"allocationWeight": {"before": 1, "after": 7}}}
    assert "topsecret" not in str([e.document for e in entries])


async def test_an_outcome_is_told_once_and_only_if_it_was_saved(stores: Stores) -> None:
    opened = registration("dev", remote_address="198.51.100.4", tracking_id="t-9", lease_owner="me")
    await stores.registrations.open(opened, expected_etag=None)
    assert await told(stores) == []
    with pytest.raises(HomeportError):
        await stores.registrations.save(finished(opened), lease_owner="somebody else")
    await stores.registrations.save(finished(opened), lease_owner="me")
    with pytest.raises(HomeportError):
        await stores.registrations.save(finished(opened, "again"), lease_owner="me")
    (only,) = await told(stores)
    assert (only.subject, only.document["trackingId"]) == ("devices/dev", "t-9")
    assert only.document["by"] == {"kind": "device", "name": "dev"}
    assert only.document["remoteAddress"] == "198.51.100.4"
    assert only.document["data"]["assignedHub"] == "hub.example.net"


async def test_a_record_that_ends_as_it_is_opened_is_told_too(stores: Stores) -> None:
    opened = registration("dev")
    turned_away = replace(
        opened,
        status=RegistrationStatus.DISABLED,
        operation=replace(opened.operation, status=RegistrationStatus.DISABLED),
    )
    await stores.registrations.open(turned_away, expected_etag=None)
    await stores.registrations.delete("dev", expected_etag=None, by=ANNA)
    assert [e.kind for e in await told(stores)] == ["device.disabled", "registration.deleted"]


async def test_the_chain_holds_and_pages_both_ways(stores: Stores) -> None:
    entries = await filled(stores, 7)
    assert [e.seq for e in entries] == list(range(1, 8))
    assert await broken_at(stores) is None
    newest = await stores.journal.page(EVERYTHING, after=None, limit=3)
    older = await stores.journal.page(EVERYTHING, after=newest.after, limit=9)
    assert [e.seq for e in [*newest.items, *older.items]] == [7, 6, 5, 4, 3, 2, 1]
    assert older.after is None
    signed = await stores.journal.head()
    assert (signed.head.seq, signed.head.hash) == (7, entries[-1].hash)
    assert signed.is_genuine


async def test_entries_are_found_by_kind_subject_and_time(stores: Stores) -> None:
    await stores.journal.record([entry("hubs/a", Kind.HUB_LINKED), entry("hubs/ab", Kind.HUB_UPDATED)])
    await stores.journal.record([entry("devices/A", Kind.DEVICE_FAILED)])
    everything = await told(stores)

    async def found(**wanted: Any) -> list[int]:
        return [e.seq for e in await told(stores, Wanted(**wanted))]

    assert await found(kind="hub.linked") == [1]
    assert await found(kind="hub.") == [1, 2]
    assert await found(subject="Hubs/A") == [1]
    assert await found(subject="hubs/a*") == [1, 2]
    assert await found(since=everything[2].at) == [3]
    assert await found(until=everything[2].at) == [1, 2]
    assert await found(kind="hub.", subject="devices/a") == []


TAMPERING = {
    "data": ("UPDATE journal SET data = replace(data, 'h2', 'h9') WHERE seq = 3", 3),
    "hash": ("UPDATE journal SET hash = (SELECT hash FROM journal WHERE seq = 1) WHERE seq = 3", 3),
    "time": ("UPDATE journal SET at = at + 1 WHERE seq = 3", 3),
    "kind": ("UPDATE journal SET kind = 'hub.linked' WHERE seq = 3", 3),
    "subject": ("UPDATE journal SET subject_key = 'hubs/x' WHERE seq = 3", 3),
    "a row": ("DELETE FROM journal WHERE seq = 3", 3),
    "the first": ("DELETE FROM journal WHERE seq = 1", 1),
    "the end": ("DELETE FROM journal WHERE seq > 4", 5),
    "order": ("UPDATE journal SET data = (SELECT data FROM journal AS other WHERE other.seq = 9 - journal.seq)", 1),
    "one too many": ("INSERT INTO journal SELECT 7, at, kind, subject_key, data, hash FROM journal WHERE seq = 6", 7),
    "before": ("INSERT INTO journal SELECT 0, at, kind, subject_key, data, hash FROM journal WHERE seq = 6", 0),
    "head": ("UPDATE journal_head SET seq = 4, hash = (SELECT hash FROM journal WHERE seq = 4)", 0),
    "anchor": ("UPDATE journal_head SET anchor_seq = 2, anchor_hash = (SELECT hash FROM journal WHERE seq = 2)", 0),
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_tampering_is_found_where_it_is(stores: Stores, what: str) -> None:
    await filled(stores, 6)
    assert await broken_at(stores) is None
    sql, where = TAMPERING[what]
    if what == "order":
        sql += " WHERE seq BETWEEN 3 AND 6"
        where = 3
    assert await execute(stores, sql)
    assert await broken_at(stores) == where


async def test_a_database_that_was_set_back_is_noticed_by_a_server_that_saw_more(stores: Stores) -> None:
    await filled(stores, 3)
    old = await stores.database.fetch_one("SELECT seq, hash, signature FROM journal_head")
    assert old is not None
    await filled(stores, 3)
    assert await broken_at(stores) is None
    await execute(stores, "DELETE FROM journal WHERE seq > 3")
    await execute(
        stores,
        "UPDATE journal_head SET seq = :seq, hash = :hash, signature = :signature",
        seq=old[0],
        hash=old[1],
        signature=old[2],
    )
    assert await broken_at(stores) == 4


async def test_old_entries_are_dropped_behind_an_anchor_that_verifies(stores: Stores) -> None:
    before = await filled(stores, 6)

    def note(last: int, digest: bytes, count: int) -> Entry:
        return entry("audit", Kind.AUDIT_PRUNED, last=last, hash=digest.hex(), count=count)

    # Entry times are real: what is older than entry 4 goes.
    assert await stores.journal.prune(before=before[3].at, up_to=2, note=note) == 2
    assert await stores.journal.prune(before=before[3].at, up_to=99, note=note) == 1
    assert await stores.journal.prune(before=before[3].at, up_to=99, note=note) == 0
    assert await broken_at(stores) is None
    left = await told(stores)
    assert [e.seq for e in left] == [4, 5, 6, 7, 8]
    assert left[-1].document["data"] == {"last": 3, "hash": before[2].hash.hex(), "count": 1}
    await execute(stores, "DELETE FROM journal WHERE seq = 4")
    assert await broken_at(stores) == 4


async def test_the_last_entry_is_never_dropped(stores: Stores) -> None:
    await filled(stores, 3)
    later = datetime.now(UTC) + timedelta(days=1)
    await stores.journal.prune(before=later, up_to=99, note=lambda *_: entry("audit", Kind.AUDIT_PRUNED))
    assert [e.seq for e in await told(stores)] == [3, 4]
    assert await broken_at(stores) is None


async def test_two_processes_make_one_chain(pair: tuple[Stores, Stores]) -> None:
    one, other = pair

    async def busy(stores: Stores, name: str) -> None:
        for number in range(60):
            await stores.enrollments.create_individual(individual(f"{name}-{number}"))
            await stores.enrollments.delete_individual(f"{name}-{number}", expected_etag=None)

    await asyncio.gather(busy(one, "a"), busy(one, "b"), busy(other, "c"), busy(other, "d"))
    for stores in pair:
        broken, count, signed = await stores.journal.verify()
        assert broken is None
        assert (count, signed.head.seq) == (480, 480)
    kinds: dict[str, list[str]] = {}
    for recorded in await told(one):
        kinds.setdefault(recorded.subject, []).append(recorded.kind)
    assert set(map(tuple, kinds.values())) == {("enrollment.created", "enrollment.deleted")}


async def test_what_nobody_chained_is_chained_by_the_next_process(shared: str) -> None:
    async with open_stores(shared) as first:
        await first.database.execute(
            "INSERT INTO journal_pending (at, kind, subject_key, data) VALUES (:at, :kind, :subject_key, :data)",
            first.journal._row(entry("hubs/left")),
        )

        async def undone(transaction: Transaction) -> None:
            await first.journal.append(transaction, entry("hubs/undone"))
            raise ValueError("undone")

        with pytest.raises(ValueError, match="undone"):
            await first.database.write(undone)
    async with open_stores(shared) as second:
        await second.journal.catch_up()
        assert [e.subject for e in await second.journal.read(after=0, limit=9)] == ["hubs/left"]


async def test_texts_of_strangers_are_kept_in_a_form_that_every_database_takes(stores: Stores) -> None:
    await stores.journal.record([entry("devices/\ud800\0x", data="\ud800")])
    assert await broken_at(stores) is None
    (only,) = await told(stores)
    assert only.subject == "devices/?\ufffdx"
