"""Certificates: whether the leaf is the one enrolled, or its chain leads to a group's signer (contract dps.md 6)."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from homeport.dps.attestation.trust import Signer, Trust
from homeport.dps.attestation.verdict import CA_NOT_FOUND, INVALID_CERTIFICATE, Attested, Findings, Refused, Verdict
from homeport.dps.model import (
    AttestationKind,
    CaReferences,
    ClientCertificates,
    DeviceClaim,
    EnrollmentGroup,
    EnrollmentRef,
    IndividualEnrollment,
    ThumbprintCredential,
    X509Attestation,
)
from homeport.security.explain import quoted, server_time
from homeport.security.x509 import Certificate, parse_der
from homeport.security.x509_path import (
    AnchorWords,
    CertificateIndex,
    Path,
    PathFault,
    PathProblem,
    find_anchor,
    judge_leaf,
)

_CHAIN = "certificate chain"
_LEAF = "certificate"

_MAX_HINTS = 3
_REFERENCES = AnchorWords(holder="individual enrollment", anchor="CA certificate")

PATH_ADVICE = {
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
    trust: Trust,
    *,
    now: datetime,
    findings: Findings,
) -> Verdict:
    """Judge the leaf by its thumbprint, or its chain by the authorities the enrollment refers to (dps.md 6.4, 1)."""
    leaf = chain[0]
    if isinstance(attestation, CaReferences):
        return _verify_by_references(enrollment, attestation, chain, trust, now=now, findings=findings)
    if not isinstance(attestation, ClientCertificates):
        raise TypeError("an individual enrollment has no signing certificates")
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
    trust: Trust, chain: Sequence[Certificate], claim: DeviceClaim, *, now: datetime, findings: Findings
) -> Verdict:
    """Find the group whose signing certificate is nearest to the leaf; disabled groups count too (dps.md 6.4, 2)."""
    result = find_anchor(chain, trust.signers.index, known=trust.known, now=now)
    if isinstance(result, PathProblem):
        return _refuse(result, findings, hint=_hint(trust, chain) if result.fault is PathFault.NO_ANCHOR else "")
    signer = trust.signers.of(result.anchor)
    group = signer.group
    findings.enrollment = EnrollmentRef(group_id=group.group_id)
    if refusal := refuse_unverified(signer, findings):
        return refusal
    what = (
        f"the CA certificate {quoted(signer.authority.name)}, {result.anchor.label}"
        if signer.authority
        else (f"{result.anchor.label}, a signer")
    )
    findings.passed("enrollment group", f"the chain leads to {what} of {quoted(group.group_id)}")
    findings.passed(_CHAIN, describe_path(result))
    return _attested(group, chain[0], chain[0].common_name or claim.registration_id, result, findings)


def refuse_unverified(signer: Signer, findings: Findings) -> Refused | None:
    """Refuse a chain that ends at an authority nobody has shown to be the operator's (dps.md 6.4, 6.5)."""
    if signer.authority is None or signer.authority.is_verified:
        return None
    return _refuse_authority(signer.authority.name, f"of {quoted(signer.group.group_id)}", "is not verified", findings)


def _verify_by_references(
    enrollment: IndividualEnrollment,
    attestation: CaReferences,
    chain: Sequence[Certificate],
    trust: Trust,
    *,
    now: datetime,
    findings: Findings,
) -> Verdict:
    anchors = []
    unusable: Refused | None = None
    for name in filter(None, (attestation.primary, attestation.secondary)):
        authority = trust.named(name)
        if authority is None or not authority.is_verified:
            trouble = "does not exist" if authority is None else "is not verified"
            so_far = len(findings.checks)
            unusable = unusable or _refuse_authority(name, "that the enrollment refers to", trouble, findings)
            del findings.checks[so_far:]
        else:
            anchors.append(parse_der(authority.certificate))
    result = find_anchor(chain, CertificateIndex(anchors), known=trust.known, words=_REFERENCES, now=now)
    if isinstance(result, PathProblem):
        # A reference that leads nowhere explains more than the chain that does not end.
        if unusable is not None and result.fault is PathFault.NO_ANCHOR:
            findings.checks[:] = unusable.checks
            return unusable
        return _refuse(result, findings)
    findings.passed(_CHAIN, describe_path(result))
    return _attested(enrollment, chain[0], enrollment.hub_device_id, result, findings)


def _attested(
    enrollment: IndividualEnrollment | EnrollmentGroup,
    leaf: Certificate,
    device_id: str,
    path: Path,
    findings: Findings,
) -> Attested:
    thumbprint = leaf.info.sha256_thumbprint
    return Attested(
        enrollment=enrollment,
        kind=AttestationKind.X509,
        identity=ThumbprintCredential(primary=thumbprint, secondary=thumbprint),
        device_id=device_id,
        checks=tuple(findings.checks),
        path=path.certificates,
    )


def describe_path(path: Path) -> str:
    """Write a path for an explanation."""
    return " ← ".join(certificate.label for certificate in path.certificates) + "; signatures and dates hold"


def _refuse(problem: PathProblem, findings: Findings, hint: str = "") -> Refused:
    return findings.refuse(
        _CHAIN,
        problem.explanation + hint,
        message=CA_NOT_FOUND if problem.fault is PathFault.NO_ANCHOR else INVALID_CERTIFICATE,
        advice=PATH_ADVICE[problem.fault],
    )


def _refuse_authority(name: str, whose: str, trouble: str, findings: Findings) -> Refused:
    return findings.refuse(
        "CA certificate",
        f"the CA certificate {quoted(name)} {whose} {trouble}",
        message=CA_NOT_FOUND,
        advice="Upload the CA certificate and verify it (homeport certificate), or refer to another one.",
    )


def _hint(trust: Trust, chain: Sequence[Certificate]) -> str:
    """Add what the operator may have overlooked to a chain that leads to no group."""
    hints = [
        f"; the group {quoted(group_id)} refers to the CA certificate {quoted(name)}, which does not exist"
        for name, group_id in list(trust.missing.items())[:_MAX_HINTS]
    ]
    names = {key for certificate in chain for key in (certificate.subject_key, certificate.issuer_key)}
    for key in names:
        for certificate in trust.known.named(key):
            authority = trust.authority(certificate)
            if authority is not None:
                hints.append(
                    f"; the CA certificate {quoted(authority.name)} has a name of this chain, but no group refers to it"
                )
    return "".join(hints[:_MAX_HINTS])


@lru_cache(maxsize=4096)
def _thumbprint(der: bytes) -> str:
    return parse_der(der).info.sha256_thumbprint
