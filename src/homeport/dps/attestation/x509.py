"""Certificates: whether the leaf is the one enrolled, or its chain leads to a group's signer (contract dps.md 6)."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from homeport.dps.attestation.verdict import CA_NOT_FOUND, INVALID_CERTIFICATE, Attested, Findings, Refused, Verdict
from homeport.dps.model import (
    AttestationKind,
    ClientCertificates,
    DeviceClaim,
    EnrollmentGroup,
    EnrollmentRef,
    IndividualEnrollment,
    SigningCertificates,
    ThumbprintCredential,
    X509Attestation,
)
from homeport.security.explain import quoted, server_time
from homeport.security.x509 import Certificate, CertificateError, parse_der
from homeport.security.x509_path import CertificateIndex, Path, PathFault, PathProblem, find_anchor, judge_leaf

_CHAIN = "certificate chain"
_LEAF = "certificate"

_ADVICE = {
    PathFault.NO_CERTIFICATE: "Give the device its certificate.",
    PathFault.TOO_MANY_CERTIFICATES: "Send only the certificates between the leaf and the group's signing certificate.",
    PathFault.NO_ANCHOR: "Create a group with that issuer's certificate, or let the device send its intermediates.",
    PathFault.BROKEN_SIGNATURE: "Issue the device's certificate again with the CA that the group trusts.",
    PathFault.EXPIRED: "Roll the certificate; if it should be valid, check the server's clock.",
    PathFault.NOT_YET_VALID: "Check the clocks of the server and of the CA that issued it.",
    PathFault.NOT_A_CA: "Issue the intermediate again as a CA certificate.",
    PathFault.PATH_TOO_LONG: "Issue the CA certificate again with a larger path length, or shorten the chain.",
    PathFault.TOO_WEAK: "Issue the certificate again with a stronger key or signature.",
    PathFault.UNKNOWN_CRITICAL_EXTENSION: "Issue the certificate again without that extension, or not critical.",
    PathFault.TOO_MUCH_WORK: "Give CA certificates distinct names or key identifiers.",
}


def refuse_other_name(leaf: Certificate, claim: DeviceClaim, findings: Findings) -> Refused | None:
    """Note that the leaf's CN is the registration id (dps.md 6.2), or refuse it."""
    name = leaf.common_name
    if name is not None and name.isascii() and name.lower() == claim.registration_id.lower():
        findings.passed("common name", f"the certificate is for {quoted(name)}")
        return None
    shown = "has not exactly one common name" if name is None else f"has the common name {quoted(name)}"
    return findings.refuse(
        "common name",
        f"the device registers as {quoted(claim.registration_id)}, but its certificate {shown}",
        message=INVALID_CERTIFICATE,
        advice="The certificate's common name must be the registration id.",
    )


def verify_individual(
    enrollment: IndividualEnrollment,
    attestation: X509Attestation,
    chain: Sequence[Certificate],
    *,
    now: datetime,
    findings: Findings,
) -> Verdict:
    """Judge the leaf by its thumbprint (dps.md 6.4, 1)."""
    leaf = chain[0]
    if not isinstance(attestation, ClientCertificates):
        return _refuse_references(findings)
    enrolled = [der for der in (attestation.primary, attestation.secondary) if der is not None]
    if leaf.der not in enrolled:
        return findings.refuse(
            _LEAF,
            f"the device's certificate has the thumbprint {leaf.info.sha256_thumbprint}; enrolled "
            + ("are " if len(enrolled) > 1 else "is ")
            + " and ".join(_thumbprint(der) for der in enrolled),
            message=INVALID_CERTIFICATE,
            advice="Enroll the device's new certificate, or give the device the enrolled one.",
        )
    findings.passed(_LEAF, f"thumbprint {leaf.info.sha256_thumbprint} is enrolled")
    if problem := judge_leaf(leaf, now=now):
        return _refuse(problem, findings)
    findings.passed("validity", f"the certificate is valid until {server_time(leaf.info.not_after)}")
    thumbprints = [_thumbprint(der) for der in enrolled]
    return Attested(
        enrollment=enrollment,
        kind=AttestationKind.X509,
        # Both enrolled certificates are the device's, so that it may roll over to the other one at its hub.
        identity=ThumbprintCredential(primary=thumbprints[0], secondary=thumbprints[-1]),
        device_id=enrollment.hub_device_id,
        checks=tuple(findings.checks),
    )


def verify_groups(
    groups: Sequence[EnrollmentGroup],
    chain: Sequence[Certificate],
    claim: DeviceClaim,
    *,
    now: datetime,
    findings: Findings,
) -> Verdict:
    """Find the group whose signing certificate is nearest to the leaf; disabled groups count too (dps.md 6.4, 2)."""
    owners = _owners(groups)
    # In a fixed order, so that the index is found again by its content.
    result = find_anchor(chain, _index(tuple(owners)), now=now)
    if isinstance(result, PathProblem):
        return _refuse(result, findings)
    group = owners[result.anchor.der]
    findings.enrollment = EnrollmentRef(group_id=group.group_id)
    findings.passed(
        "enrollment group", f"the chain leads to {result.anchor.label}, a signer of {quoted(group.group_id)}"
    )
    findings.passed(_CHAIN, _describe(result))
    thumbprint = chain[0].info.sha256_thumbprint
    return Attested(
        enrollment=group,
        kind=AttestationKind.X509,
        identity=ThumbprintCredential(primary=thumbprint, secondary=thumbprint),
        device_id=chain[0].common_name or claim.registration_id,
        checks=tuple(findings.checks),
    )


def _describe(path: Path) -> str:
    return " ← ".join(certificate.label for certificate in path.certificates) + "; signatures and dates hold"


def _refuse(problem: PathProblem, findings: Findings) -> Refused:
    return findings.refuse(
        _CHAIN,
        problem.explanation,
        message=CA_NOT_FOUND if problem.fault is PathFault.NO_ANCHOR else INVALID_CERTIFICATE,
        advice=_ADVICE[problem.fault],
    )


def _refuse_references(findings: Findings) -> Refused:
    return findings.refuse(
        _CHAIN,
        "the enrollment names its CA certificates by reference, and this service does not keep CA certificates yet",
        message=CA_NOT_FOUND,
        advice="Put the certificates themselves into the enrollment.",
    )


def _owners(groups: Sequence[EnrollmentGroup]) -> dict[bytes, EnrollmentGroup]:
    """Map each signing certificate to the first group that has it."""
    owners: dict[bytes, EnrollmentGroup] = {}
    for group in groups:
        if isinstance(group.attestation, SigningCertificates):
            owners.setdefault(group.attestation.primary, group)
            if group.attestation.secondary is not None:
                owners.setdefault(group.attestation.secondary, group)
    return owners


@lru_cache(maxsize=16)
def _index(ders: tuple[bytes, ...]) -> CertificateIndex:
    """Parse the groups' certificates once for many registrations; the key is their content, so it cannot be stale."""
    certificates = []
    for der in ders:
        try:
            certificates.append(parse_der(der))
        except CertificateError:
            # It was readable when it was enrolled: a newer rule refuses it now, and no path may lead to it.
            continue
    return CertificateIndex(certificates)


@lru_cache(maxsize=4096)
def _thumbprint(der: bytes) -> str:
    return parse_der(der).info.sha256_thumbprint
