"""What chains may end at: groups by certificate and by reference, nearest first; TPMs by maker and by digest."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Unpack

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from homeport.dps.attestation import Attested, Challenge, Findings, Refused, Trust, Verdict, read, verify
from homeport.dps.attestation import trust as trust_module
from homeport.dps.model import (
    CaCertificate,
    CaReferences,
    CertificateEvidence,
    EnrollmentGroup,
    Evidence,
    IndividualEnrollment,
    PendingChallenge,
    RevocationPolicy,
    RevocationSettings,
    SasEvidence,
    SigningCertificates,
    TpmEvidence,
    TpmGroupAttestation,
)
from homeport.dps.revocation import links
from homeport.errors import Code
from homeport.security.tpm import name_of, parse_blob, registration_id_of
from homeport.security.x509 import Certificate, parse_der
from tests.transports.world import claim, group, individual, token
from tests.unit.dps.test_attestation import EK, EK_KEY, SRK, SRK_KEY, public
from tests.unit.security.certificates import NOW, YEAR, Extension, Issued, Options, issue, rsa_key
from tests.unit.security.tpm_device import open_blob

ROOT = issue("Root")
PLANT = ROOT.ca("Plant")
LINE = PLANT.ca("Line")
NAME = registration_id_of(EK)
EK_PURPOSE: Extension = (x509.ExtendedKeyUsage([ObjectIdentifier("2.23.133.8.1")]), False)
OTHER_PURPOSE: Extension = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)


def authority(name: str, issued: Issued, *, verified: bool = True, **settings: object) -> CaCertificate:
    return CaCertificate(
        name=name,
        certificate=issued.certificate.der,
        is_verified=verified,
        revocation=RevocationSettings(**settings),  # type: ignore[arg-type]  # what a test is about
        created_at=NOW,
        updated_at=NOW,
    )


def judge(
    evidence: Evidence,
    trust: Trust,
    registration_id: str = "device-001",
    *,
    enrolled: IndividualEnrollment | None = None,
    pending: PendingChallenge | None = None,
    now: datetime = NOW,
) -> Verdict:
    findings = Findings()
    proof = read(evidence, claim(registration_id), findings)
    if isinstance(proof, Refused):
        return proof
    return verify(
        proof,
        claim(registration_id),
        individual=enrolled,
        trust=trust,
        pending=pending,
        now=now,
        random=lambda count: bytes(range(count)),
        findings=findings,
    )


def refused(verdict: Verdict) -> Refused:
    assert isinstance(verdict, Refused)
    return verdict


def attested(verdict: Verdict) -> str:
    assert isinstance(verdict, Attested)
    assert isinstance(verdict.enrollment, EnrollmentGroup)
    return verdict.enrollment.group_id


def chain(*certificates: Certificate) -> CertificateEvidence:
    return CertificateEvidence(chain=tuple(certificate.der for certificate in certificates))


def by_name(primary: str, secondary: str | None = None) -> CaReferences:
    return CaReferences(primary=primary, secondary=secondary)


# ---------------------------------------------------------------- certificates


def test_the_nearest_reference_wins_whatever_its_kind() -> None:
    authorities = (authority("root", ROOT), authority("plant", PLANT))
    far = group("a-far", by_name("root"))
    middle = group("b-middle", by_name("other", "plant"))
    near = group("c-near", SigningCertificates(primary=LINE.certificate.der))
    device = chain(LINE.leaf(), LINE.certificate, PLANT.certificate)
    assert attested(judge(device, Trust((far, middle, near), authorities))) == "c-near"
    assert attested(judge(device, Trust((far, middle), authorities))) == "b-middle"
    assert attested(judge(device, Trust((far,), authorities))) == "a-far"


def test_several_groups_under_one_root() -> None:
    other = ROOT.ca("Other plant")
    trust = Trust(
        (group("one", by_name("plant")), group("two", by_name("other"))),
        (authority("plant", PLANT), authority("other", other), authority("root", ROOT)),
    )
    assert attested(judge(chain(PLANT.leaf()), trust)) == "one"
    assert attested(judge(chain(other.leaf()), trust)) == "two"
    assert "'root' has a name of this chain" in refused(judge(chain(ROOT.leaf()), trust)).reason


def test_uploaded_intermediates_complete_a_chain_and_prove_nothing() -> None:
    trust = Trust(
        (group("fleet", by_name("root")),),
        (authority("line", LINE, verified=False), authority("plant", PLANT, verified=False), authority("root", ROOT)),
    )
    assert attested(judge(chain(LINE.leaf()), trust)) == "fleet"
    alone = Trust((), (authority("line", LINE), authority("root", ROOT)))
    assert refused(judge(chain(LINE.leaf()), alone)).message == "CA certificate not found."


def test_a_reference_that_leads_nowhere_is_explained() -> None:
    unverified = Trust((group("fleet", by_name("root")),), (authority("root", ROOT, verified=False),))
    verdict = refused(judge(chain(ROOT.leaf()), unverified))
    assert verdict.reason == "the CA certificate 'root' of 'fleet' is not verified"
    assert verdict.code is Code.UNAUTHORIZED
    missing = Trust((group("fleet", by_name("gone")),), ())
    assert (
        "'fleet' refers to the CA certificate 'gone', which does not exist"
        in refused(judge(chain(ROOT.leaf()), missing)).reason
    )


def test_an_unverified_authority_that_is_nearer_is_not_passed_over() -> None:
    trust = Trust(
        (group("far", by_name("root")), group("near", by_name("plant"))),
        (authority("root", ROOT), authority("plant", PLANT, verified=False)),
    )
    assert "'plant' of 'near' is not verified" in refused(judge(chain(PLANT.leaf(), PLANT.certificate), trust)).reason


def test_an_individual_enrollment_may_refer_to_authorities() -> None:
    trust = Trust(
        (), (authority("root", ROOT), authority("other", issue("Other")), authority("new", PLANT, verified=False))
    )
    enrolled = individual("device-001", by_name("other", "root"), device_id="at-home")
    genuine = judge(chain(PLANT.leaf(), PLANT.certificate), trust, enrolled=enrolled)
    assert isinstance(genuine, Attested)
    assert genuine.device_id == "at-home"
    assert genuine.path[-1] == ROOT.certificate
    only_other = individual("device-001", by_name("other"))
    assert (
        "not a CA certificate of any individual enrollment"
        in refused(judge(chain(ROOT.leaf()), trust, enrolled=only_other)).reason
    )
    for name, trouble in (("gone", "does not exist"), ("new", "is not verified")):
        lame = individual("device-001", by_name("other", name))
        verdict = refused(judge(chain(ROOT.leaf()), trust, enrolled=lame))
        assert verdict.reason.endswith(trouble)
        assert verdict.checks[-1].name == "CA certificate"


def test_what_is_asked_about_revocation() -> None:
    trust = Trust(
        (group("fleet", SigningCertificates(primary=PLANT.certificate.der)),),
        (authority("root", ROOT, policy=RevocationPolicy.REQUIRE),),
    )
    verdict = judge(chain(LINE.leaf(), LINE.certificate), trust)
    assert isinstance(verdict, Attested)
    # Beyond the group's own signer, up to the root that was uploaded; everything goes by the root's settings.
    asked = list(links(verdict.path, trust))
    assert [link.issuer for link in asked] == [LINE.certificate, PLANT.certificate, ROOT.certificate]
    assert {link.authority.name for link in asked} == {"root"}

    nearer = Trust(trust.groups, (authority("line", LINE, policy=RevocationPolicy.OFF), *_certificates(trust)))
    asked = list(links(verdict.path, nearer))
    assert [link.issuer for link in asked] == [PLANT.certificate, ROOT.certificate]
    assert list(links(verdict.path, Trust(trust.groups, ()))) == []


def _certificates(trust: Trust) -> list[CaCertificate]:
    found = trust.named("ROOT")
    assert found is not None
    return [found]


def test_what_was_read_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    authorities = (authority("root", ROOT), authority("plant", PLANT))
    first = Trust((group("fleet", by_name("root")),), authorities)
    read: list[bytes] = []

    def noted(der: bytes) -> Certificate:
        read.append(der)
        return parse_der(der)

    monkeypatch.setattr(trust_module, "parse_der", noted)
    more = (group("line", SigningCertificates(primary=LINE.certificate.der)), *first.groups)
    second = Trust(more, authorities, before=first)
    assert read == [LINE.certificate.der]
    assert attested(judge(chain(PLANT.leaf()), second)) == "fleet"
    assert attested(judge(chain(LINE.leaf()), second)) == "line"


# ---------------------------------------------------------------- TPMs


MAKER = issue("TPM maker", key=rsa_key(number=5))


def ek_certificate(maker: Issued = MAKER, **options: Unpack[Options]) -> Certificate:
    members: Options = {"key": EK_KEY, "extra": (EK_PURPOSE,), "ca": None}
    members.update(options)
    return issue("TPM", maker, **members).certificate


def tpm(*certificates: Certificate, token: str | None = None, key: bytes | None = EK) -> TpmEvidence:
    return TpmEvidence(
        endorsement_key=key,
        storage_root_key=SRK if key else None,
        token=token,
        endorsement_chain=tuple(certificate.der for certificate in certificates),
    )


def made_by(*names: str) -> EnrollmentGroup:
    return group("chips", TpmGroupAttestation(ca_references=names))


LISTED = group("listed", TpmGroupAttestation(key_digests=(hashlib.sha256(EK).digest(),)))
BY_MAKER = Trust((made_by("maker"),), (authority("maker", MAKER),))


@pytest.mark.parametrize(
    ("trust", "offered", "group_id"),
    [(Trust((LISTED,)), tpm(), "listed"), (BY_MAKER, tpm(ek_certificate()), "chips")],
    ids=["by digest", "by maker"],
)
def test_a_tpm_proves_itself_in_a_group(trust: Trust, offered: TpmEvidence, group_id: str) -> None:
    challenge = judge(offered, trust, NAME.upper())
    assert isinstance(challenge, Challenge)
    assert isinstance(challenge.enrollment, EnrollmentGroup)
    assert challenge.enrollment.group_id == group_id
    key = open_blob(parse_blob(challenge.blob), EK_KEY, SRK_KEY, name_of(SRK)).key
    # With its keys again, and as the IoT Edge client does: with the token alone.
    for answer in (
        tpm(token=token(NAME, key, now=NOW)),
        SasEvidence(token=token(NAME, key, now=NOW)),
    ):
        verdict = judge(answer, trust, NAME, pending=challenge.pending)
        assert attested(verdict) == group_id
        assert isinstance(verdict, Attested)
        assert verdict.device_id == NAME
        assert bool(verdict.path) is (group_id == "chips")
    forged = SasEvidence(token=token(NAME, bytes(32), now=NOW))
    assert "latest challenge" in refused(judge(forged, trust, NAME, pending=challenge.pending)).reason
    # The group is asked again: who was taken off the list since does not come in.
    gone = judge(answer, Trust((made_by("other"),)), NAME, pending=challenge.pending)
    assert refused(gone).code is Code.ENROLLMENT_NOT_FOUND


@pytest.mark.parametrize(
    ("trust", "registration_id", "offered", "words"),
    [
        (Trust(), NAME, tpm(), "or a TPM enrollment group"),
        (Trust((LISTED,)), "my-name", tpm(), f"would have to register as {NAME}"),
        (Trust((LISTED,)), registration_id_of(public(rsa_key(number=3))), tpm(key=public(rsa_key(number=3))), "digest"),
        (BY_MAKER, NAME, tpm(), "it sent no endorsement certificate"),
        (Trust((made_by("gone"),)), NAME, tpm(ek_certificate()), "digest"),
    ],
)
def test_an_unknown_tpm_is_not_found(trust: Trust, registration_id: str, offered: TpmEvidence, words: str) -> None:
    verdict = refused(judge(offered, trust, registration_id))
    assert verdict.code is Code.ENROLLMENT_NOT_FOUND
    assert words in verdict.reason


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (ek_certificate(key=rsa_key(number=3)), "not for the endorsement key"),
        (ek_certificate(key=issue("x").key), "not for the endorsement key"),
        (ek_certificate(ca=True), "it is a CA certificate"),
        (
            ek_certificate(extra=((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),)),
            "extended key usage",
        ),
        (ek_certificate(issue("TPM maker")), "another key"),
        (ek_certificate(issue("Stranger")), "no enrollment group of TPMs has a maker"),
        (ek_certificate(ends=NOW - timedelta(days=1)), "expired"),
    ],
)
def test_a_certificate_that_proves_nothing(certificate: Certificate, words: str) -> None:
    verdict = refused(judge(tpm(certificate), BY_MAKER, NAME))
    assert verdict.code is Code.UNAUTHORIZED
    assert words in verdict.reason


def test_a_certificate_without_end_is_valid() -> None:
    endless = ek_certificate(ends=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert isinstance(judge(tpm(endless), BY_MAKER, NAME), Challenge)
    assert isinstance(judge(tpm(endless), BY_MAKER, NAME, now=NOW - YEAR), Challenge)


def test_makers_and_signers_are_kept_apart() -> None:
    both = Trust(
        (made_by("maker"), group("fleet", by_name("root"))), (authority("maker", MAKER), authority("root", ROOT))
    )
    assert isinstance(judge(chain(MAKER.leaf()), both), Refused)
    assert isinstance(judge(tpm(ek_certificate(ROOT)), both, NAME), Refused)


def test_an_unverified_maker_is_explained() -> None:
    trust = Trust((made_by("maker"),), (authority("maker", MAKER, verified=False),))
    assert "'maker' of 'chips' is not verified" in refused(judge(tpm(ek_certificate()), trust, NAME)).reason


def test_broken_certificates_are_refused_before_anything_is_looked_up() -> None:
    broken = TpmEvidence(endorsement_key=EK, storage_root_key=SRK, endorsement_chain=(b"nonsense",))
    assert "malformed" in refused(judge(broken, BY_MAKER, NAME)).reason
