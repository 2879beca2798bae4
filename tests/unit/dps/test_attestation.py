"""Judging evidence: who is let in, and what the operator reads about everyone else."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from homeport.dps.attestation import Attested, Challenge, Findings, Refused, Trust, Verdict, describe, read, verify
from homeport.dps.model import (
    CaReferences,
    CertificateEvidence,
    ClientCertificates,
    DeviceClaim,
    EnrollmentGroup,
    Evidence,
    IndividualEnrollment,
    NoEvidence,
    PendingChallenge,
    ProvisioningStatus,
    SasCredential,
    SasEvidence,
    SigningCertificates,
    ThumbprintCredential,
    TpmAttestation,
    TpmEvidence,
)
from homeport.errors import Code
from homeport.security import sas
from homeport.security.tpm import name_of, parse_blob, registration_id_of
from tests.transports.world import GROUP_KEY, KEY, OTHER_KEY, SCOPE, claim, group, individual, symmetric, token
from tests.unit.security.certificates import NOW, Issued, issue, rsa_key
from tests.unit.security.tpm_device import WrongTpmError, open_blob


def judge(
    evidence: Evidence,
    registration_id: str = "device-001",
    *,
    enrolled: IndividualEnrollment | None = None,
    groups: tuple[EnrollmentGroup, ...] = (),
    pending: PendingChallenge | None = None,
    who: DeviceClaim | None = None,
) -> Verdict:
    findings = Findings()
    asked = who or claim(registration_id)
    proof = read(evidence, asked, findings)
    if isinstance(proof, Refused):
        return proof
    return verify(
        proof,
        asked,
        individual=enrolled,
        trust=Trust(groups),
        pending=pending,
        now=NOW,
        random=_counting(),
        findings=findings,
    )


def _counting() -> Any:
    state = iter(range(1, 1 << 16))
    return lambda count: next(state).to_bytes(2) * (count // 2)


def signed(key: bytes, registration_id: str = "device-001", **options: Any) -> SasEvidence:
    return SasEvidence(token=token(registration_id, key, now=NOW, **options))


def refused(verdict: Verdict) -> Refused:
    assert isinstance(verdict, Refused), verdict
    assert verdict.reason
    assert verdict.checks[-1].detail == verdict.reason
    assert not verdict.checks[-1].passed
    return verdict


# ---------------------------------------------------------------- symmetric keys


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
def test_either_key_of_an_individual_enrollment_signs(key: bytes) -> None:
    verdict = judge(signed(key), enrolled=individual("Device-001"))
    assert isinstance(verdict, Attested)
    assert verdict.identity == SasCredential(primary_key=KEY, secondary_key=OTHER_KEY)
    assert verdict.device_id == "Device-001"


@pytest.mark.parametrize(
    ("presented", "derived_for"),
    [("device-001", "device-001"), ("Device-001", "Device-001"), ("DEVICE-001", "device-001")],
)
@pytest.mark.parametrize("key", [GROUP_KEY, OTHER_KEY])
def test_a_group_device_signs_with_its_derived_key(presented: str, derived_for: str, key: bytes) -> None:
    verdict = judge(signed(sas.derive_device_key(key, derived_for), presented), presented, groups=(group("fleet"),))
    assert isinstance(verdict, Attested)
    assert verdict.identity == SasCredential(
        primary_key=sas.derive_device_key(GROUP_KEY, derived_for),
        secondary_key=sas.derive_device_key(OTHER_KEY, derived_for),
    )


def test_an_individual_enrollment_is_the_only_one_tried() -> None:
    derived = sas.derive_device_key(GROUP_KEY, "device-001")
    verdict = refused(judge(signed(derived), enrolled=individual("device-001"), groups=(group("fleet"),)))
    assert "'fleet'" in verdict.reason


def text_of(key: bytes) -> bytes:
    return sas.encode_key(key).encode()


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (GROUP_KEY, "itself instead of the device key derived from it"),
        (
            sas.derive_device_key(GROUP_KEY, "DEVICE-001"),
            "derived from the primary key of group 'fleet' for 'DEVICE-001'",
        ),
        (sas.derive_device_key(text_of(GROUP_KEY), "device-001"), "derived from the Base64 text"),
        (text_of(sas.derive_device_key(GROUP_KEY, "device-001")), "Base64 text of the key"),
        (b"another key altogether, quite long", "none of the 1 symmetric-key groups"),
    ],
)
def test_why_a_group_refuses(key: bytes, words: str) -> None:
    verdict = refused(judge(signed(key), groups=(group("fleet"),)))
    assert words in verdict.reason
    assert verdict.advice
    assert (verdict.code, verdict.message) == (Code.UNAUTHORIZED, "Unauthorized")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (text_of(KEY), "Base64 text of the key"),
        (sas.derive_device_key(KEY, "device-001"), "derived from the individual enrollment's primary key"),
        (b"another key altogether, quite long", "neither the primary nor the secondary key"),
    ],
)
def test_why_an_individual_enrollment_refuses(key: bytes, words: str) -> None:
    verdict = refused(judge(signed(key), enrolled=individual("device-001")))
    assert words in verdict.reason
    assert verdict.advice


def test_a_signature_over_the_decoded_resource_is_explained() -> None:
    resource = f"{SCOPE}/registrations/device-001"
    expiry = int(NOW.timestamp()) + 60
    decoded = sas.parse_token(sas.sign(resource, KEY, expiry))
    evidence = SasEvidence(token=sas.format_token(sas.encode_resource(resource), decoded.signature, expiry))
    assert "decoded resource" in refused(judge(evidence, enrolled=individual("device-001"))).reason


@pytest.mark.parametrize("enrolled", [True, False])
def test_expiry_is_measured_by_the_servers_clock(enrolled: bool) -> None:
    key = KEY if enrolled else sas.derive_device_key(GROUP_KEY, "device-001")
    who = {"enrolled": individual("device-001")} if enrolled else {"groups": (group("fleet"),)}
    verdict = refused(judge(signed(key, life=-7 * 60), **who))
    assert "expired 7 minutes ago by the server's clock" in verdict.reason
    assert isinstance(judge(signed(key, life=-4 * 60), **who), Attested)


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (signed(KEY, "device-002"), "is for '0ne00111111/registrations/device-002'"),
        (signed(KEY, scope="0neOTHER"), "is for '0neOTHER/registrations/device-001'"),
        (SasEvidence(token="Bearer x"), "does not begin"),
        (SasEvidence(token="SharedAccessSignature sr=x&se=1"), "no signature"),
    ],
)
def test_a_token_is_read_before_anything_is_looked_up(evidence: SasEvidence, words: str) -> None:
    verdict = refused(judge(evidence, enrolled=individual("device-001")))
    assert words in verdict.reason
    assert verdict.enrollment is None


# ---------------------------------------------------------------- certificates


@pytest.fixture(scope="module")
def root() -> Issued:
    return issue("Root")


def chain(*certificates: Any) -> CertificateEvidence:
    return CertificateEvidence(chain=tuple(certificate.der for certificate in certificates))


def test_an_enrolled_leaf_comes_in_by_either_slot(root: Issued) -> None:
    one, other = root.leaf(), root.leaf()
    enrolled = individual("device-001", ClientCertificates(primary=one.der, secondary=other.der))
    for leaf in (one, other):
        verdict = judge(chain(leaf), enrolled=enrolled)
        assert isinstance(verdict, Attested)
        assert verdict.identity == ThumbprintCredential(
            primary=one.info.sha256_thumbprint, secondary=other.info.sha256_thumbprint
        )


def test_another_leaf_shows_both_thumbprints(root: Issued) -> None:
    enrolled, offered = root.leaf(), root.leaf()
    verdict = refused(
        judge(chain(offered), enrolled=individual("device-001", ClientCertificates(primary=enrolled.der)))
    )
    assert verdict.message == "Invalid certificate."
    assert enrolled.info.sha256_thumbprint in verdict.reason
    assert offered.info.sha256_thumbprint in verdict.reason


def test_an_expired_enrolled_leaf_is_refused(root: Issued) -> None:
    leaf = root.leaf(ends=NOW - timedelta(days=3))
    verdict = refused(judge(chain(leaf), enrolled=individual("device-001", ClientCertificates(primary=leaf.der))))
    assert "expired 3 days ago" in verdict.reason


def signing(*authorities: Issued) -> SigningCertificates:
    return SigningCertificates(
        primary=authorities[0].certificate.der,
        secondary=authorities[1].certificate.der if len(authorities) > 1 else None,
    )


def test_the_group_nearest_to_the_leaf_wins_even_if_it_is_disabled(root: Issued) -> None:
    intermediate = root.ca("Intermediate")
    leaf = intermediate.leaf()
    near = group("near", signing(intermediate), provisioning_status=ProvisioningStatus.DISABLED)
    far = group("far", signing(issue("Unrelated"), root))
    verdict = judge(chain(leaf, intermediate.certificate), groups=(far, near))
    assert isinstance(verdict, Attested)
    assert verdict.enrollment is near
    assert isinstance(judge(chain(leaf, intermediate.certificate), groups=(far,)), Attested)
    assert isinstance(judge(chain(leaf, intermediate.certificate, root.certificate), groups=(far,)), Attested)
    thumbprint = leaf.info.sha256_thumbprint
    assert verdict.identity == ThumbprintCredential(primary=thumbprint, secondary=thumbprint)


def test_a_chain_that_no_group_signs_names_its_issuer(root: Issued) -> None:
    intermediate = root.ca("Intermediate 7")
    verdict = refused(judge(chain(intermediate.leaf()), groups=(group("fleet", signing(issue("Other"))),)))
    assert verdict.message == "CA certificate not found."
    assert "CN=Intermediate 7" in verdict.reason
    assert "group" in verdict.advice


def test_the_common_name_is_the_registration_id(root: Issued) -> None:
    leaf = root.leaf("device-002")
    verdict = refused(judge(chain(leaf), groups=(group("fleet", signing(root)),)))
    assert "'device-001'" in verdict.reason
    assert "'device-002'" in verdict.reason
    assert isinstance(judge(chain(root.leaf("DEVICE-001")), groups=(group("fleet", signing(root)),)), Attested)


def test_a_kelvin_sign_is_no_k(root: Issued) -> None:
    assert isinstance(judge(chain(root.leaf("\u212a9")), "k9", groups=(group("fleet", signing(root)),)), Refused)


def test_junk_for_a_certificate_is_refused() -> None:
    assert refused(judge(CertificateEvidence(chain=(b"junk",)))).message == "Invalid certificate."


def test_a_reference_to_nothing_is_said(root: Issued) -> None:
    verdict = refused(judge(chain(root.leaf()), enrolled=individual("device-001", CaReferences(primary="root"))))
    assert "the CA certificate 'root' that the enrollment refers to does not exist" in verdict.reason


# ---------------------------------------------------------------- TPM


def public(key: rsa.RSAPrivateKey, *, srk: bool = False) -> bytes:
    """Write a TPM2B_PUBLIC by contract dps.md 7.1."""
    policy = b"" if srk else bytes.fromhex("837197674484B3F81A90CC8D46A5D724FD52D76E06520B64F2A1DA1B331469AA")
    area = bytes.fromhex("0001000B") + bytes.fromhex("00030472" if srk else "000300B2")
    area += len(policy).to_bytes(2) + policy + bytes.fromhex("00060080004300100800" + "00000000" + "0100")
    area += key.public_key().public_numbers().n.to_bytes(256)
    return len(area).to_bytes(2) + area


EK_KEY, SRK_KEY = rsa_key(number=1), rsa_key(number=2)
EK, SRK = public(EK_KEY), public(SRK_KEY, srk=True)
TPM = individual("device-001", TpmAttestation(endorsement_key=EK))


def test_a_tpm_is_challenged_and_its_answer_believed() -> None:
    challenge = judge(TpmEvidence(endorsement_key=EK, storage_root_key=SRK), enrolled=TPM)
    assert isinstance(challenge, Challenge)
    opened = open_blob(parse_blob(challenge.blob), EK_KEY, SRK_KEY, name_of(SRK))
    assert opened.key == challenge.pending.key
    assert opened.uri == b"0ne00111111/registrations/device-001"
    assert len(challenge.blob) <= 940
    text = token("device-001", opened.key, now=NOW)
    for evidence in (
        TpmEvidence(endorsement_key=EK, storage_root_key=SRK, token=text),
        TpmEvidence(endorsement_key=None, storage_root_key=None, token=text),
        SasEvidence(token=text),
    ):
        assert isinstance(judge(evidence, enrolled=TPM, pending=challenge.pending), Attested)


def test_another_tpm_cannot_open_the_challenge() -> None:
    challenge = judge(TpmEvidence(endorsement_key=EK, storage_root_key=SRK), enrolled=TPM)
    assert isinstance(challenge, Challenge)
    with pytest.raises(WrongTpmError):
        open_blob(parse_blob(challenge.blob), rsa_key(number=3), SRK_KEY, name_of(SRK))


def test_another_endorsement_key_shows_whose_it_is() -> None:
    other = public(rsa_key(number=3))
    verdict = refused(judge(TpmEvidence(endorsement_key=other, storage_root_key=SRK), enrolled=TPM))
    assert verdict.code is Code.UNAUTHORIZED
    assert registration_id_of(other) in verdict.reason
    assert registration_id_of(EK) in verdict.reason


def test_an_unknown_tpm_is_not_found() -> None:
    verdict = refused(judge(TpmEvidence(endorsement_key=EK, storage_root_key=SRK), groups=(group("fleet"),)))
    assert verdict.code is Code.ENROLLMENT_NOT_FOUND


def test_the_enrolled_storage_root_key_fills_in() -> None:
    with_srk = individual("device-001", TpmAttestation(endorsement_key=EK, storage_root_key=SRK))
    bare = TpmEvidence(endorsement_key=EK, storage_root_key=None)
    assert isinstance(judge(bare, enrolled=with_srk), Challenge)
    assert refused(judge(bare, enrolled=TPM)).code is Code.INVALID_REQUEST


@pytest.mark.parametrize("srk", [b"short", EK[:-1], bytes(284)])
def test_a_storage_root_key_that_is_none_is_a_bad_request(srk: bytes) -> None:
    verdict = refused(judge(TpmEvidence(endorsement_key=EK, storage_root_key=srk), enrolled=TPM))
    assert verdict.code is Code.INVALID_REQUEST
    assert "storage root key" in verdict.message


def test_an_answer_without_or_to_another_challenge_is_refused() -> None:
    text = token("device-001", bytes(32), now=NOW)
    assert "no challenge is pending" in refused(judge(SasEvidence(token=text), enrolled=TPM)).reason
    pending = PendingChallenge(
        registration_id="device-001",
        key=b"k" * 32,
        endorsement_key=EK,
        storage_root_key=SRK,
        expires_at=NOW + timedelta(hours=1),
    )
    assert "latest challenge" in refused(judge(SasEvidence(token=text), enrolled=TPM, pending=pending)).reason


# ---------------------------------------------------------------- wrong kind


@pytest.mark.parametrize(
    ("enrolled", "evidence", "words"),
    [
        (
            individual("device-001"),
            "chain",
            "wants a SAS token signed with a symmetric key, but the device offered a c",
        ),
        (individual("device-001"), "tpm", "offered TPM keys"),
        (TPM, "chain", "wants a TPM, but the device offered a certificate"),
        (TPM, "nothing", "offered nothing"),
        (individual("device-001"), "nothing", "offered nothing"),
        (None, "nothing", "offered nothing"),
    ],
)
def test_the_wrong_kind_of_evidence(
    enrolled: IndividualEnrollment | None, evidence: str, words: str, root: Issued
) -> None:
    offered: dict[str, Evidence] = {
        "chain": chain(root.leaf()),
        "tpm": TpmEvidence(endorsement_key=EK, storage_root_key=SRK),
        "nothing": NoEvidence(),
    }
    verdict = refused(judge(offered[evidence], enrolled=enrolled))
    assert words in verdict.reason
    assert verdict.code is Code.UNAUTHORIZED


def test_what_was_offered_is_told_in_words() -> None:
    assert describe(signed(KEY)) == "SAS token"
    assert describe(CertificateEvidence(chain=(b"", b"", b""))) == "certificate chain of 3"
    assert describe(TpmEvidence(endorsement_key=EK, storage_root_key=SRK, token="x")) == "TPM keys, SAS token"
    assert describe(NoEvidence()) == "nothing"


def test_verdicts_do_not_show_keys() -> None:
    verdict = judge(signed(KEY), enrolled=individual("device-001", symmetric()))
    assert repr(KEY) not in repr(verdict)
