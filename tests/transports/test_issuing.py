"""Certificates issued at registration, asked of the engine: what is granted, shared, given again, taken back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from homeport.dps.engine import ChallengeIssued, Registered
from homeport.dps.issuing.authorities import NewAuthority
from homeport.dps.model import (
    CertificateEvidence,
    CertificatePolicy,
    DeviceClaim,
    Evidence,
    IssuedCertificate,
    Outcome,
    ProvisioningStatus,
    Registration,
    RegistrationStatus,
    SasCredential,
    SigningCertificates,
    ThumbprintCredential,
    Wanted,
)
from homeport.dps.ports import HubUnavailableError
from homeport.errors import Code, HomeportError
from homeport.security.x509 import parse_der
from homeport.security.x509_issue import RevocationReason
from homeport.security.x509_request import CertificateRequest, parse_request
from homeport.values import replace
from tests.issuing import device_key, request, request_der
from tests.transports.test_custom_allocation import CUSTOM
from tests.transports.world import EPOCH, KEY, OTHER_KEY, World, claim, context, evidence, new_world, process

DAY = timedelta(days=1)
AUTHORITY = "line-one"
POLICY = "standard"
VERSION = "2026-11-01"


async def prepared(world: World, **policy: Any) -> World:
    """Let the service have a root, an authority under it, and a policy."""
    await world.issuing.authorities.create("plant", NewAuthority())
    await world.issuing.authorities.create(AUTHORITY, NewAuthority(issuer="plant"))
    wanted = CertificatePolicy(
        name=POLICY, authority=AUTHORITY, validity=10 * DAY, renew_before=2 * DAY, created_at=EPOCH, updated_at=EPOCH
    )
    await world.issuing.policies.put(replace(wanted, **policy))
    return world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world(hubs=("alpha",)) as fresh:
        await prepared(fresh)
        yield fresh


async def register(
    world: World,
    registration_id: str = "dev-1",
    *,
    csr: CertificateRequest | None,
    proof: Evidence | None = None,
    key: bytes = KEY,
) -> Registration:
    proof = proof or evidence(registration_id, key, now=world.clock.now())
    who: DeviceClaim = claim(registration_id, api_version=VERSION)
    answer = await world.engine.register(who, proof, None, context(), csr)
    assert not isinstance(answer, ChallengeIssued)
    assert isinstance(answer, Registered)
    return answer.registration


async def refused(world: World, registration_id: str = "dev-1", **how: Any) -> HomeportError:
    with pytest.raises(HomeportError) as caught:
        await register(world, registration_id, **how)
    return caught.value


def chain_of(registration: Registration) -> Sequence[bytes]:
    assert registration.operation.issuance is not None
    return registration.operation.issuance.chain


def serial_of(registration: Registration) -> str:
    assert registration.operation.issuance is not None
    return registration.operation.issuance.ref.serial_number


def accepted(world: World, host: str = "alpha.example", device_id: str = "dev-1") -> ThumbprintCredential:
    credential = world.hub(host).specs[device_id].credential
    assert isinstance(credential, ThumbprintCredential)
    return credential


async def issued_to(world: World, registration_id: str = "dev-1") -> list[IssuedCertificate]:
    page = await world.database.issued_certificates.page(
        registration_id=registration_id, authority=None, ends_after=None, ends_before=None, after=None, limit=100
    )
    return list(page.items)


async def why(world: World, registration_id: str = "dev-1") -> dict[str, str]:
    latest = (await world.database.attempts.latest(registration_id, limit=1))[0]
    return {check.name: check.detail for check in latest.checks} | {"outcome": latest.outcome, "reason": latest.reason}


# ---------------------------------------------------------------- what is issued


async def test_the_certificate_is_for_the_device_and_the_hub_accepts_it(world: World) -> None:
    await world.enroll("Dev-1", certificate_policy_name=POLICY)
    registration = await register(world, "Dev-1", csr=request("dev-1"))
    assert registration.status is RegistrationStatus.ASSIGNED
    leaf, *issuers = (x509.load_der_x509_certificate(der) for der in chain_of(registration))
    assert len(issuers) == 2
    for child, issuer in zip((leaf, *issuers), (*issuers, issuers[-1]), strict=True):
        child.verify_directly_issued_by(issuer)
    assert leaf.subject.rfc4514_string() == "CN=Dev-1", "the name comes from the registration, not from the request"
    assert leaf.public_key() == device_key("dev-1").public_key()
    assert leaf.not_valid_after_utc == EPOCH + 10 * DAY
    assert leaf.not_valid_before_utc == EPOCH - timedelta(hours=1)
    thumbprint = parse_der(chain_of(registration)[0]).info.sha256_thumbprint
    assert accepted(world, device_id="Dev-1") == ThumbprintCredential(primary=thumbprint, secondary=thumbprint)
    (issued,) = await issued_to(world, "dev-1")
    assert (issued.ref.thumbprint, issued.hub, issued.device_id) == (thumbprint, "alpha.example", "Dev-1")
    assert POLICY in (await why(world, "dev-1"))["certificate request"]


async def test_the_hub_that_a_webhook_names_accepts_it() -> None:
    async with new_world(hubs=("alpha", "beta")) as world:
        await prepared(world)
        await world.enroll("dev-1", certificate_policy_name=POLICY, **CUSTOM)
        world.allocator.answer = b'{"iotHubHostName": "beta.example"}'
        registration = await register(world, csr=request("dev-1"))
        assert registration.status is RegistrationStatus.ASSIGNED
        thumbprint = parse_der(chain_of(registration)[0]).info.sha256_thumbprint
        assert accepted(world, "beta.example") == ThumbprintCredential(primary=thumbprint, secondary=thumbprint)
        assert [each.hub for each in await issued_to(world)] == ["beta.example"]


async def test_without_a_hub_there_is_no_certificate() -> None:
    async with new_world(hubs=("alpha",)) as world:
        await prepared(world)
        await world.enroll("dev-1", certificate_policy_name=POLICY, **CUSTOM)
        world.allocator.answer = b'{"iotHubHostName": "nowhere.example"}'
        registration = await register(world, csr=request("dev-1"))
        assert registration.status is RegistrationStatus.FAILED
        assert await issued_to(world) == []
        entries = await world.database.journal.page(Wanted(kind="certificate."), after=None, limit=10)
        assert entries.items == []


async def test_without_a_request_nothing_changes(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    registration = await register(world, csr=None)
    assert registration.operation.issuance is None
    assert isinstance(world.hub("alpha.example").specs["dev-1"].credential, SasCredential)


async def test_an_authority_alone_issues_by_the_default_policy(world: World) -> None:
    await world.enroll("dev-1", certificate_authority_name=AUTHORITY.upper())
    registration = await register(world, csr=request("dev-1"))
    assert parse_der(chain_of(registration)[0]).info.not_after == EPOCH + 30 * DAY


async def test_a_certificate_ends_with_its_authority(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    end = (await world.issuing.authorities.get(AUTHORITY)).active.not_after
    world.clock.time = end - DAY
    registration = await register(world, csr=request("dev-1"))
    assert parse_der(chain_of(registration)[0]).info.not_after == end
    world.clock.time = end - timedelta(seconds=30)
    error = await refused(world, csr=request("dev-1", device_key("another")))
    assert error.code is Code.UNAVAILABLE
    await world.issuing.authorities.rotate("plant", None)
    rotated = await world.issuing.authorities.rotate(AUTHORITY, None)
    later = await register(world, csr=request("dev-1", device_key("another")))
    assert chain_of(later)[1] == rotated.active.certificate


async def test_the_polled_operation_has_the_same_chain(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    registration = await register(world, csr=request("dev-1"))
    for _ in range(2):
        polled = await world.engine.operation_status(
            claim("dev-1"), evidence("dev-1"), registration.operation.id, context()
        )
        assert chain_of(polled) == chain_of(registration)


async def test_a_slow_hub_gives_the_chain_when_it_has_answered() -> None:
    async with new_world(hubs=("alpha",), patience=0.05) as world:
        await prepared(world)
        await world.enroll("dev-1", certificate_policy_name=POLICY)
        world.hub("alpha.example").delay = 0.2
        registration = await register(world, csr=request("dev-1"))
        assert registration.status is RegistrationStatus.ASSIGNING
        assert await issued_to(world) == [], "it is issued with the outcome, not before"
        final = await world.assigner.outcome(registration, 5)
        assert final.status is RegistrationStatus.ASSIGNED
        assert chain_of(final) == chain_of(registration)
        assert [each.ref.serial_number for each in await issued_to(world)] == [serial_of(final)]


async def test_a_failed_operation_issues_nothing(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY, iot_hubs=("elsewhere.example",))
    registration = await register(world, csr=request("dev-1"))
    assert registration.status is RegistrationStatus.FAILED
    assert registration.operation.issuance is None
    assert await issued_to(world) == []


async def test_a_disabled_enrollment_issues_nothing(world: World) -> None:
    disabled = ProvisioningStatus.DISABLED
    await world.enroll("dev-1", certificate_policy_name="unknown", provisioning_status=disabled)
    registration = await register(world, csr=request("dev-1"))
    assert registration.status is RegistrationStatus.DISABLED
    assert registration.operation.issuance is None


# ---------------------------------------------------------------- what is not


@pytest.mark.parametrize(
    ("enrollment", "reason"),
    [
        ({}, "names neither"),
        ({"certificate_policy_name": "other"}, "which does not exist"),
        ({"certificate_authority_name": "other"}, "which does not exist"),
        ({"certificate_authority_name": "plant", "certificate_policy_name": POLICY}, "is of line-one, not of plant"),
    ],
)
async def test_the_enrollment_decides(world: World, enrollment: dict[str, Any], reason: str) -> None:
    await world.enroll("dev-1", **enrollment)
    error = await refused(world, csr=request("dev-1"))
    assert error.code is Code.CERTIFICATE_REFUSED
    assert reason in error.message
    told = await why(world)
    assert (told["outcome"], reason in told["reason"]) == (Outcome.REFUSED, True)
    assert await world.database.registrations.get("dev-1") is None
    assert world.hub("alpha.example").devices == {}


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP521R1())])
async def test_the_policy_decides_which_keys(world: World, key: Any) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    error = await refused(world, csr=request("dev-1", key))
    assert (error.code, "allows" in error.message) == (Code.CERTIFICATE_REFUSED, True)


async def test_a_name_that_no_certificate_holds(world: World) -> None:
    name = "d" * 65
    await world.enroll(name, certificate_policy_name=POLICY)
    long = replace(request("dev-1"), common_name=name)
    assert (await refused(world, name, csr=long)).code is Code.CERTIFICATE_REFUSED


async def test_a_stranger_is_refused_before_any_policy_is_looked_at(world: World) -> None:
    await world.enroll("dev-1")
    assert (await refused(world, csr=request("dev-1"), key=OTHER_KEY[::-1])).code is Code.UNAUTHORIZED


async def test_the_device_must_hold_the_key_it_names(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    der = bytearray(request_der("dev-1"))
    der[-1] ^= 1
    error = await refused(world, csr=parse_request(bytes(der)))
    assert (error.code, "not signed with its key" in error.message) == (Code.INVALID_REQUEST, True)
    assert "not made with its key" in (await why(world))["certificate request"]
    assert await world.database.registrations.get("dev-1") is None


async def test_a_key_that_cannot_be_used_leaves_nothing_behind(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    authority = await world.issuing.authorities.get(AUTHORITY)
    active = authority.active
    broken = replace(active, key=replace(active.key, sealed=b"\1" + bytes(200)))
    await world.database.authorities.replace(
        replace(authority, versions=(broken,), etag="new"), expected_etag=authority.etag
    )
    error = await refused(world, csr=request("dev-1"))
    assert (error.code, error.retry_after) == (Code.UNAVAILABLE, 30)
    assert "sealed" not in error.message, "devices are not told about keys"
    assert await world.database.registrations.get("dev-1") is None


# ---------------------------------------------------------------- one for each operation


async def test_calls_with_the_same_key_share_one_certificate(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    world.hub("alpha.example").delay = 0.02
    answers = await asyncio.gather(*(register(world, csr=request("dev-1")) for _ in range(20)))
    assert len({serial_of(answer) for answer in answers}) == 1
    assert len(await issued_to(world)) == 1


async def test_calls_with_other_keys_get_certificates_of_their_own(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    keys = [device_key(f"key {number}") for number in range(5)]
    answers = await asyncio.gather(*(register(world, csr=request("dev-1", key)) for key in keys))
    assert len({serial_of(answer) for answer in answers}) == 5
    for key, answer in zip(keys, answers, strict=True):
        assert x509.load_der_x509_certificate(chain_of(answer)[0]).public_key() == key.public_key()
    assert len(await issued_to(world)) == 5
    last = await world.database.registrations.get("dev-1")
    assert last is not None
    assert last.certificate is not None
    assert accepted(world).primary == last.certificate.thumbprint


# ---------------------------------------------------------------- renewal


async def test_the_hub_goes_on_to_accept_the_certificate_before(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    first = await register(world, csr=request("dev-1"))
    second = await register(world, csr=request("dev-1", device_key("second")))
    third = await register(world, csr=request("dev-1", device_key("third")))
    thumbprints = [parse_der(chain_of(each)[0]).info.sha256_thumbprint for each in (first, second, third)]
    assert accepted(world) == ThumbprintCredential(primary=thumbprints[2], secondary=thumbprints[1])


async def test_the_same_key_gets_a_new_certificate_when_it_is_time(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    first = await register(world, csr=request("dev-1"))
    world.clock.advance(days=7.9)
    early = await register(world, csr=request("dev-1"))
    assert chain_of(early) == chain_of(first)
    assert early.operation.id != first.operation.id
    assert len(await issued_to(world)) == 1
    world.clock.advance(days=0.2)
    due = await register(world, csr=request("dev-1"))
    assert serial_of(due) != serial_of(first)
    assert accepted(world).secondary == parse_der(chain_of(first)[0]).info.sha256_thumbprint


async def test_an_expired_certificate_is_not_accepted_any_longer(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    await register(world, csr=request("dev-1"))
    world.clock.advance(days=11)
    second = await register(world, csr=request("dev-1"))
    thumbprint = parse_der(chain_of(second)[0]).info.sha256_thumbprint
    assert accepted(world) == ThumbprintCredential(primary=thumbprint, secondary=thumbprint)


async def test_a_registration_without_a_request_goes_back_to_the_own_credential(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    await register(world, csr=request("dev-1"))
    plain = await register(world, csr=None)
    assert plain.certificate is None
    assert isinstance(world.hub("alpha.example").specs["dev-1"].credential, SasCredential)


async def test_an_issued_certificate_proves_its_device_to_a_group_by_the_authority(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    first = await register(world, csr=request("dev-1"))
    await world.database.enrollments.delete_individual("dev-1", expected_etag=None)
    authority = await world.issuing.authorities.get(AUTHORITY)
    await world.enroll_group(
        "renewing", SigningCertificates(primary=authority.active.certificate), certificate_policy_name=POLICY
    )
    shown = CertificateEvidence(chain=tuple(chain_of(first)[:1]))
    plain = await register(world, csr=None, proof=shown)
    assert plain.certificate == first.certificate, "it shows the certificate that its hub accepts"
    renewed = await register(world, csr=request("dev-1", device_key("next")), proof=shown)
    assert accepted(world).secondary == parse_der(chain_of(first)[0]).info.sha256_thumbprint
    assert serial_of(renewed) != serial_of(first)
    await world.issuing.revocations.revoke(serial_of(first), RevocationReason.KEY_COMPROMISE)
    error = await refused(world, csr=request("dev-1", device_key("third")), proof=shown)
    assert error.code is Code.UNAUTHORIZED
    assert "was revoked (keyCompromise" in (await why(world))["revocation"]


# ---------------------------------------------------------------- revocation


async def test_revoking_cuts_the_device_off_and_is_told(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    first = await register(world, csr=request("dev-1"))
    (revoked,) = await world.issuing.revocations.revoke_device("DEV-1", RevocationReason.KEY_COMPROMISE)
    assert (revoked.ref.serial_number, revoked.withdrawn) == (serial_of(first), True)
    assert accepted(world) == ThumbprintCredential(primary="none", secondary="none")
    again = await world.issuing.revocations.revoke(serial_of(first), RevocationReason.SUPERSEDED)
    assert again.revocation == revoked.revocation, "the first reason stands"

    error = await refused(world, csr=request("dev-1"))
    assert error.code is Code.CERTIFICATE_REFUSED
    assert "needs a new key" in error.message
    second = await register(world, csr=request("dev-1", device_key("new")))
    assert (await why(world))["certificate before"].startswith(f"{serial_of(first)} was revoked at")
    thumbprint = parse_der(chain_of(second)[0]).info.sha256_thumbprint
    assert accepted(world) == ThumbprintCredential(primary=thumbprint, secondary=thumbprint)
    with pytest.raises(HomeportError) as unknown:
        await world.issuing.revocations.revoke_device("nobody", RevocationReason.UNSPECIFIED)
    assert unknown.value.code is Code.NOT_FOUND


async def test_the_why_of_a_registration_without_a_request_tells_of_it_too(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    await register(world, csr=request("dev-1"))
    await world.issuing.revocations.revoke_device("dev-1", RevocationReason.UNSPECIFIED)
    await register(world, csr=None)
    assert "was revoked" in (await why(world))["certificate before"]


async def test_a_hub_that_does_not_answer_is_asked_until_it_does(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    first = await register(world, csr=request("dev-1"))
    hub = world.hub("alpha.example")

    def away(call: str) -> None:
        raise HubUnavailableError(call)

    hub.before = away
    revoked = await world.issuing.revocations.revoke(serial_of(first), RevocationReason.UNSPECIFIED)
    assert not revoked.withdrawn
    assert accepted(world).primary == revoked.ref.thumbprint
    hub.before = lambda _: None
    task = asyncio.get_running_loop().create_task(world.issuing.revocations.run())
    try:
        async with asyncio.timeout(10):
            while not (await world.issuing.revocations.get(serial_of(first))).withdrawn:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
    assert accepted(world).primary == "none"


async def test_revoking_during_a_renewal_does_not_leave_the_old_certificate_accepted(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    first = await register(world, csr=request("dev-1"))
    world.hub("alpha.example").delay = 0.1
    renewing = asyncio.get_running_loop().create_task(register(world, csr=request("dev-1", device_key("next"))))
    await asyncio.sleep(0.03)
    world.hub("alpha.example").delay = 0
    await world.issuing.revocations.revoke(serial_of(first), RevocationReason.KEY_COMPROMISE)
    second = await renewing
    thumbprint = parse_der(chain_of(second)[0]).info.sha256_thumbprint
    assert accepted(world) == ThumbprintCredential(primary=thumbprint, secondary=thumbprint)


async def test_a_certificate_given_again_and_revoked_meanwhile_is_not_accepted(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    first = await register(world, csr=request("dev-1"))
    world.hub("alpha.example").delay = 0.1
    asking = asyncio.get_running_loop().create_task(register(world, csr=request("dev-1")))
    await asyncio.sleep(0.03)
    world.hub("alpha.example").delay = 0
    await world.issuing.revocations.revoke(serial_of(first), RevocationReason.KEY_COMPROMISE)
    await asking
    assert accepted(world) == ThumbprintCredential(primary="none", secondary="none")


async def test_the_list_is_signed_numbered_and_complete(world: World) -> None:
    revocations = world.issuing.revocations
    assert (await revocations.revocation_list(AUTHORITY)).number == 1
    serials = []
    for number in range(3):
        await world.enroll(f"dev-{number}", certificate_policy_name=POLICY)
        registration = await register(world, f"dev-{number}", csr=request(f"dev-{number}"))
        serials.append(serial_of(registration))
        await revocations.revoke(serials[-1], RevocationReason.KEY_COMPROMISE)
    newest = await revocations.revocation_list(AUTHORITY)
    assert newest.number == 4
    crl = x509.load_der_x509_crl(newest.der)
    issuer = x509.load_der_x509_certificate((await world.issuing.authorities.get(AUTHORITY)).active.certificate)
    assert crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # an EC key
    assert sorted(f"{entry.serial_number:X}" for entry in crl) == sorted(serials)
    assert (await revocations.revocation_list(AUTHORITY)).number == 4, "it is signed anew only when it is due"
    world.clock.advance(days=5)
    assert (await revocations.revocation_list(AUTHORITY)).number == 5
    world.clock.advance(days=6)
    assert len(x509.load_der_x509_crl((await revocations.revocation_list(AUTHORITY)).der)) == 0, "all have expired"


async def test_a_rotated_authority_keeps_the_list_of_its_old_key(world: World) -> None:
    await world.enroll("dev-1", certificate_policy_name=POLICY)
    first = await register(world, csr=request("dev-1"))
    await world.issuing.authorities.rotate(AUTHORITY, None)
    second = await register(world, csr=request("dev-1", device_key("next")))
    for number, registration in enumerate((first, second), start=1):
        await world.issuing.revocations.revoke(serial_of(registration), RevocationReason.SUPERSEDED)
        newest = await world.issuing.revocations.revocation_list(AUTHORITY, number)
        assert [f"{e.serial_number:X}" for e in x509.load_der_x509_crl(newest.der)] == [serial_of(registration)]


async def test_two_processes_revoking_at_once_lose_no_entry(world: World) -> None:
    other = process(world.database, world.links, world.clock)
    serials = []
    for number in range(8):
        await world.enroll(f"dev-{number}", certificate_policy_name=POLICY)
        serials.append(serial_of(await register(world, f"dev-{number}", csr=request(f"dev-{number}"))))
    await asyncio.gather(
        *(
            (world, other)[number % 2].issuing.revocations.revoke(serial, RevocationReason.UNSPECIFIED)
            for number, serial in enumerate(serials)
        )
    )
    crl = x509.load_der_x509_crl((await world.issuing.revocations.revocation_list(AUTHORITY)).der)
    assert {f"{entry.serial_number:X}" for entry in crl} == set(serials)
