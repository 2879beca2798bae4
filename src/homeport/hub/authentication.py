"""Who is at the other end, and may they? Pure verdicts with reasons, for devices and for services (contract hub.md 2).

Nothing is read from a store here: the identity is an argument. What a refusal looks like on the wire is not known.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import assert_never

from msgspec import Struct

from homeport.hub.certificate_proof import NO_TRUST, HubTrust, is_named, judge_certificates
from homeport.hub.identifiers import path_of
from homeport.hub.model import (
    CaAuthentication,
    DeviceIdentity,
    DeviceStatus,
    Hub,
    NoAuthentication,
    SasAuthentication,
    SelfSignedAuthentication,
)
from homeport.hub.verdicts import (
    Accepted,
    CertificatePath,
    ClientCertificate,
    DeviceKey,
    PolicyKey,
    Proof,
    Reason,
    Refused,
)
from homeport.security import policies, sas
from homeport.security.explain import quoted
from homeport.security.policies import DenialReason, HubRight, SharedAccessPolicy
from homeport.security.sas import CLOCK_SKEW, SasError, SasToken
from homeport.security.x509 import Certificate, CertificateError, parse_chain

__all__ = [
    "Accepted",
    "Audience",
    "CertificateEvidence",
    "CertificatePath",
    "ClientCertificate",
    "DeviceKey",
    "Evidence",
    "PolicyKey",
    "Proof",
    "Reason",
    "Refused",
    "TokenEvidence",
    "authorize_service",
    "judge_device",
    "read_evidence",
    "refused",
    "still_holds",
    "token_end",
]

HubPolicies = tuple[SharedAccessPolicy[HubRight], ...]

_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z, the last that datetime can hold
_NO_KEY = bytes(32)


class Audience(Struct, frozen=True, kw_only=True):
    """What tokens may be for and who may sign them: the hub's host names and its policies."""

    hosts: tuple[str, ...]
    policies: HubPolicies

    @classmethod
    def of(cls, hub: Hub) -> "Audience":
        return cls(
            hosts=hub.host_names,
            policies=tuple(
                SharedAccessPolicy(
                    name=policy.name,
                    primary_key=policy.primary_key,
                    secondary_key=policy.secondary_key,
                    rights=frozenset(HubRight(right) for right in policy.rights),
                )
                for policy in hub.policies
            ),
        )


class TokenEvidence(Struct, frozen=True, kw_only=True):
    """A token whose form and resource are in order; its signature is not proven yet."""

    token: SasToken


class CertificateEvidence(Struct, frozen=True, kw_only=True):
    """The certificates of the TLS connection, leaf first, read but not judged."""

    chain: tuple[Certificate, ...]


Evidence = TokenEvidence | CertificateEvidence


def read_evidence(
    audience: Audience, device_id: str, *, token: str | None, chain: Sequence[bytes]
) -> Evidence | Refused:
    """Look at everything that needs neither the store nor cryptography: sizes, form, and what a token is for.

    A token goes before a certificate: a device with keys may present a certificate that means nothing here.
    """
    if token:
        return _read_token(audience, device_id, token)
    if not chain:
        return Refused(reason=Reason.NO_PROOF, explanation="neither a SAS token nor a client certificate was presented")
    try:
        return CertificateEvidence(chain=parse_chain(chain))
    except CertificateError as error:
        return Refused(reason=Reason.MALFORMED, explanation=f"client certificate: {error}")


def judge_device(
    audience: Audience,
    identity: DeviceIdentity | None,
    evidence: Evidence,
    now: datetime,
    *,
    trust: HubTrust = NO_TRUST,
    tolerance: timedelta = CLOCK_SKEW,
) -> Accepted | Refused:
    """Judge what a device offered against its identity (None: there is none) and the hub's CA certificates.

    Whether a certificate was revoked is not asked here.
    """
    if identity is None:
        # The work of a signature is done anyway: whether a device exists must not show in the time taken.
        if isinstance(evidence, TokenEvidence):
            sas.verify_signature(evidence.token, _NO_KEY)
        return Refused(reason=Reason.UNKNOWN_DEVICE, explanation="the hub has no such device")
    match evidence:
        case TokenEvidence(token=token) if token.policy is not None:
            verdict = _judge_policy_token(audience, identity, token, now, tolerance)
        case TokenEvidence(token=token):
            verdict = _judge_device_token(identity, token, now, tolerance)
        case CertificateEvidence(chain=chain):
            verdict = judge_certificates(identity, chain, trust, now)
        case _:
            assert_never(evidence)
    if isinstance(verdict, Accepted) and identity.status is DeviceStatus.DISABLED:
        why = f" ({quoted(identity.status_reason)})" if identity.status_reason else ""
        return Refused(reason=Reason.DISABLED, explanation=f"the device is disabled in the registry{why}")
    return verdict


def still_holds(identity: DeviceIdentity | None, generation_id: str, proof: Proof, trust: HubTrust = NO_TRUST) -> bool:
    """Tell whether a connection that was accepted with this proof may stay, now that this is the identity.

    A chain holds as long as the CA certificate that it ended at is one of the hub's, and verified.
    """
    if identity is None or identity.generation_id != generation_id or identity.status is DeviceStatus.DISABLED:
        return False
    match proof, identity.authentication:
        case PolicyKey(), _:
            return True
        case DeviceKey(key=key), SasAuthentication() as keys:
            return key in (keys.primary_key, keys.secondary_key)
        case ClientCertificate(certificate=certificate), SelfSignedAuthentication() as thumbprints:
            return is_named(certificate, thumbprints)
        case CertificatePath(path=path), CaAuthentication():
            return path.anchor.der in trust.verified
        case _:
            return False


def authorize_service(
    audience: Audience,
    authorization: str | None,
    path: Sequence[str],
    needed: Collection[HubRight],
    now: datetime,
    *,
    tolerance: timedelta = CLOCK_SKEW,
) -> str | Refused:
    """Return the name of the policy that grants the call, or why none does.

    `path` holds the decoded segments of the request; any one right of `needed` is enough (contract hub.md 2.1).
    """
    if not authorization:
        return Refused(reason=Reason.NO_PROOF, explanation="the request has no Authorization header")
    try:
        token = sas.parse_token(authorization)
    except SasError as error:
        return Refused(reason=Reason.MALFORMED, explanation=str(error))
    verdict = policies.authorize(
        audience.policies,
        token,
        now=now,
        tolerance=tolerance,
        covers=lambda candidate: sas.covers_hub_resource(candidate, audience.hosts, path),
    )
    if isinstance(verdict, policies.Denied):
        return refused(verdict)
    if verdict.rights.isdisjoint(needed):
        return Refused(
            reason=Reason.MISSING_RIGHT,
            explanation=f"policy {quoted(verdict.policy)} lacks {' or '.join(sorted(needed))}",
        )
    return verdict.policy


def _read_token(audience: Audience, device_id: str, text: str) -> TokenEvidence | Refused:
    try:
        token = sas.parse_token(text)
    except SasError as error:
        return Refused(reason=Reason.MALFORMED, explanation=str(error))
    path = path_of(device_id)
    if token.policy is None:
        fits = sas.is_hub_resource(token, audience.hosts, path)
    else:
        fits = sas.covers_hub_resource(token, audience.hosts, path)
    if not fits:
        return Refused(
            reason=Reason.WRONG_RESOURCE,
            explanation=f"the token is for {quoted(token.resource)}, not for "
            f"{quoted('/'.join((audience.hosts[0], *path)))}",
        )
    return TokenEvidence(token=token)


def _judge_device_token(
    identity: DeviceIdentity, token: SasToken, now: datetime, tolerance: timedelta
) -> Accepted | Refused:
    match identity.authentication:
        case SasAuthentication(primary_key=primary, secondary_key=secondary):
            # Both keys are always tried: which of the two signed must not show in the time taken.
            by_primary, by_secondary = (sas.verify_signature(token, key) for key in (primary, secondary))
        case NoAuthentication():
            sas.verify_signature(token, _NO_KEY)
            return Refused(reason=Reason.WRONG_MECHANISM, explanation="nobody connects as this module: it has no keys")
        case SelfSignedAuthentication() | CaAuthentication():
            sas.verify_signature(token, _NO_KEY)
            return Refused(
                reason=Reason.WRONG_MECHANISM,
                explanation="the device sent a SAS token; its identity is set to X.509 certificates",
            )
        case _:
            assert_never(identity.authentication)
    if not (by_primary or by_secondary):
        return Refused(
            reason=Reason.BAD_SIGNATURE,
            explanation="neither key of the device made the token's signature (a derived key, or an old one?)",
        )
    if sas.is_expired(token, now, tolerance):
        return Refused(reason=Reason.EXPIRED, explanation=sas.explain_expiry(token, now))
    return Accepted(proof=DeviceKey(key=primary if by_primary else secondary), expires_at=_end(token.expiry, tolerance))


def _judge_policy_token(
    audience: Audience, identity: DeviceIdentity, token: SasToken, now: datetime, tolerance: timedelta
) -> Accepted | Refused:
    path = path_of(identity.device_id)
    verdict = policies.authorize(
        audience.policies,
        token,
        now=now,
        tolerance=tolerance,
        covers=lambda candidate: sas.covers_hub_resource(candidate, audience.hosts, path),
    )
    if isinstance(verdict, policies.Denied):
        return refused(verdict)
    if HubRight.DEVICE_CONNECT not in verdict.rights:
        return Refused(
            reason=Reason.MISSING_RIGHT, explanation=f"policy {quoted(verdict.policy)} lacks {HubRight.DEVICE_CONNECT}"
        )
    return Accepted(proof=PolicyKey(policy=verdict.policy), expires_at=_end(verdict.expires_at, tolerance))


def refused(denial: policies.Denied) -> Refused:
    """Say why a token of a policy grants nothing, in this module's words."""
    reasons = {
        DenialReason.NO_POLICY_NAME: Reason.UNKNOWN_POLICY,
        DenialReason.UNKNOWN_POLICY: Reason.UNKNOWN_POLICY,
        DenialReason.WRONG_RESOURCE: Reason.WRONG_RESOURCE,
        DenialReason.BAD_SIGNATURE: Reason.BAD_SIGNATURE,
        DenialReason.EXPIRED: Reason.EXPIRED,
    }
    return Refused(reason=reasons[denial.reason], explanation=denial.explanation)


def token_end(token: SasToken, tolerance: timedelta = CLOCK_SKEW) -> datetime | None:
    """Return the moment a token ends for good; None for one that outlives the calendar."""
    return _end(token.expiry, tolerance)


def _end(expiry: int, tolerance: timedelta) -> datetime | None:
    seconds = expiry + int(tolerance.total_seconds())
    return datetime.fromtimestamp(seconds, UTC) if seconds <= _LAST_SECOND else None
