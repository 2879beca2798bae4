"""Authorities, policies, issued certificates and revocation lists."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from homeport.dps.model import (
    AuthorityVersion,
    CertificateAuthority,
    CertificatePolicy,
    CertificateRef,
    Issuance,
    IssuedCertificate,
    Registration,
    Revocation,
    RevocationList,
    StoredKey,
    Wanted,
)
from homeport.errors import Code, ConflictError, HomeportError
from homeport.paging import Page, TokenError
from homeport.security.callers import Caller, CallerKind, Role
from homeport.security.signing_keys import KeyAlgorithm
from homeport.security.x509_issue import RevocationReason
from homeport.store import Stores
from homeport.values import replace
from tests.contract.store.samples import LEASE, NOW, finished, group, individual, registration

DAY = timedelta(days=1)
REVOCATION = Revocation(at=NOW, reason=RevocationReason.KEY_COMPROMISE)


def authority(name: str, etag: str = "e1", **changes: Any) -> CertificateAuthority:
    version = AuthorityVersion(
        number=1,
        certificate=b"\0certificate",
        issuers=(b"root\xff",),
        key=StoredKey(public_key=b"public", sealed=b"sealed\0"),
        not_after=NOW + DAY,
        created_at=NOW,
    )
    token = replace(version, number=2, issuers=(), key=StoredKey(public_key=b"p", uri="pkcs11:token=t;object=o"))
    made = CertificateAuthority(
        name=name,
        issuer="root",
        maximum_validity=90 * DAY,
        crl_url="https://pki.example/x.crl",
        versions=(version, token),
        etag=etag,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **changes)


def policy(name: str, etag: str = "e1", **changes: Any) -> CertificatePolicy:
    made = CertificatePolicy(
        name=name,
        authority="line",
        validity=timedelta(hours=7, seconds=1),
        key_algorithms=(KeyAlgorithm.EC_P256, KeyAlgorithm.ED25519),
        organization="Wörks",
        etag=etag,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **changes)


def issuance(number: int, **changes: Any) -> Issuance:
    made = Issuance(
        ref=CertificateRef(serial_number=f"4850{number:04X}", thumbprint=f"{number:064X}"),
        authority="Line",
        version=1,
        policy="standard",
        key_digest=f"key{number}",
        subject="CN=dev",
        chain=(b"leaf\0%d" % number, b"line", b"root"),
        not_before=NOW,
        not_after=NOW + number * DAY,
    )
    return replace(made, **changes)


async def end(stores: Stores, registration_id: str, issued: Issuance, **of_operation: Any) -> Registration:
    """Let an operation end well, with a certificate."""
    current = await stores.registrations.get(registration_id)
    opened = registration(
        registration_id, operation=f"op-{issued.ref.serial_number}", issuance=issued, lease_owner="me", **of_operation
    )
    opened = replace(opened, etag=f"open-{issued.ref.serial_number}")
    await stores.registrations.open(opened, expected_etag=current.etag if current else None)
    ended = replace(finished(opened, etag=f"done-{issued.ref.serial_number}"), certificate=issued.ref)
    await stores.registrations.save(ended, lease_owner="me")
    return ended


async def page(stores: Stores, **filters: Any) -> Page[IssuedCertificate]:
    wanted: dict[str, Any] = {
        "registration_id": None,
        "authority": None,
        "ends_after": None,
        "ends_before": None,
        "after": None,
        "limit": 100,
    }
    return await stores.issued_certificates.page(**{**wanted, **filters})


def serials(found: Page[IssuedCertificate]) -> list[str]:
    return [each.ref.serial_number[4:] for each in found.items]


# ---------------------------------------------------------------- authorities and policies


async def test_authorities_are_kept_as_they_are(stores: Stores) -> None:
    await stores.authorities.create(authority("Line"))
    assert await stores.authorities.get("LINE") == authority("Line")
    assert await stores.authorities.get("other") is None
    with pytest.raises(HomeportError) as taken:
        await stores.authorities.create(authority("line"))
    assert taken.value.code is Code.ISSUING_EXISTS
    await stores.authorities.create(authority("another"))
    assert [each.name for each in await stores.authorities.all()] == ["another", "Line"]


async def test_policies_are_kept_as_they_are(stores: Stores) -> None:
    await stores.certificate_policies.create(policy("Standard"))
    assert await stores.certificate_policies.get("standard") == policy("Standard")
    await stores.certificate_policies.delete("STANDARD")
    assert await stores.certificate_policies.all() == ()
    with pytest.raises(HomeportError) as missing:
        await stores.certificate_policies.delete("standard")
    assert missing.value.code is Code.NOT_FOUND


async def test_a_change_expects_the_version_it_was_made_from(stores: Stores) -> None:
    await stores.authorities.create(authority("line"))
    await stores.authorities.replace(authority("line", "e2"), expected_etag="e1")
    for expected, name in (("e1", "line"), ("e2", "missing")):
        with pytest.raises(HomeportError) as stale:
            await stores.authorities.replace(authority(name, "e3"), expected_etag=expected)
        assert stale.value.code is Code.PRECONDITION_FAILED
    assert await stores.authorities.get("line") == authority("line", "e2")


async def test_another_process_sees_a_change_at_once(pair: tuple[Stores, Stores]) -> None:
    one, other = pair
    assert await other.authorities.all() == ()
    await one.authorities.create(authority("line"))
    assert await other.authorities.get("line") == authority("line")
    await other.authorities.replace(authority("line", "e2"), expected_etag="e1")
    assert await one.authorities.get("line") == authority("line", "e2")
    await one.certificate_policies.create(policy("standard"))
    assert await other.certificate_policies.get("standard") == policy("standard")


async def test_enrollments_that_name_an_authority_or_a_policy_are_found(stores: Stores) -> None:
    await stores.enrollments.create_individual(
        individual("dev-1", certificate_authority_name="Line", initial_twin={"tags": {"certificate_policy_name": 1}})
    )
    await stores.enrollments.create_group(group("fleet", certificate_policy_name="Standard", namespace_name="plant"))
    assert await stores.authorities.enrollment_with("LINE") == "dev-1"
    assert await stores.authorities.enrollment_with("lin") is None
    assert await stores.certificate_policies.enrollment_with("standard") == "fleet"
    assert await stores.certificate_policies.enrollment_with("line") is None
    stored = await stores.enrollments.get_group("fleet")
    assert stored is not None
    assert (stored.namespace_name, stored.certificate_policy_name) == ("plant", "Standard")


# ---------------------------------------------------------------- issued certificates


async def test_a_certificate_is_issued_with_the_outcome(stores: Stores) -> None:
    opened = registration("Dev", issuance=issuance(1), lease_owner="me")
    await stores.registrations.open(opened, expected_etag=None)
    assert await stores.registrations.get("dev") == opened
    assert await stores.issued_certificates.get("48500001") is None
    ended = replace(finished(opened), certificate=issuance(1).ref)
    await stores.registrations.save(ended, lease_owner="me")
    assert await stores.registrations.get("dev") == ended
    assert await stores.issued_certificates.get("48500001") == IssuedCertificate(
        ref=issuance(1).ref,
        registration_id="Dev",
        authority="Line",
        version=1,
        policy="standard",
        key_digest="key1",
        subject="CN=dev",
        certificate=b"leaf\x001",
        not_before=NOW,
        not_after=NOW + DAY,
        issued_at=NOW + timedelta(seconds=1),
        hub="hub.example.net",
        device_id="Dev",
    )


async def test_whoever_lost_the_lease_issues_nothing(stores: Stores) -> None:
    opened = registration("dev", issuance=issuance(1), lease_owner="me", lease_until=NOW + LEASE)
    await stores.registrations.open(opened, expected_etag=None)
    with pytest.raises(ConflictError):
        await stores.registrations.save(finished(opened), lease_owner="somebody else")
    assert await stores.issued_certificates.get("48500001") is None


async def test_a_certificate_given_again_is_listed_once(stores: Stores) -> None:
    await end(stores, "dev", issuance(1))
    opened = registration("dev", operation="again", issuance=issuance(1, is_new=False), lease_owner="me")
    await stores.registrations.open(replace(opened, etag="x"), expected_etag="done-48500001")
    await stores.registrations.save(finished(replace(opened, etag="x")), lease_owner="me")
    assert serials(await page(stores)) == ["0001"]


async def test_certificates_come_in_the_order_in_which_they_expire(stores: Stores) -> None:
    for number, device in ((3, "dev-a"), (1, "dev-b"), (2, "dev-a")):
        await end(stores, device, issuance(number))
    await end(stores, "dev-c", issuance(4, authority="other"))
    assert serials(await page(stores)) == ["0001", "0002", "0003", "0004"]
    assert serials(await page(stores, registration_id="DEV-A")) == ["0002", "0003"]
    assert serials(await page(stores, authority="line")) == ["0001", "0002", "0003"]
    assert serials(await page(stores, ends_after=NOW + DAY, ends_before=NOW + 3 * DAY)) == ["0002", "0003"]
    first = await page(stores, limit=3)
    assert serials(first) == ["0001", "0002", "0003"]
    assert serials(await page(stores, after=first.after, limit=3)) == ["0004"]
    assert (await page(stores, after=first.after, limit=1)).after is None


@pytest.mark.parametrize("after", ["", "x", "-", "1-", "9999999999999999999-A", "1-A'--"])
async def test_a_forged_continuation(stores: Stores, after: str) -> None:
    with pytest.raises(TokenError):
        await page(stores, after=after)


async def test_the_first_revocation_stands_until_it_is_withdrawn(stores: Stores) -> None:
    await end(stores, "dev", issuance(1))
    certificates = stores.issued_certificates
    assert await certificates.to_withdraw(limit=10) == []
    revoked = await certificates.revoke("48500001", REVOCATION)
    assert revoked is not None
    assert (revoked.revocation, revoked.withdrawn) == (REVOCATION, False)
    later = Revocation(at=NOW + DAY, reason=RevocationReason.SUPERSEDED)
    assert await certificates.revoke("48500001", later) == revoked
    assert await certificates.revoke("4850FFFF", later) is None
    assert await certificates.to_withdraw(limit=10) == [revoked]
    await certificates.withdrawn("48500001")
    assert await certificates.to_withdraw(limit=10) == []
    assert await certificates.revoke("48500001", later) == replace(revoked, withdrawn=True)
    assert await certificates.revoked_with_key("key1") == replace(revoked, withdrawn=True)
    assert await certificates.revoked_with_key("key2") is None


async def test_revoked_and_valid_certificates_of_a_version(stores: Stores) -> None:
    for number in range(1, 6):
        await end(stores, f"dev-{number}", issuance(number, version=1 + number % 2))
    for number in (2, 4, 5):
        await stores.issued_certificates.revoke(f"4850000{number}", REVOCATION)

    async def revoked(version: int, now: datetime) -> list[str]:
        found = await stores.issued_certificates.revoked("LINE", version, now=now)
        return [each.ref.serial_number for each in found]

    assert await revoked(1, NOW) == ["48500002", "48500004"]
    assert await revoked(1, NOW + 3 * DAY) == ["48500004"]
    assert await revoked(2, NOW) == ["48500005"]
    assert await stores.issued_certificates.count_valid("line", now=NOW) == 2
    assert await stores.issued_certificates.count_valid("line", now=NOW + 2 * DAY) == 1


# ---------------------------------------------------------------- what the journal tells

ANNA = Caller(kind=CallerKind.ADMINISTRATOR, name="anna", role=Role.OWNER, tracking_id="t-1")


async def told(stores: Stores, kind: str) -> list[Mapping[str, Any]]:
    found = await stores.journal.page(Wanted(kind=kind), after=None, limit=100, newest_first=False)
    return [each.document for each in found.items]


async def test_a_certificate_is_told_once_with_the_outcome_that_gave_it(stores: Stores) -> None:
    await end(stores, "dev", issuance(1))
    await end(stores, "dev", issuance(1, is_new=False), deadline=NOW + LEASE)
    await end(stores, "dev", issuance(2, replaces=issuance(1).ref))
    (first,) = await told(stores, "certificate.issued")
    (second,) = await told(stores, "certificate.renewed")
    assert (first["subject"], first["by"]) == ("devices/dev", {"kind": "device", "name": "dev"})
    assert first["data"] == {
        "registrationId": "dev",
        "operationId": "op-48500001",
        "serialNumber": "48500001",
        "sha256Thumbprint": f"{1:064X}",
        "certificateAuthorityName": "Line",
        "authorityVersion": 1,
        "certificatePolicyName": "standard",
        "notAfter": (NOW + DAY).isoformat(),
        "assignedHub": first["data"]["assignedHub"],
        "deviceId": "dev",
    }
    assert (second["data"]["serialNumber"], second["data"]["previousSerialNumber"]) == ("48500002", "48500001")
    of_device = [each["kind"] for each in await told(stores, "device.") + await told(stores, "certificate.")]
    assert len(of_device) == 5


async def test_whoever_lost_the_lease_tells_nothing(stores: Stores) -> None:
    opened = registration("dev", issuance=issuance(1), lease_owner="me", lease_until=NOW + LEASE)
    await stores.registrations.open(opened, expected_etag=None)
    with pytest.raises(ConflictError):
        await stores.registrations.save(finished(opened), lease_owner="somebody else")
    assert await told(stores, "certificate.") == []


async def test_only_the_revocation_that_stands_is_told(stores: Stores) -> None:
    await end(stores, "dev", issuance(1))
    await stores.issued_certificates.revoke("48500001", REVOCATION, by=ANNA)
    await stores.issued_certificates.revoke("48500001", REVOCATION)
    await stores.issued_certificates.revoke("4850FFFF", REVOCATION)
    (entry,) = await told(stores, "certificate.revoked")
    assert (entry["subject"], entry["by"]["name"], entry["trackingId"]) == ("devices/dev", "anna", "t-1")
    assert (entry["data"]["serialNumber"], entry["data"]["reason"]) == ("48500001", "keyCompromise")


async def test_authorities_and_policies_are_told_without_their_keys(stores: Stores) -> None:
    await stores.authorities.create(authority("line"), by=ANNA)
    sealed = replace(authority("line").versions[0], number=3, key=StoredKey(public_key=b"public", sealed=b"anew"))
    await stores.authorities.reseal(replace(authority("line", "e2"), versions=(sealed,)), expected_etag="e1")
    await stores.authorities.replace(authority("line", "e3"), expected_etag="e2", by=ANNA)
    await stores.authorities.delete("LINE", by=ANNA)
    entries = await told(stores, "certificateAuthority.")
    assert [each["kind"] for each in entries] == [
        "certificateAuthority.created",
        "certificateAuthority.rotated",
        "certificateAuthority.deleted",
    ]
    assert {(each["subject"], each["by"]["name"]) for each in entries} == {("certificateAuthorities/line", "anna")}
    created, rotated, _ = (each["data"]["changes"] for each in entries)
    assert created["keyUri"] == {"after": "pkcs11:token=t;object=o"}
    assert created["maximumValidity"] == {"after": "90 days, 0:00:00"}
    assert created["versions"] == {"after": [1, 2]}
    assert created["certificate"]["after"]["bytes"] == len(b"\0certificate")
    assert (rotated["version"], rotated["versions"]) == ({"before": 3, "after": 2}, {"before": [3], "after": [1, 2]})
    assert (entries[1]["etagBefore"], entries[1]["etagAfter"]) == ("e2", "e3")
    assert "sealed" not in str(entries)

    await stores.certificate_policies.create(policy("standard"), by=ANNA)
    await stores.certificate_policies.replace(policy("standard", "e2", validity=DAY), expected_etag="e1", by=ANNA)
    await stores.certificate_policies.delete("standard", by=ANNA)
    made, changed, gone = await told(stores, "certificatePolicy.")
    assert made["data"]["changes"]["keyAlgorithms"] == {"after": ["EC-P256", "Ed25519"]}
    assert changed["data"]["changes"] == {"validity": {"before": "7:00:01", "after": "1 day, 0:00:00"}}
    assert (gone["kind"], gone["subject"]) == ("certificatePolicy.deleted", "certificatePolicies/standard")


async def test_what_is_refused_is_not_told(stores: Stores) -> None:
    await stores.authorities.create(authority("line"))
    for refused in (
        stores.authorities.create(authority("LINE")),
        stores.authorities.replace(authority("line", "e3"), expected_etag="another"),
        stores.authorities.reseal(authority("line", "e3"), expected_etag="another"),
        stores.authorities.delete("nobody"),
    ):
        with pytest.raises(HomeportError):
            await refused
    assert len(await told(stores, "certificateAuthority.")) == 1


# ---------------------------------------------------------------- revocation lists


def listed(number: int, **changes: Any) -> RevocationList:
    made = RevocationList(authority="line", version=1, number=number, der=b"crl\0", next_update=NOW + 7 * DAY)
    return replace(made, **changes)


async def test_lists_follow_each_other(stores: Stores) -> None:
    certificates = stores.issued_certificates
    assert await certificates.revocation_list("line", 1) is None
    assert await certificates.put_revocation_list(listed(1), after=None)
    assert not await certificates.put_revocation_list(listed(1), after=None)
    assert await certificates.revocation_list("LINE", 1) == replace(listed(1), authority="LINE")
    assert await certificates.revocation_list("line", 2) is None
    assert await certificates.put_revocation_list(listed(2), after=listed(1))
    assert not await certificates.put_revocation_list(listed(2), after=listed(1))


async def test_a_list_signed_without_the_last_revocation_is_not_stored(stores: Stores) -> None:
    await end(stores, "dev-1", issuance(1))
    await end(stores, "dev-2", issuance(2))
    certificates = stores.issued_certificates
    # Before the first list is signed …
    await certificates.revoke("48500001", REVOCATION)
    assert not await certificates.put_revocation_list(listed(1), after=None)
    seen = await certificates.revocation_list("line", 1)
    assert seen is not None
    assert (seen.number, seen.revoked_since) == (0, 1)
    assert await certificates.put_revocation_list(listed(1), after=seen)
    # … and between two of them.
    before = await certificates.revocation_list("line", 1)
    assert before == listed(1)
    await certificates.revoke("48500002", REVOCATION)
    assert not await certificates.put_revocation_list(listed(2), after=before)
    due = await certificates.revocation_list("line", 1)
    assert due is not None
    assert due.revoked_since == 1
    assert await certificates.put_revocation_list(listed(2), after=due)


async def test_one_of_many_signers_wins(pair: tuple[Stores, Stores]) -> None:
    stored = await asyncio.gather(
        *(pair[n % 2].issued_certificates.put_revocation_list(listed(1), after=None) for n in range(10))
    )
    assert stored.count(True) == 1
