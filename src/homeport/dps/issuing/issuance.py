"""Granting a device's certificate request: the terms first, the signature when the operation is opened (dps.md 13.1).

The certificate becomes part of the operation's record before anything follows from it, so each operation has one,
whoever finishes it.
"""

import ipaddress
import logging
import re
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.attestation import INVALID_CERTIFICATE, Findings, Refused
from homeport.dps.identifiers import Random
from homeport.dps.issuing.ports import (
    AuthorityStore,
    CertificatePolicyStore,
    CustodyError,
    IssuedCertificateStore,
    KeyCustody,
)
from homeport.dps.model import (
    CertificateAuthority,
    CertificatePolicy,
    CertificateRef,
    Enrollment,
    Issuance,
    IssuedCertificate,
    Registration,
)
from homeport.errors import Code, HomeportError
from homeport.security.explain import server_time
from homeport.security.x509 import Certificate, parse_der
from homeport.security.x509_issue import (
    MAX_COMMON_NAME,
    SERIAL_RANDOM_BYTES,
    LeafContent,
    is_ours,
    issue_leaf,
    serial_number,
)
from homeport.security.x509_request import CertificateRequest, is_signed
from homeport.values import replace

_DNS_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_LEAST_LIFE = timedelta(minutes=1)
"""A certificate that would end sooner is of no use: its authority has run out."""
_RETRY_AFTER = 30

log = logging.getLogger(__name__)


class Terms(Struct, frozen=True, kw_only=True):
    """What a request is granted: who issues, by which policy."""

    request: CertificateRequest
    authority: CertificateAuthority
    policy: CertificatePolicy


class Issuer:
    """Issues certificates at registration."""

    def __init__(
        self,
        *,
        authorities: AuthorityStore,
        policies: CertificatePolicyStore,
        issued: IssuedCertificateStore,
        custody: KeyCustody,
        clock: Clock,
        random: Random,
    ) -> None:
        self._authorities = authorities
        self._policies = policies
        self._issued = issued
        self._custody = custody
        self._clock = clock
        self._random = random

    async def terms(self, request: CertificateRequest, enrollment: Enrollment, findings: Findings) -> Terms:
        """Return what the enrollment grants this request of a proven device.

        Raises HomeportError CERTIFICATE_REFUSED, and INVALID_REQUEST if the device does not hold the key.
        """
        if not is_signed(request):
            findings.failed("certificate request", "its signature is not made with its key")
            raise HomeportError(Code.INVALID_REQUEST, "The member 'csr' cannot be used: it is not signed with its key.")
        authority, policy = await self._named(enrollment, findings)
        if request.algorithm not in policy.key_algorithms:
            raise _refused(
                findings,
                f"the request is for a key {request.algorithm}; policy {policy.name} allows "
                + ", ".join(policy.key_algorithms),
            )
        if len(request.common_name) > MAX_COMMON_NAME:
            raise _refused(findings, f"a certificate's name has at most {MAX_COMMON_NAME} characters")
        revoked = await self._issued.revoked_with_key(request.key_digest)
        if revoked is not None:
            raise _refused(
                findings,
                f"the request is for the key of certificate {revoked.ref.serial_number}, which was revoked "
                f"({_why(revoked)}); the device needs a new key",
            )
        findings.passed(
            "certificate request", f"{request.algorithm}; {authority.name} issues it by policy {policy.name}"
        )
        return Terms(request=request, authority=authority, policy=policy)

    async def certify(
        self, registration: Registration, terms: Terms, current: Registration | None, findings: Findings
    ) -> Registration:
        """Return the opened registration with its certificate, signed by now; its hub is told when it is known.

        Raises HomeportError UNAVAILABLE if the authority cannot sign; then nothing has happened.
        """
        now = self._clock.now()
        previous = await self._previous(current, findings)
        issuance = self._again(previous, terms, now, findings)
        if issuance is None:
            issuance = await self._issue(registration, terms, now)
            findings.passed(
                "certificate",
                f"{issuance.ref.serial_number} of {issuance.authority}, valid until {server_time(issuance.not_after)}",
            )
            if previous is not None and previous.revocation is None and previous.not_after > now:
                issuance = replace(issuance, replaces=previous.ref)
        return replace(registration, operation=replace(registration.operation, issuance=issuance))

    async def revocation_of(self, leaf: Certificate) -> IssuedCertificate | None:
        """Return the record of a revoked certificate of ours; None for any other. Others cost no look-up."""
        if not is_ours(leaf.info.serial_number):
            return None
        issued = await self._issued.get(leaf.info.serial_number)
        if issued is None or issued.revocation is None or issued.ref.thumbprint != leaf.info.sha256_thumbprint:
            return None
        return issued

    async def note_revoked(self, current: Registration | None, findings: Findings) -> None:
        """Say in the record of why that the certificate the device had was revoked."""
        await self._previous(current, findings)

    async def _named(
        self, enrollment: Enrollment, findings: Findings
    ) -> tuple[CertificateAuthority, CertificatePolicy]:
        wanted, policy_name = enrollment.certificate_authority_name, enrollment.certificate_policy_name
        if wanted is None and policy_name is None:
            raise _refused(findings, "the enrollment names neither a certificate authority nor a certificate policy")
        policy = None if policy_name is None else await self._policies.get(policy_name)
        if policy_name is not None and policy is None:
            raise _refused(findings, f"the enrollment names the certificate policy {policy_name}, which does not exist")
        name = wanted or (policy.authority if policy else "")
        authority = await self._authorities.get(name)
        if authority is None:
            raise _refused(findings, f"the enrollment names the certificate authority {name}, which does not exist")
        if policy is None:
            policy = default_policy(authority)
        elif policy.authority.lower() != authority.name.lower():
            raise _refused(
                findings, f"certificate policy {policy.name} is of {policy.authority}, not of {authority.name}"
            )
        return authority, policy

    async def _previous(self, current: Registration | None, findings: Findings) -> IssuedCertificate | None:
        if current is None or current.certificate is None:
            return None
        previous = await self._issued.get(current.certificate.serial_number)
        if previous is not None and previous.revocation is not None:
            findings.passed(
                "certificate before",
                f"{previous.ref.serial_number} was revoked at {server_time(previous.revocation.at)} "
                f"({previous.revocation.reason})",
            )
        return previous

    def _again(
        self, previous: IssuedCertificate | None, terms: Terms, now: datetime, findings: Findings
    ) -> Issuance | None:
        """Return the certificate that the device has, if it asks for the same key and it is too early to renew."""
        if previous is None or previous.revocation is not None:
            return None
        same = (
            previous.key_digest == terms.request.key_digest
            and previous.authority.lower() == terms.authority.name.lower()
            and (previous.policy or "").lower() == terms.policy.name.lower()
        )
        version = terms.authority.version(previous.version)
        if not same or version is None or now >= previous.not_after - terms.policy.renew_before:
            return None
        findings.passed(
            "certificate",
            f"{previous.ref.serial_number} again: same key, and it is renewed from "
            f"{server_time(previous.not_after - terms.policy.renew_before)} on",
        )
        return Issuance(
            ref=previous.ref,
            authority=previous.authority,
            version=previous.version,
            policy=previous.policy,
            key_digest=previous.key_digest,
            subject=previous.subject,
            chain=(previous.certificate, *version.chain),
            not_before=previous.not_before,
            not_after=previous.not_after,
            is_new=False,
        )

    async def _issue(self, registration: Registration, terms: Terms, now: datetime) -> Issuance:
        authority, policy, request = terms.authority, terms.policy, terms.request
        version = authority.active
        content = leaf_content(registration.registration_id, authority, policy, now)
        if content.not_after - now < _LEAST_LIFE:
            log.error("certificate authority %s has expired: rotate it", authority.name)
            raise _cannot_issue(authority)
        serial = serial_number(self._random(SERIAL_RANDOM_BYTES))
        try:
            der = await self._custody.use(
                version.key,
                lambda key: issue_leaf(
                    content,
                    public_key=request.public_key,
                    serial=serial,
                    issuer=version.certificate,
                    issuer_key=key,
                ),
            )
        except CustodyError as error:
            log.error("certificate authority %s cannot sign: %s", authority.name, error)  # noqa: TRY400 - it says all
            raise _cannot_issue(authority) from error
        info = parse_der(der).info
        return Issuance(
            ref=CertificateRef(serial_number=info.serial_number, thumbprint=info.sha256_thumbprint),
            authority=authority.name,
            version=version.number,
            policy=policy.name,
            key_digest=request.key_digest,
            subject=info.subject_name,
            chain=(der, *version.chain),
            not_before=info.not_before,
            not_after=info.not_after,
        )


def default_policy(authority: CertificateAuthority) -> CertificatePolicy:
    """Return the policy of enrollments that name an authority only."""
    policy = CertificatePolicy(
        name="default",
        authority=authority.name,
        created_at=authority.created_at,
        updated_at=authority.created_at,
    )
    validity = min(policy.validity, authority.maximum_validity)
    return replace(policy, validity=validity, renew_before=min(policy.renew_before, validity / 3))


def leaf_content(
    registration_id: str, authority: CertificateAuthority, policy: CertificatePolicy, now: datetime
) -> LeafContent:
    """Say what a device's certificate holds: all of it from the registration and the policy.

    It ends with the policy's validity, the authority's limit or the authority itself, whatever comes first; it
    never begins before its authority does.
    """
    version = authority.active
    issuer = parse_der(version.certificate)
    whole_second = now.replace(microsecond=0)
    return LeafContent(
        common_name=registration_id,
        organization=policy.organization,
        organizational_unit=policy.organizational_unit,
        dns_names=(registration_id,) if policy.dns_name and is_dns_name(registration_id) else (),
        usages=policy.usages,
        crl_url=authority.crl_url,
        not_before=max(whole_second - policy.backdate, issuer.info.not_before),
        not_after=min(whole_second + min(policy.validity, authority.maximum_validity), version.not_after),
    )


def is_dns_name(text: str) -> bool:
    """Tell whether a registration id can be a DNS name; those with `:` or `_` and addresses cannot."""
    if _DNS_NAME.fullmatch(text) is None:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return True
    return False


def refuse_revoked(issued: IssuedCertificate, findings: Findings) -> Refused:
    """Turn a device away that shows a revoked certificate."""
    return findings.refuse(
        "revocation",
        f"certificate {issued.ref.serial_number} was revoked ({_why(issued)})",
        message=INVALID_CERTIFICATE,
        advice="Let the device register with the credential of its enrollment and a new key.",
    )


def _why(issued: IssuedCertificate) -> str:
    assert issued.revocation is not None
    return f"{issued.revocation.reason}, {server_time(issued.revocation.at)}"


def _refused(findings: Findings, reason: str) -> HomeportError:
    findings.failed("certificate request", reason)
    return HomeportError(Code.CERTIFICATE_REFUSED, f"The certificate request is refused: {reason}.")


def _cannot_issue(authority: CertificateAuthority) -> HomeportError:
    return HomeportError(
        Code.UNAVAILABLE,
        f"The certificate authority {authority.name} cannot issue at the moment.",
        retry_after=_RETRY_AFTER,
    )
