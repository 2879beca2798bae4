"""What certificate chains may end at: groups' signers, uploaded authorities, makers of TPMs; found by name, not tried.

Made once for the groups and CA certificates as they are, and used for all registrations until they change.
"""

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from homeport.dps.model import CaCertificate, CaReferences, EnrollmentGroup, SigningCertificates, TpmGroupAttestation
from homeport.security.revocation import authority_key
from homeport.security.x509 import MAX_CHAIN_LENGTH, Certificate, CertificateError, parse_der
from homeport.security.x509_path import CertificateIndex, is_issued_by

Reader = Callable[[bytes], Certificate | None]


class Signer(Struct, frozen=True, kw_only=True):
    """A certificate that lets the devices of a group in."""

    group: EnrollmentGroup
    authority: CaCertificate | None
    """The uploaded CA certificate it is; None where the group has the certificate itself."""


class Signers:
    """Certificates that chains may end at, each with its group; the first group in order has it."""

    def __init__(self, signers: Iterable[tuple[bytes, Signer]], read: Reader) -> None:
        self._signers: dict[bytes, Signer] = {}
        for der, signer in signers:
            self._signers.setdefault(der, signer)
        self.index = CertificateIndex(filter(None, map(read, self._signers)))

    def __len__(self) -> int:
        return len(self._signers)

    def of(self, certificate: Certificate) -> Signer:
        """Return the signer that a certificate of the index is."""
        return self._signers[certificate.der]


class Trust:
    """All of it; `groups` in id order. What `before` has read already is not read again."""

    def __init__(
        self,
        groups: Sequence[EnrollmentGroup] = (),
        certificates: Sequence[CaCertificate] = (),
        *,
        before: "Trust | None" = None,
    ) -> None:
        self.groups = groups
        self.parsed: dict[bytes, Certificate | None] = {}
        """Certificates by DER; None for one that cannot be read any more."""
        self._parsed_before = before.parsed if before is not None else {}
        self._by_name = {certificate.name.lower(): certificate for certificate in certificates}
        parsed = {certificate.certificate: certificate for certificate in certificates}
        readable = [certificate for der in parsed if (certificate := self._read(der)) is not None]
        self.known = CertificateIndex(readable)
        """Every uploaded certificate: it may stand in for one the device did not send."""
        self._authorities = {
            authority_key(certificate): parsed[certificate.der]
            for certificate in readable
            if certificate.weak_key is None
        }
        self.missing: dict[str, str] = {}
        """Names of CA certificates that do not exist, each with a group that refers to it."""
        self.signers = Signers(self._signers(), self._read)
        self.makers = Signers(self._makers(), self._read)
        """Who certifies the endorsement keys of TPM groups."""
        self.by_key_digest = {
            digest: group
            for group in reversed(groups)
            if isinstance(group.attestation, TpmGroupAttestation)
            for digest in group.attestation.key_digests
        }
        self.has_tpm_groups = any(isinstance(group.attestation, TpmGroupAttestation) for group in groups)
        self._above: dict[bytes, tuple[Certificate, ...]] = {}
        self._parsed_before = {}

    @property
    def has_authorities(self) -> bool:
        """Whether any CA certificate was uploaded."""
        return bool(self._authorities)

    def named(self, name: str) -> CaCertificate | None:
        """Return the uploaded CA certificate of that name, in any letter case."""
        return self._by_name.get(name.lower())

    def authority(self, certificate: Certificate) -> CaCertificate | None:
        """Return the uploaded CA certificate with this subject and key, be it this very one or another issue of it."""
        return self._authorities.get(authority_key(certificate))

    def above(self, certificate: Certificate) -> tuple[Certificate, ...]:
        """Return the known issuers above a certificate, nearest first; empty for a root."""
        if certificate.der not in self._above:
            self._above[certificate.der] = tuple(self._climb(certificate))
        return self._above[certificate.der]

    def _climb(self, certificate: Certificate) -> Iterable[Certificate]:
        seen = {certificate}
        for _ in range(MAX_CHAIN_LENGTH):
            if certificate.is_self_issued:
                return
            candidates = [*self.known.candidates(certificate), *self.signers.index.candidates(certificate)]
            issuer = next(
                (one for one in candidates if one not in seen and is_issued_by(certificate, one, shared=True)), None
            )
            if issuer is None:
                return
            yield issuer
            seen.add(issuer)
            certificate = issuer

    def _signers(self) -> Iterable[tuple[bytes, Signer]]:
        for group in self.groups:
            match group.attestation:
                case SigningCertificates(primary=primary, secondary=secondary):
                    for der in filter(None, (primary, secondary)):
                        yield der, Signer(group=group, authority=None)
                case CaReferences(primary=name, secondary=other):
                    yield from self._referenced(group, tuple(filter(None, (name, other))))
                case _:
                    pass

    def _makers(self) -> Iterable[tuple[bytes, Signer]]:
        for group in self.groups:
            if isinstance(group.attestation, TpmGroupAttestation):
                yield from self._referenced(group, group.attestation.ca_references)

    def _referenced(self, group: EnrollmentGroup, names: Sequence[str]) -> Iterable[tuple[bytes, Signer]]:
        for name in names:
            authority = self.named(name)
            if authority is None:
                self.missing.setdefault(name, group.group_id)
            else:
                yield authority.certificate, Signer(group=group, authority=authority)

    def _read(self, der: bytes) -> Certificate | None:
        """Read a certificate; None for one that a newer rule refuses, so that no path may lead to it."""
        if der not in self.parsed:
            self.parsed[der] = self._parsed_before[der] if der in self._parsed_before else _parse(der)
        return self.parsed[der]


def _parse(der: bytes) -> Certificate | None:
    try:
        return parse_der(der)
    except CertificateError:
        return None
