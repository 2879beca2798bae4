"""Certificate authorities and their revocation lists."""

from datetime import timedelta
from typing import Any

import pytest

from homeport.dps.model import (
    CaCertificate,
    CaReferences,
    RevocationPolicy,
    RevocationSettings,
    StoredCrl,
    TpmGroupAttestation,
)
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller, CallerKind, Role
from homeport.store import Stores
from homeport.values import replace
from tests.contract.store.samples import NOW, challenge, group, individual

LIMIT = 3
ANNA = Caller(kind=CallerKind.ADMINISTRATOR, name="anna", role=Role.OWNER)


def authority(name: str, etag: str = "e1", **changes: Any) -> CaCertificate:
    certificate = CaCertificate(
        name=name, certificate=b"\0\xff" + name.encode(), is_verified=True, etag=etag, created_at=NOW, updated_at=NOW
    )
    return replace(certificate, **changes)


def crl(key: str = "a1", **changes: Any) -> StoredCrl:
    about = StoredCrl(
        authority=key,
        digest="d1",
        certificate=b"\0\xff",
        source="upload",
        this_update=NOW,
        next_update=NOW + timedelta(days=1),
        number=str(2**159),
        entries=3,
        received_at=NOW,
    )
    return replace(about, **changes)


async def refused(call: Any) -> HomeportError:
    with pytest.raises(HomeportError) as error:
        await call
    return error.value


async def test_what_is_stored_comes_back_by_name(stores: Stores) -> None:
    settings = RevocationSettings(
        policy=RevocationPolicy.REQUIRE, crl_url="http://x/", use_distribution_points=True, use_ocsp=True
    )
    full = authority("B", is_verified=False, verification_code="AB", revocation=settings)
    for one in (authority("c"), full, authority("A")):
        await stores.ca_certificates.create(one, limit=LIMIT)
    assert await stores.ca_certificates.all() == (authority("A"), full, authority("c"))


async def test_names_are_taken_in_any_case_and_there_is_a_limit(stores: Stores) -> None:
    for name in ("a", "b"):
        await stores.ca_certificates.create(authority(name), limit=2)
    assert (await refused(stores.ca_certificates.create(authority("A"), limit=2))).code is Code.CA_CERTIFICATE_EXISTS
    assert (await refused(stores.ca_certificates.create(authority("c"), limit=2))).code is Code.INVALID_REQUEST
    assert [one.name for one in await stores.ca_certificates.all()] == ["a", "b"]


async def test_only_the_expected_version_is_changed(stores: Stores) -> None:
    store = stores.ca_certificates
    await store.create(authority("a"), limit=LIMIT)
    changed = authority("A", "e2", is_verified=False)
    assert (await refused(store.replace(changed, expected_etag="e0"))).code is Code.PRECONDITION_FAILED
    await store.replace(changed, expected_etag="e1")
    assert await store.all() == (changed,)
    assert (await refused(store.replace(authority("b"), expected_etag=None))).code is Code.NOT_FOUND
    assert (await refused(store.delete("a", expected_etag="e1"))).code is Code.PRECONDITION_FAILED
    await store.delete("a", expected_etag="e2")
    assert await store.all() == ()
    assert (await refused(store.delete("a", expected_etag=None))).code is Code.NOT_FOUND


async def test_one_that_is_referred_to_stays(stores: Stores) -> None:
    store = stores.ca_certificates
    for name in ("roots", "makers", "free"):
        await store.create(authority(name), limit=LIMIT)
    await stores.enrollments.create_group(group("g1", attestation=CaReferences(primary="ROOTS", secondary="other")))
    await stores.enrollments.create_group(group("g2", attestation=CaReferences(primary="other", secondary="roots")))
    await stores.enrollments.create_group(group("g3", attestation=TpmGroupAttestation(ca_references=("Makers",))))
    await stores.enrollments.create_individual(individual("d1", attestation=CaReferences(primary="roots")))
    error = await refused(store.delete("roots", expected_etag=None))
    assert error.code is Code.CA_CERTIFICATE_IN_USE
    assert "the group 'g1', the group 'g2', the enrollment 'd1'" in error.message
    assert "the group 'g3'" in (await refused(store.delete("makers", expected_etag=None))).message
    await store.delete("free", expected_etag=None)
    await stores.enrollments.delete_group("g3", expected_etag=None)
    await store.delete("makers", expected_etag=None)


async def test_who_knows_the_groups_by_identity_notices_every_change(pair: tuple[Stores, Stores]) -> None:
    here, there = pair
    await here.enrollments.create_group(group("g1", attestation=CaReferences(primary="roots")))
    known = await here.enrollments.groups()
    assert await here.enrollments.groups() is known
    changes = (
        lambda: there.ca_certificates.create(authority("a"), limit=LIMIT),
        lambda: there.ca_certificates.replace(authority("a", "e2"), expected_etag="e1"),
        lambda: there.ca_certificates.delete("a", expected_etag=None),
    )
    for change in changes:
        await change()
        latest = await here.enrollments.groups()
        assert latest is not known
        assert latest == known
        known = latest
        assert await here.ca_certificates.all() == await there.ca_certificates.all()


async def test_lists_are_kept_apart_from_what_is_known_of_them(pair: tuple[Stores, Stores]) -> None:
    here, there = pair
    data = bytes(range(256)) * 4096
    await here.crls.put(crl(), data)
    await here.crls.put(crl("a0", number=None, next_update=None), b"other")
    assert await there.crls.all() == (crl("a0", number=None, next_update=None), crl())
    assert await there.crls.read("a1") == data
    await there.crls.put(crl(digest="d2"), b"new")
    assert (await here.crls.all())[1].digest == "d2"
    assert await here.crls.read("a1") == b"new"
    await here.crls.delete("a1")
    await here.crls.delete("a1")
    assert await there.crls.read("a1") is None
    assert [about.authority for about in await there.crls.all()] == ["a0"]


async def test_groups_of_tpms_come_back(stores: Stores) -> None:
    attestation = TpmGroupAttestation(ca_references=("maker",), key_digests=(b"\xff" * 32, b"\0" * 32))
    await stores.enrollments.create_group(group("chips", attestation=attestation))
    assert await stores.enrollments.get_group("chips") == group("chips", attestation=attestation)


async def test_a_challenge_keeps_the_certificates_it_came_with(stores: Stores) -> None:
    pending = replace(challenge("dev"), endorsement_chain=(b"\xff", b"\0"))
    await stores.challenges.put(pending)
    assert await stores.challenges.get("dev", now=NOW) == pending


async def told(stores: Stores) -> list[tuple[str, str, str, Any]]:
    await stores.journal.flush()
    documents = [recorded.document for recorded in await stores.journal.read(after=0, limit=99)]
    return [
        (one["kind"], one["subject"], one["by"]["name"], one["data"].get("changes", {}))
        for one in documents
        if one["subject"].startswith("certificates/")
    ]


async def test_what_administrators_change_is_told(stores: Stores) -> None:
    store = stores.ca_certificates
    new = authority("Root", is_verified=False)
    await store.create(new, limit=LIMIT, by=ANNA)
    coded = replace(new, verification_code="C0DE", etag="e2")
    await store.replace(coded, expected_etag="e1", by=ANNA)
    proven = replace(coded, is_verified=True, verification_code=None, etag="e3")
    await store.replace(proven, expected_etag="e2", by=ANNA)
    asked = RevocationSettings(policy=RevocationPolicy.OFF, crl_url="https://ca.example/crl?sig=secret")
    await store.replace(replace(proven, revocation=asked, etag="e4"), expected_etag="e3", by=ANNA)
    await store.replace(replace(proven, certificate=b"other", etag="e5"), expected_etag="e4", by=ANNA)
    await store.delete("ROOT", expected_etag=None, by=ANNA)
    for refusal in (store.delete("root", expected_etag=None, by=ANNA), store.replace(new, expected_etag=None, by=ANNA)):
        await refused(refusal)
    entries = await told(stores)
    assert [(kind, subject, name) for kind, subject, name, _ in entries] == [
        (kind, "certificates/Root", "anna")
        for kind in (
            "caCertificate.uploaded",
            "caCertificate.updated",
            "caCertificate.verified",
            "caCertificate.updated",
            "caCertificate.verified",
            "caCertificate.deleted",
        )
    ]
    uploaded, coded_entry, verified, settings, exchanged, _ = (changes for *_, changes in entries)
    assert uploaded["certificate"]["after"]["bytes"] == len(new.certificate)
    assert coded_entry == {"verificationCode": {"secret": True}}
    assert verified == {"isVerified": {"before": False, "after": True}, "verificationCode": {"secret": True}}
    assert settings["revocation.policy"] == {"before": "prefer", "after": "off"}
    assert settings["revocation.crlUrl"] == {"after": "https://ca.example/crl"}
    assert exchanged["certificate"]["before"] != exchanged["certificate"]["after"]


async def test_lists_that_administrators_bring_are_told_and_those_that_are_fetched_are_not(stores: Stores) -> None:
    await stores.crls.put(crl(source="http://ca.example/"), b"list")
    await stores.crls.delete("a1")
    assert await told(stores) == []
    await stores.crls.put(crl(), b"list", told_as="Root", by=ANNA)
    await stores.crls.delete("a1", told_as="Root", by=ANNA)
    await stores.crls.delete("a1", told_as="Root", by=ANNA)
    entries = await told(stores)
    assert [(kind, subject, name) for kind, subject, name, _ in entries] == [
        ("crl.uploaded", "certificates/Root", "anna"),
        ("crl.deleted", "certificates/Root", "anna"),
    ]
    assert entries[0][3]["digest"] == {"after": "d1"}
