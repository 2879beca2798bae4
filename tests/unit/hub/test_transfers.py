"""Imports and exports over the service API: to an account and to the built-in store (contract hub.md 10)."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from homeport.hub.errors import HubError
from homeport.hub.identities import IdentityWrite, InitialTwin
from homeport.hub.model import (
    CaAuthentication,
    SasAuthentication,
    SelfSignedAuthentication,
    Transfer,
    TransferKind,
    TransferPlace,
    TransferStatus,
)
from homeport.hub.served_hub import ServedHub
from homeport.hub.transfers import reading, writing
from homeport.hub.transfers.lines import NO_KEYS, cut, is_remark
from homeport.security import sas
from homeport.values import replace
from tests.blob_account import BlobAccount, blob_account
from tests.unit.hub.clients import RestClient
from tests.unit.hub.conftest import ManualClock

KEYS = SasAuthentication(primary_key=b"1" * 32, secondary_key=b"2" * 32)
ENDED = {"completed", "failed", "cancelled"}


@pytest.fixture
async def account() -> AsyncIterator[BlobAccount]:
    async with blob_account() as account:
        yield account


async def job(rest: RestClient, document: dict[str, Any]) -> dict[str, Any]:
    answer = await rest("POST", "/jobs/create", document)
    assert answer.status_code == 200, answer.text
    assert "sig=" not in answer.text
    return await ended(rest, answer.json()["jobId"])


async def ended(rest: RestClient, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            told: dict[str, Any] = (await rest("GET", f"/jobs/{job_id}")).json()
            if told["status"] in ENDED:
                return told
            await asyncio.sleep(0.01)


def importing(account: BlobAccount, **more: Any) -> dict[str, Any]:
    uris = {"inputBlobContainerUri": account.url, "outputBlobContainerUri": account.url}
    return {"type": "import", **uris, **more}


def exporting(account: BlobAccount, **more: Any) -> dict[str, Any]:
    return {"type": "export", "outputBlobContainerUri": account.url, **more}


def lines(*entries: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\r\n" for entry in entries)


async def fill(hub: ServedHub) -> None:
    twin = InitialTwin(tags={"a": {"b": 1}}, desired={"x": 1}, reported={"y": "é"})
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS, status_reason="new"), twin)
    await hub.registry.create(IdentityWrite(device_id="d1/m1", authentication=KEYS))
    await hub.registry.create(IdentityWrite(device_id="d2", authentication=CaAuthentication()))
    thumbprint = SelfSignedAuthentication(primary_thumbprint="A" * 40, secondary_thumbprint="B" * 64)
    await hub.registry.create(IdentityWrite(device_id="d3", authentication=thumbprint))
    await hub.registry.create(IdentityWrite(device_id="edge", authentication=KEYS, iot_edge=True))


async def everything(hub: ServedHub) -> list[Any]:
    """Return what an export and an import carry over."""
    found = []
    for modules in (False, True):
        for device in (await hub.registry.page(after=None, limit=500, modules=modules)).items:
            one, twin = device.identity, device.twin
            found.append(
                (one.device_id, one.authentication, one.status, one.status_reason, one.iot_edge, twin.tags,
                 twin.desired.content, twin.reported.content)
            )  # fmt: skip
    return found


async def test_there_and_back(hub: ServedHub, rest: RestClient, account: BlobAccount, clock: ManualClock) -> None:
    await fill(hub)
    before = await everything(hub)
    told = await job(rest, exporting(account))
    assert (told["status"], told["progress"], told["outputBlobName"]) == ("completed", 100, "devices.txt")
    assert "Uri" not in str(told)
    exported = [json.loads(line) for line in account.blobs["devices.txt"].splitlines()]
    assert [(one["id"], one.get("moduleId")) for one in exported] == [
        ("d1", None), ("d2", None), ("d3", None), ("edge", None), ("d1", "m1"), ("edge", "$edgeAgent"),
        ("edge", "$edgeHub"),
    ]  # fmt: skip
    for device in ("d1", "d2", "d3", "edge"):
        await hub.registry.delete(device, expected_etag=None)
    clock.pass_seconds(1)
    told = await job(rest, importing(account))
    assert (told["status"], told["progress"], told["inputBlobName"]) == ("completed", 100, "devices.txt")
    assert await everything(hub) == before
    assert "importErrors.log" not in account.blobs
    assert [one["type"] for one in (await rest("GET", "/jobs")).json()] == ["import", "export"]


async def test_without_keys(hub: ServedHub, rest: RestClient, account: BlobAccount) -> None:
    await fill(hub)
    await job(rest, exporting(account, excludeKeysInExport=True, outputBlobName="a/keyless.txt"))
    text = account.blobs["a/keyless.txt"]
    assert text.startswith(NO_KEYS)
    assert sas.encode_key(b"1" * 32).encode() not in text
    await hub.registry.delete("d1", expected_etag=None)
    await job(rest, importing(account, inputBlobName="a/keyless.txt"))
    made = (await hub.registry.get("d1")).authentication
    assert isinstance(made, SasAuthentication)
    assert made != KEYS


async def test_every_mode_and_the_log_of_errors(hub: ServedHub, rest: RestClient, account: BlobAccount) -> None:
    for device in ("old", "gone", "twin", "kept"):
        await hub.registry.create(IdentityWrite(device_id=device, authentication=KEYS))
    etag = (await hub.registry.get("kept")).etag
    on = {"status": "enabled"}
    account.blobs["devices.txt"] = (
        lines(
            {"id": "new", "importMode": "create", **on},
            {"id": "old", "importMode": "create", **on},
            {"id": "old", "importMode": "update", "status": "disabled"},
            {"id": "nobody", "importMode": "update", **on},
            {"id": "gone", "importMode": "delete", **on},
            {"id": "gone", "importMode": "deleteIfMatchETag", "eTag": "*", **on},
            {"id": "twin", "importMode": "updateTwin", "tags": {"t": 1}, **on},
            {"id": "kept", "importMode": "updateIfMatchETag", "eTag": "no", **on},
            {"id": "kept", "importMode": "updateIfMatchETag", "eTag": etag, "status": "disabled"},
            {"id": "plain", **on},
            {"id": "plain", "importMode": "createOrUpdate", "tags": {"t": 2}, **on},
            {"id": "lacks status"},
            {"id": "odd", "importMode": "frobnicate", **on},
        )
        + b"\n  \nno JSON\n"
        + lines({"id": "new", "moduleId": "m"})[:-2]
    )
    told = await job(rest, importing(account))
    assert (told["status"], told["progress"]) == ("completed", 100)
    log = [json.loads(line) for line in account.blobs["importErrors.log"].splitlines()]
    assert [(one["deviceId"], one["errorCode"]) for one in log] == [
        ("old", 409001), ("nobody", 404001), ("gone", 404001), ("kept", 412001), ("", 400004), ("odd", 400004),
        ("", 400004),
    ]  # fmt: skip
    assert log[-1]["errorStatus"].startswith("Line 16: ")
    assert (await hub.registry.get("old")).status.value == "disabled"
    assert (await hub.registry.get("kept")).status.value == "disabled"
    assert (await hub.twins.get("twin")).twin.tags == {"t": 1}
    assert (await hub.twins.get("plain")).twin.tags == {"t": 2}
    assert await hub.registry.find("new/m") is not None
    # A later import without errors leaves no log of an earlier one.
    account.blobs["devices.txt"] = b""
    assert (await job(rest, importing(account)))["status"] == "completed"
    assert "importErrors.log" not in account.blobs


async def test_configurations(hub: ServedHub, rest: RestClient, account: BlobAccount) -> None:
    document = {
        "id": "c1",
        "schemaVersion": "1.0",
        "content": {"deviceContent": {"properties.desired.x": 1}},
        "targetCondition": "tags.a=1",
        "priority": 3,
    }
    assert (await rest("PUT", "/configurations/c1", document)).status_code == 200
    await job(rest, exporting(account, includeConfigurations=True))
    exported = json.loads(account.blobs["configurations.txt"])
    assert exported["id"] == "c1"
    exported["priority"] = 7
    account.blobs["mine.txt"] = lines(
        exported, {**exported, "id": "c2"}, {"id": "c3", "importMode": "delete"}, {"id": "bad"}
    )
    await job(rest, importing(account, includeConfigurations=True, configurationsBlobName="mine.txt"))
    stored = (await rest("GET", "/configurations")).json()
    assert [(one["id"], one["priority"]) for one in stored] == [("c1", 7), ("c2", 7)]
    log = [json.loads(line) for line in account.blobs["importErrors.log"].splitlines()]
    assert [one["errorStatus"].partition(":")[0] for one in log] == ["Line 3", "Line 4"]


async def test_the_built_in_store(hub: ServedHub, rest: RestClient, clock: ManualClock) -> None:
    await fill(hub)
    before = await everything(hub)
    reading_url = (await rest("GET", "/fileUpload")).json()["containerUrl"]
    refused = await rest("POST", "/jobs/create", {"type": "export", "outputBlobContainerUri": reading_url})
    assert refused.status_code == 400
    assert refused.headers["iothub-errorcode"] == "BlobContainerValidationError"
    assert "does not permit" in refused.text
    answer = await rest("GET", "/fileUpload/writable")
    url = answer.json()["containerUrl"]
    told = await job(rest, {"type": "export", "outputBlobContainerUri": url})
    assert told["status"] == "completed", told
    for device in ("d1", "d2", "d3", "edge"):
        await hub.registry.delete(device, expected_etag=None)
    told = await job(rest, {"type": "import", "inputBlobContainerUri": url, "outputBlobContainerUri": url})
    assert told["status"] == "completed", told
    assert await everything(hub) == before
    clock.pass_seconds(7200)
    refused = await rest("POST", "/jobs/create", {"type": "export", "outputBlobContainerUri": url})
    assert "expired" in refused.text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"type": "backup"}, "neither import nor export"),
        ({"outputBlobContainerUri": None}, "outputBlobContainerUri is missing"),
        ({"type": "import"}, "inputBlobContainerUri is missing"),
        ({"storageAuthenticationType": "identityBased"}, "only keyBased"),
        ({"outputBlobName": "../x"}, "blobName"),
        ({"outputBlobContainerUri": "ftp://a/b?sig=c"}, "no http or https"),
        ({"outputBlobContainerUri": "https://a?sig=c"}, "names no container"),
        ({"outputBlobContainerUri": "https://a/b"}, "no shared access signature"),
        ({"outputBlobContainerUri": "https://u:p@a/b?sig=c"}, "no http or https"),
        ({"outputBlobContainerUri": "https://a:b/c?sig=c"}, "cannot be read"),
        ({"outputBlobContainerUri": "http://127.0.0.1:9/a/b?sig=SECRET"}, "cannot be reached"),
    ],
)
async def test_what_cannot_be(
    rest: RestClient, account: BlobAccount, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], told: str
) -> None:
    monkeypatch.setattr("homeport.blobs.account_container._PAUSES", ())
    answer = await rest("POST", "/jobs/create", {**exporting(account), **change})
    assert answer.status_code == 400
    assert told in answer.text
    assert "SECRET" not in answer.text
    assert (await rest("GET", "/jobs")).json() == []


async def test_one_at_a_time_and_cancelling(hub: ServedHub, rest: RestClient, account: BlobAccount) -> None:
    account.blobs["devices.txt"] = lines({"id": "d1", "status": "enabled"})
    held = asyncio.Event()
    carry_out = hub.transfer_runner._importer.carry_out

    async def waiting(entry: Any) -> None:
        held.set()
        await asyncio.sleep(3600)
        await carry_out(entry)

    hub.transfer_runner._importer.carry_out = waiting  # type: ignore[method-assign]  # to stop it in the middle
    first = (await rest("POST", "/jobs/create", importing(account))).json()
    await held.wait()
    refused = await rest("POST", "/jobs/create", exporting(account))
    assert (refused.status_code, refused.headers["iothub-errorcode"]) == (403, "JobQuotaExceeded")
    assert (await rest("GET", f"/jobs/{first['jobId']}")).json()["status"] == "running"
    assert (await rest("DELETE", f"/jobs/{first['jobId']}")).status_code == 204
    assert (await ended(rest, first["jobId"]))["status"] == "cancelled"
    stored = await hub.transfer_store.get(first["jobId"])
    assert stored is not None
    assert stored.input_container is None
    for method in ("GET", "DELETE"):
        missing = await rest(method, "/jobs/nobody")
        assert (missing.status_code, missing.headers["iothub-errorcode"]) == (404, "JobNotFound")


async def test_rights(rest: RestClient, account: BlobAccount) -> None:
    for policy, method, path in (
        ("registryRead", "POST", "/jobs/create"),
        ("service", "GET", "/jobs"),
        ("registryRead", "DELETE", "/jobs/x"),
    ):
        assert (await rest(method, path, exporting(account), policy=policy)).status_code == 401


@pytest.mark.parametrize("missing", ["blob", "container"])
async def test_input_that_is_not_there(rest: RestClient, account: BlobAccount, missing: str) -> None:
    if missing == "blob":
        told = await job(rest, importing(account))
        assert (told["status"], told["failureReason"]) == (
            "failed",
            "There is no blob devices.txt in the input container.",
        )
        return
    account.read_only = True
    refused = await rest("POST", "/jobs/create", importing(account))
    assert "status 403 (AuthorizationPermissionMismatch)" in refused.text


async def test_an_account_that_is_busy_is_asked_again(
    rest: RestClient, account: BlobAccount, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    monkeypatch.setattr("homeport.blobs.account_container._PAUSES", (0.0, 0.0, 0.0))

    async def at_once(seconds: float) -> None:
        if seconds:
            await type(clock).sleep(clock, seconds)

    monkeypatch.setattr(clock, "sleep", at_once)
    account.busy = 3
    assert (await job(rest, exporting(account)))["status"] == "completed"


# ---------------------------------------------------------------- after the end of a process


def stopped(hub: ServedHub, clock: ManualClock, account: BlobAccount, kind: TransferKind, **place: Any) -> Transfer:
    """Return a transfer as a process leaves it that dies in the middle."""
    return Transfer(
        job_id="j",
        kind=kind,
        status=TransferStatus.RUNNING,
        created_at=clock.now(),
        input_container=account.url if kind is TransferKind.IMPORT else None,
        output_container=account.url,
        place=TransferPlace(**place),
    )


async def test_an_import_goes_on(
    hub: ServedHub, rest: RestClient, account: BlobAccount, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BATCH", 3)
    await hub.registry.create(IdentityWrite(device_id="before", authentication=KEYS))
    clock.pass_seconds(1)
    transfer = stopped(hub, clock, account, TransferKind.IMPORT)
    entries = [{"id": f"d{number}", "importMode": "create", "status": "enabled"} for number in range(7)]
    text = lines({"id": "before", "importMode": "create", "status": "enabled"}, *entries)
    account.blobs["devices.txt"] = text
    # The first batch is done and noted, and its error stored; of the second, one device was made.
    done = len(lines({"id": "before", "importMode": "create", "status": "enabled"}, *entries[:2]))
    transfer = replace(transfer, place=TransferPlace(offset=done, lines=3, blocks=1, total=len(text)))
    account.blocks["importErrors.log"] = {"MDAwMDAwMDA=": b'{"deviceId":"before"}\n'}
    for device in ("d0", "d1", "d2"):
        await hub.registry.create(IdentityWrite(device_id=device, authentication=KEYS))
    await hub.transfer_store.create(transfer)
    hub.transfer_runner.wake()
    assert (await ended(rest, "j"))["status"] == "completed"
    assert account.blobs["importErrors.log"] == b'{"deviceId":"before"}\n'
    assert (await hub.registry.statistics()).total == 8


async def test_an_input_that_changed_meanwhile(
    hub: ServedHub, rest: RestClient, account: BlobAccount, clock: ManualClock
) -> None:
    account.blobs["devices.txt"] = lines({"id": "d1", "status": "enabled"})
    await hub.transfer_store.create(stopped(hub, clock, account, TransferKind.IMPORT, etag='"other"'))
    hub.transfer_runner.wake()
    told = await ended(rest, "j")
    assert (told["status"], told["failureReason"]) == (
        "failed",
        "The blob devices.txt was changed while it was being imported.",
    )


@pytest.mark.parametrize("kept", [True, False])
async def test_an_export_goes_on(
    hub: ServedHub,
    rest: RestClient,
    account: BlobAccount,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    kept: bool,
) -> None:
    monkeypatch.setattr(writing, "_PAGE", 2)
    monkeypatch.setattr(writing, "BLOCK", 1)
    for number in range(5):
        await hub.registry.create(IdentityWrite(device_id=f"d{number}", authentication=KEYS))
    if kept:
        account.blocks["devices.txt"] = {"MDAwMDAwMDA=": b"the first block\n"}
    await hub.transfer_store.create(
        stopped(hub, clock, account, TransferKind.EXPORT, after="d1", lines=2, blocks=1, total=5)
    )
    hub.transfer_runner.wake()
    assert (await ended(rest, "j"))["status"] == "completed"
    written = account.blobs["devices.txt"].splitlines()
    if kept:
        assert written[0] == b"the first block"
        assert [json.loads(line)["id"] for line in written[1:]] == ["d2", "d3", "d4"]
    else:
        assert [json.loads(line)["id"] for line in written] == [f"d{number}" for number in range(5)]


async def test_a_process_whose_lease_is_over_stores_nothing(
    hub: ServedHub, clock: ManualClock, account: BlobAccount
) -> None:
    store = hub.transfer_store
    transfer = replace(stopped(hub, clock, account, TransferKind.EXPORT), status=TransferStatus.ENQUEUED)
    await store.create(transfer)
    with pytest.raises(HubError):
        await store.create(replace(transfer, job_id="other"))
    soon = clock.now() + timedelta(seconds=30)
    assert await store.claim(now=clock.now(), owner="a", until=soon) is not None
    assert await store.claim(now=clock.now(), owner="b", until=soon) is None
    assert await store.claim(now=soon, owner="b", until=soon + timedelta(seconds=30)) is not None
    assert not await store.save(transfer, owner="a")
    assert not await store.renew("j", owner="a", until=soon)
    assert await store.save(transfer, owner="b")


# ---------------------------------------------------------------- lines


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_cutting_is_the_same_at_any_size(size: int) -> None:
    text = b"one\n\ntwo\r\nthree"
    found: list[bytes] = []
    rest = b""
    for start in range(0, len(text), size):
        rest += text[start : start + size]
        whole = list(cut(rest, is_last=start + size >= len(text)))
        found += whole
        rest = rest[sum(map(len, whole)) :]
    assert found == [b"one\n", b"\n", b"two\r\n", b"three"]


def test_remarks() -> None:
    assert is_remark(b" \r\n", 5)
    assert is_remark(NO_KEYS, 0)
    assert is_remark(b"\xef\xbb\xbfWarning", 0)
    assert not is_remark(b"\xef\xbb\xbf{}", 0)
    assert not is_remark(b"no JSON", 1)
