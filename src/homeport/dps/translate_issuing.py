"""Administrators' documents <-> model: issuing authorities, certificate policies, issued certificates."""

import base64
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from msgspec import UNSET, UnsetType

from homeport.dps.issuing.authorities import AuthorityLimits, BroughtAuthority, NewAuthority
from homeport.dps.model import (
    AuthorityVersion,
    CertificateAuthority,
    CertificatePolicy,
    IssuedCertificate,
    RevocationList,
)
from homeport.errors import Code, HomeportError
from homeport.security.signing_keys import KeyAlgorithm, algorithm_of, load_public
from homeport.security.x509 import parse_der
from homeport.security.x509_issue import RevocationReason, Usage
from homeport.wire import dps_issuing as wire
from homeport.wire import format_seconds, format_time

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

_MAX_SECONDS = 100 * 366 * 86400
_LINE = 64


def authority_document(authority: CertificateAuthority) -> wire.Authority:
    return wire.Authority(
        name=authority.name,
        issuer=_shown(authority.issuer),
        maximum_validity_seconds=_seconds(authority.maximum_validity),
        crl_url=_shown(authority.crl_url),
        active=_version_document(authority.active),
        versions=[_version_document(version) for version in authority.versions],
        etag=authority.etag,
        created_date_time_utc=format_time(authority.created_at),
        last_updated_date_time_utc=format_time(authority.updated_at),
    )


def chain_document(version: AuthorityVersion) -> wire.Chain:
    return wire.Chain(version=version.number, certificates="".join(pem_of(der) for der in version.chain))


def pem_of(der: bytes) -> str:
    """Write a certificate in PEM."""
    text = base64.b64encode(der).decode("ascii")
    lines = "\n".join(text[start : start + _LINE] for start in range(0, len(text), _LINE))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"


def revocation_list_document(revocation_list: RevocationList) -> wire.RevocationList:
    return wire.RevocationList(
        version=revocation_list.version,
        number=revocation_list.number,
        next_update_utc=format_seconds(revocation_list.next_update),
        crl=_base64(revocation_list.der),
    )


def new_authority_of(document: wire.AuthorityCreation) -> NewAuthority:
    """Read an authority to be made. Raises HomeportError INVALID_REQUEST."""
    if _given(document.private_key) is not None:
        raise _invalid("a privateKey comes with its certificates")
    algorithm = _enumeration(KeyAlgorithm, _given(document.key_type), "keyType")
    return NewAuthority(
        issuer=_given(document.issuer),
        algorithm=algorithm or KeyAlgorithm.EC_P256,
        key_uri=_given(document.key_uri),
        common_name=_given(document.common_name),
        organization=_given(document.organization),
        validity=_span(document.validity_seconds, "validitySeconds"),
        path_length=_given(document.path_length),
        limits=limits_of(document),
    )


def brought_authority_of(document: wire.AuthorityCreation) -> BroughtAuthority | None:
    """Read an authority that was made elsewhere; None if the document has no certificates."""
    certificates = _given(document.certificates)
    if certificates is None:
        return None
    return BroughtAuthority(
        certificates=certificates,
        private_key=_given(document.private_key),
        key_uri=_given(document.key_uri),
    )


def limits_of(document: wire.AuthorityCreation) -> AuthorityLimits:
    """Read what an authority does with its key."""
    maximum = _span(document.maximum_validity_seconds, "maximumValiditySeconds")
    default = AuthorityLimits()
    return AuthorityLimits(
        maximum_validity=default.maximum_validity if maximum is None else maximum,
        crl_url=_given(document.crl_url) or None,
    )


def policy_document(policy: CertificatePolicy) -> wire.Policy:
    return wire.Policy(
        name=policy.name,
        certificate_authority_name=policy.authority,
        validity_seconds=_seconds(policy.validity),
        backdate_seconds=_seconds(policy.backdate),
        renew_before_seconds=_seconds(policy.renew_before),
        key_types=[algorithm.value for algorithm in policy.key_algorithms],
        organization=_shown(policy.organization),
        organizational_unit=_shown(policy.organizational_unit),
        dns_name=policy.dns_name,
        extended_key_usages=[usage.value for usage in policy.usages],
        etag=policy.etag,
        created_date_time_utc=format_time(policy.created_at),
        last_updated_date_time_utc=format_time(policy.updated_at),
    )


def policy_of(name: str, document: wire.PolicyWrite, now: datetime) -> CertificatePolicy:
    """Read a policy; what is absent takes its default. Raises HomeportError INVALID_REQUEST."""
    plain = CertificatePolicy(name=name, authority=document.certificate_authority_name, created_at=now, updated_at=now)
    validity = _span(document.validity_seconds, "validitySeconds")
    backdate = _span(document.backdate_seconds, "backdateSeconds")
    renewal = _span(document.renew_before_seconds, "renewBeforeSeconds")
    if validity is None:
        validity = plain.validity
    return CertificatePolicy(
        name=name,
        authority=document.certificate_authority_name,
        validity=validity,
        backdate=plain.backdate if backdate is None else backdate,
        renew_before=min(plain.renew_before, validity / 3) if renewal is None else renewal,
        key_algorithms=_every(KeyAlgorithm, _given(document.key_types), "keyTypes", plain.key_algorithms),
        organization=_given(document.organization),
        organizational_unit=_given(document.organizational_unit),
        dns_name=bool(_given(document.dns_name)),
        usages=_every(Usage, _given(document.extended_key_usages), "extendedKeyUsages", plain.usages),
        created_at=now,
        updated_at=now,
    )


def issued_document(issued: IssuedCertificate, now: datetime) -> wire.Issued:
    revoked = issued.revocation
    status = "revoked" if revoked is not None else "expired" if issued.not_after < now else "valid"
    return wire.Issued(
        serial_number=issued.ref.serial_number,
        sha256_thumbprint=issued.ref.thumbprint,
        registration_id=issued.registration_id,
        certificate_authority_name=issued.authority,
        authority_version=issued.version,
        certificate_policy_name=_shown(issued.policy),
        subject_name=issued.subject,
        certificate=_base64(issued.certificate),
        not_before_utc=format_seconds(issued.not_before),
        not_after_utc=format_seconds(issued.not_after),
        issued_date_time_utc=format_time(issued.issued_at),
        assigned_hub=issued.hub,
        device_id=issued.device_id,
        status=status,
        revoked_date_time_utc=UNSET if revoked is None else format_time(revoked.at),
        revocation_reason=UNSET if revoked is None else revoked.reason.value,
        withdrawn=issued.withdrawn,
    )


def reason_of(document: wire.RevocationRequest) -> RevocationReason:
    """Read why a certificate is revoked. Raises HomeportError INVALID_REQUEST."""
    reason = _enumeration(RevocationReason, _given(document.reason), "reason")
    return reason or RevocationReason.UNSPECIFIED


def _version_document(version: AuthorityVersion) -> wire.AuthorityVersion:
    info = parse_der(version.certificate).info
    algorithm = algorithm_of(load_public(version.key.public_key))
    return wire.AuthorityVersion(
        version=version.number,
        key_type="" if algorithm is None else algorithm.value,
        key_uri=_shown(version.key.uri),
        subject_name=info.subject_name,
        sha256_thumbprint=info.sha256_thumbprint,
        serial_number=info.serial_number,
        not_before_utc=format_seconds(info.not_before),
        not_after_utc=format_seconds(info.not_after),
    )


def _span(value: int | UnsetType | None, member: str) -> timedelta | None:
    seconds = _given(value)
    if seconds is None:
        return None
    if not 0 <= seconds <= _MAX_SECONDS:
        raise _invalid(f"{member} is not a span of at most a hundred years")
    return timedelta(seconds=seconds)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())


def _every(kind: type[E], texts: Iterable[str] | None, member: str, default: tuple[E, ...]) -> tuple[E, ...]:
    if texts is None:
        return default
    found = (_enumeration(kind, text, member) for text in texts)
    return tuple(dict.fromkeys(value for value in found if value is not None))


def _enumeration(kind: type[E], text: str | None, member: str) -> E | None:
    if text is None:
        return None
    for value in kind:
        if value.value.lower() == text.lower():
            return value
    raise _invalid(f"{member} is none of {', '.join(value.value for value in kind)}")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _given(value: T | UnsetType | None) -> T | None:
    return None if isinstance(value, UnsetType) else value


def _shown(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value


def _invalid(message: str) -> HomeportError:
    return HomeportError(Code.INVALID_REQUEST, f"{message}.")
