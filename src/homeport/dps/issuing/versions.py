"""What each version of an authority is made of, and the bounds its issuer sets. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from homeport.dps.model import AuthorityVersion, CertificateAuthority, StoredKey
from homeport.errors import Code, HomeportError
from homeport.security.signing_keys import KeyAlgorithm, algorithm_of, load_public
from homeport.security.x509 import Certificate
from homeport.security.x509_authority import end_of
from homeport.security.x509_issue import ORGANIZATION, AuthorityContent
from homeport.values import replace

BACKDATE = timedelta(days=1)
"""Devices' clocks run late; an authority is valid for them, too."""


def new_version(number: int, chain: Sequence[Certificate], key: StoredKey, now: datetime) -> AuthorityVersion:
    return AuthorityVersion(
        number=number,
        certificate=chain[0].der,
        issuers=tuple(each.der for each in chain[1:]),
        key=key,
        not_after=end_of(chain),
        created_at=now,
    )


def below(content: AuthorityContent, parent: Certificate, authority: CertificateAuthority) -> AuthorityContent:
    """Keep an intermediate within what its issuer allows. Raises INVALID_REQUEST if it allows none."""
    allowed, wanted = parent.path_length, content.path_length or 0
    if allowed is not None and wanted > allowed - 1:
        raise invalid(
            f"{authority.name} has the path length {allowed}: "
            + ("it signs no other authorities" if allowed == 0 else f"pathLength is at most {allowed - 1} below it")
        )
    not_after = min(content.not_after, authority.active.not_after)
    if not_after <= content.not_before + BACKDATE:
        raise invalid(f"{authority.name} has expired")
    return replace(content, not_before=max(content.not_before, parent.info.not_before), not_after=not_after)


def organization_of(certificate: Certificate) -> str | None:
    names = certificate.parsed.subject.get_attributes_for_oid(ORGANIZATION)
    return str(names[0].value) if names else None


def algorithm_of_key(key: StoredKey) -> KeyAlgorithm:
    algorithm = algorithm_of(load_public(key.public_key))
    assert algorithm is not None
    return algorithm


def numbered(uri: str, number: int) -> str:
    """Return the URI with the version's number behind the object's label."""
    parts = []
    for part in uri.partition(":")[2].split(";"):
        name, _, value = part.partition("=")
        if name == "object":
            base = value.rpartition("-v")[0] if value.rpartition("-v")[2].isdigit() else value
            parts.append(f"object={base}-v{number}")
        elif name != "id":
            parts.append(part)
    return "pkcs11:" + ";".join(parts)


def invalid(message: str) -> HomeportError:
    """Return the refusal of a document."""
    return HomeportError(Code.INVALID_REQUEST, f"{message}.")
