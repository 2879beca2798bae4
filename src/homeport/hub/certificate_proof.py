"""Whether a client certificate proves a device: by its thumbprint, or by its chain (contract hub.md 2.5). Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from homeport.hub.model import (
    CaAuthentication,
    DeviceIdentity,
    HubCaCertificate,
    NoAuthentication,
    SasAuthentication,
    SelfSignedAuthentication,
)
from homeport.hub.verdicts import Accepted, CertificatePath, ClientCertificate, Reason, Refused
from homeport.security.explain import quoted, server_time
from homeport.security.sas import CLOCK_SKEW
from homeport.security.x509 import Certificate, CertificateError, matches_thumbprint, parse_der
from homeport.security.x509_path import AnchorWords, CertificateIndex, PathFault, PathProblem, find_anchor

_WORDS = AnchorWords(holder="hub", anchor="verified CA certificate")
_REASONS = {
    PathFault.NO_ANCHOR: Reason.NO_HUB_CA,
    PathFault.EXPIRED: Reason.EXPIRED,
    PathFault.NOT_YET_VALID: Reason.NOT_YET_VALID,
}
_NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # what certificates without an end say (RFC 5280, 4.1.2.5)


class HubTrust(Struct, frozen=True):
    """The CA certificates of a hub, read: what chains may end at, and what may complete them."""

    anchors: CertificateIndex
    known: CertificateIndex
    """Unverified ones, too: they may stand in for one the device did not send, and prove nothing by themselves."""
    verified: frozenset[bytes]
    """DER of the anchors."""
    unverified: tuple[tuple[str, Certificate], ...]
    """With their names, to explain refusals."""

    @classmethod
    def of(cls, records: Iterable[HubCaCertificate]) -> "HubTrust":
        """Read what is stored; what newer rules refuse to read is passed over, so that no path leads to it."""
        anchors: list[Certificate] = []
        unverified: list[tuple[str, Certificate]] = []
        for record in records:
            try:
                certificate = parse_der(record.certificate)
            except CertificateError:
                continue
            if record.is_verified:
                anchors.append(certificate)
            else:
                unverified.append((record.name, certificate))
        return cls(
            anchors=CertificateIndex(anchors),
            known=CertificateIndex([*anchors, *(certificate for _, certificate in unverified)]),
            verified=frozenset(certificate.der for certificate in anchors),
            unverified=tuple(unverified),
        )


NO_TRUST = HubTrust.of(())


def judge_certificates(
    identity: DeviceIdentity, chain: Sequence[Certificate], trust: HubTrust, now: datetime
) -> Accepted | Refused:
    """Judge a TLS client's certificates, leaf first, by what the identity is set to.

    Accepted until they would be refused: a certificate known by its thumbprint ends with its own date, a chain five
    minutes after the first date in it.
    """
    match identity.authentication:
        case NoAuthentication() | SasAuthentication():
            return Refused(
                reason=Reason.WRONG_MECHANISM,
                explanation="the device sent a certificate and no token; its identity is set to symmetric keys",
            )
        case CaAuthentication():
            return _judge_chain(identity, chain, trust, now)
        case SelfSignedAuthentication() as thumbprints:
            return _judge_thumbprint(thumbprints, chain[0], now)


def is_named(certificate: Certificate, thumbprints: SelfSignedAuthentication) -> bool:
    """Tell whether an identity names this certificate."""
    return any(
        matches_thumbprint(certificate, thumbprint)
        for thumbprint in (thumbprints.primary_thumbprint, thumbprints.secondary_thumbprint)
        if thumbprint
    )


def _judge_thumbprint(
    thumbprints: SelfSignedAuthentication, certificate: Certificate, now: datetime
) -> Accepted | Refused:
    if not is_named(certificate, thumbprints):
        return Refused(
            reason=Reason.WRONG_THUMBPRINT,
            explanation=f"the certificate {certificate.label} has the thumbprint "
            f"{certificate.info.sha256_thumbprint}, which the identity does not name",
        )
    if now > certificate.info.not_after:
        return Refused(
            reason=Reason.EXPIRED,
            explanation=f"the certificate {certificate.label} expired at {server_time(certificate.info.not_after)}",
        )
    if now < certificate.info.not_before - CLOCK_SKEW:
        return Refused(
            reason=Reason.NOT_YET_VALID,
            explanation=f"the certificate {certificate.label} is valid from "
            f"{server_time(certificate.info.not_before)} on",
        )
    return Accepted(proof=ClientCertificate(certificate=certificate), expires_at=_end([certificate], timedelta()))


def _judge_chain(
    identity: DeviceIdentity, chain: Sequence[Certificate], trust: HubTrust, now: datetime
) -> Accepted | Refused:
    leaf = chain[0]
    if not trust.verified:
        waiting = f" ({_names(trust.unverified)} not verified yet)" if trust.unverified else ""
        return Refused(
            reason=Reason.NO_HUB_CA,
            explanation=f"the identity is set to certificateAuthority, and this hub has no verified CA "
            f"certificate{waiting}",
        )
    # Ids are case-sensitive, and so is this. Compared first: it is the likeliest mistake, and costs nothing.
    if leaf.common_name != identity.device_id:
        shown = "has not exactly one common name" if leaf.common_name is None else f"is for {quoted(leaf.common_name)}"
        return Refused(
            reason=Reason.WRONG_COMMON_NAME,
            explanation=f"the device connects as {quoted(identity.device_id)}, and its certificate {shown}",
        )
    result = find_anchor(chain, trust.anchors, known=trust.known, words=_WORDS, now=now, tolerance=CLOCK_SKEW)
    if isinstance(result, PathProblem):
        hint = _hint(chain, trust) if result.fault is PathFault.NO_ANCHOR else ""
        return Refused(reason=_REASONS.get(result.fault, Reason.BAD_CHAIN), explanation=result.explanation + hint)
    return Accepted(proof=CertificatePath(path=result), expires_at=_end(result.certificates, CLOCK_SKEW))


def _end(certificates: Iterable[Certificate], tolerance: timedelta) -> datetime | None:
    """Return when the first of them has run out for good; None for never."""
    first = min(certificate.info.not_after for certificate in certificates)
    return None if first >= _NEVER - tolerance else first + tolerance


def _hint(chain: Sequence[Certificate], trust: HubTrust) -> str:
    names = {certificate.issuer_key for certificate in chain}
    waiting = tuple(one for one in trust.unverified if one[1].subject_key in names)
    return f"; {_names(waiting)} of that name, but not verified" if waiting else ""


def _names(unverified: Sequence[tuple[str, Certificate]]) -> str:
    verb = "is" if len(unverified) == 1 else "are"
    return f"{', '.join(quoted(name) for name, _ in unverified[:3])} {verb}"
