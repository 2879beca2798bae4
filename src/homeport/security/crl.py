"""Certificate revocation lists: read once, checked against their CA, then asked by serial number (RFC 5280, 5).

Complete lists of one CA only: indirect ones, deltas and lists of some reasons or of some kinds of certificates
are refused, because "not listed" would mean nothing in them.
"""

import binascii
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID
from msgspec import Struct

from homeport.security.explain import quoted, server_time
from homeport.security.revocation import Reason, RevocationError, Revoked, verify_signature
from homeport.security.sas import CLOCK_SKEW
from homeport.security.x509 import Certificate
from homeport.security.x509_name import name_key
from homeport.values import equal_by, hiding

T = TypeVar("T", bound=x509.ExtensionType)

MAX_CRL_BYTES = 16 * 1024 * 1024
"""Some 400,000 entries."""

_PEM_BEGIN = b"-----BEGIN X509 CRL-----"
_PEM_END = b"-----END X509 CRL-----"
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.CRL_NUMBER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.ISSUING_DISTRIBUTION_POINT,
        ExtensionOID.FRESHEST_CRL,
    }
)
_UNDERSTOOD_OF_ENTRIES = frozenset({CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE})
_REASONS = tuple(Reason)
_REASON_BITS = 4


@equal_by("der")
@hiding("der", "_index")
class Crl(Struct, frozen=True, kw_only=True, eq=False):
    """A list whose signature holds. Equal when the DER is equal."""

    der: bytes
    number: int | None
    this_update: datetime
    next_update: datetime | None
    entries: int
    _index: dict[int, int]
    """Serial numbers, each with the second it was revoked in and the reason, packed: a list may be long."""

    def find(self, serial_number: int) -> Revoked | None:
        """Return when and why a certificate of this CA was revoked; None if it is not listed."""
        packed = self._index.get(serial_number)
        if packed is None:
            return None
        reason = _REASONS[packed & ((1 << _REASON_BITS) - 1)]
        return Revoked(at=datetime.fromtimestamp(packed >> _REASON_BITS, UTC), reason=reason)

    def is_current(self, now: datetime, *, tolerance: timedelta = CLOCK_SKEW) -> bool:
        """Tell whether "not listed" still means something. A list that never says when to look again, always."""
        return self.next_update is None or now - tolerance <= self.next_update

    @property
    def label(self) -> str:
        """The list, for an explanation."""
        number = "CRL" if self.number is None else f"CRL number {self.number}"
        return f"{number} of {server_time(self.this_update)}"


def read_crl(data: bytes, authority: Certificate, *, now: datetime) -> Crl:
    """Read a list, PEM or DER, and check that this authority made it. Raises RevocationError.

    A list that is out of date is read: what it revokes stays revoked. One from the future is refused.
    A long list takes about a second; call it in a thread.
    """
    der = crl_der(data)
    try:
        crl = x509.load_der_x509_crl(der)
        _check_authority(crl, authority)
        _check_extensions(crl)
        _check_date(crl, now)
        index = _index(crl)
        number = _extension(crl, x509.CRLNumber)
        return Crl(
            der=der,
            number=number.crl_number if number else None,
            this_update=crl.last_update_utc,
            next_update=crl.next_update_utc,
            entries=len(index),
            _index=index,
        )
    except RevocationError:
        raise
    # `cryptography` reads lazily: each property may find a fault of its own.
    except (ValueError, TypeError, OverflowError, UnsupportedAlgorithm) as error:
        raise RevocationError("the CRL is malformed") from error
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion) as error:
        raise RevocationError("the CRL is malformed") from error


def crl_der(data: bytes) -> bytes:
    """Return the DER of a list in PEM or DER. Raises RevocationError; only size and armour are looked at."""
    if len(data) > MAX_CRL_BYTES:
        raise RevocationError(f"the CRL is larger than {MAX_CRL_BYTES} bytes")
    _, begin, rest = data.partition(_PEM_BEGIN)
    if not begin:
        return data
    body, end, _ = rest.partition(_PEM_END)
    if not end:
        raise RevocationError("the text holds no complete PEM CRL")
    try:
        return binascii.a2b_base64(b"".join(body.split()), strict_mode=True)
    except ValueError:
        raise RevocationError("the CRL is not valid Base64") from None


def is_older(new: Crl, stored: Crl) -> bool:
    """Tell whether a list is older than the one that is known: somebody may play an old one back."""
    if new.number is not None and stored.number is not None and new.number != stored.number:
        return new.number < stored.number
    return new.this_update < stored.this_update


def _check_authority(crl: x509.CertificateRevocationList, authority: Certificate) -> None:
    if name_key(crl.issuer) != authority.subject_key:
        raise RevocationError(f"the CRL is not of {authority.label}, but of {quoted(crl.issuer.rfc4514_string())}")
    try:
        usage = authority.parsed.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is not None and not usage.crl_sign:
        raise RevocationError(f"the key usage of {authority.label} does not allow it to sign CRLs")
    try:
        verify_signature(authority.parsed, crl.signature, crl.tbs_certlist_bytes, crl.signature_hash_algorithm)
    except RevocationError as error:
        raise RevocationError(f"the CRL is not usable: {error}") from None


def _check_date(crl: x509.CertificateRevocationList, now: datetime) -> None:
    if crl.last_update_utc - CLOCK_SKEW > now:
        raise RevocationError(
            f"the CRL is of {server_time(crl.last_update_utc)}, which is yet to come "
            f"(server's clock: {server_time(now)})"
        )


def _check_extensions(crl: x509.CertificateRevocationList) -> None:
    for extension in crl.extensions:
        if extension.oid == ExtensionOID.DELTA_CRL_INDICATOR:
            raise RevocationError("the CRL is a delta; only complete ones are taken")
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise RevocationError(
                f"the CRL has a critical extension that is not supported: {extension.oid.dotted_string}"
            )
    point = _extension(crl, x509.IssuingDistributionPoint)
    if point is not None and (
        point.only_contains_user_certs
        or point.only_contains_ca_certs
        or point.only_contains_attribute_certs
        or point.indirect_crl
        or point.only_some_reasons
    ):
        raise RevocationError("the CRL covers only a part of what the CA issued; only complete ones are taken")


def _extension(crl: x509.CertificateRevocationList, kind: type[T]) -> T | None:
    try:
        return crl.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _index(crl: x509.CertificateRevocationList) -> dict[int, int]:
    index: dict[int, int] = {}
    for entry in crl:
        reason = Reason.UNSPECIFIED
        for extension in entry.extensions:
            if isinstance(extension.value, x509.CRLReason):
                reason = Reason(extension.value.reason.value)
            elif extension.critical and extension.oid not in _UNDERSTOOD_OF_ENTRIES:
                raise RevocationError(
                    "the CRL has an entry with a critical extension that is not supported: "
                    + extension.oid.dotted_string
                )
        if reason is not Reason.REMOVE_FROM_CRL:
            seconds = max(0, int(entry.revocation_date_utc.timestamp()))
            index[entry.serial_number] = seconds << _REASON_BITS | _REASONS.index(reason)
    return index
