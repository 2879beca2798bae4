"""How a device proves itself: with a symmetric key or a certificate. TPMs are in `tpm`."""

import hashlib
import hmac
import ssl
from pathlib import Path
from typing import Self

from homeport.client.errors import ClientError
from homeport.security import sas
from homeport.security.sas import SasError, decode_key, encode_key
from homeport.security.x509 import parse_der

_MAX_CERTIFICATE_FILE = 256 * 1024
_PEM_BEGIN = "-----BEGIN CERTIFICATE-----"
_PEM_END = "-----END CERTIFICATE-----"


class SecurityProviderError(ClientError, ValueError):
    """A key or certificate that cannot be used. The message never repeats a key."""


def derive_device_key(group_key: str, registration_id: str) -> str:
    """Return a device's own key, made of its group's (contract dps.md 2.3); all keys in Base64.

    The id counts letter by letter; another letter case gives another key. Raises SecurityProviderError.
    """
    return encode_key(sas.derive_device_key(_decoded(group_key), _checked_id(registration_id)))


class SymmetricKeySecurityProvider:
    """A device with a key of its own."""

    def __init__(self, registration_id: str, key: str) -> None:
        """Take the Base64 of a key of 16 to 64 bytes. Raises SecurityProviderError."""
        self.registration_id = _checked_id(registration_id)
        self._key = _decoded(key)

    @classmethod
    def from_group_key(cls, registration_id: str, group_key: str) -> Self:
        """Derive the device's key from its group's, as `derive_device_key` does.

        That is for the factory, or for trying things out: a device should hold its own key only.
        """
        return cls(registration_id, derive_device_key(group_key, registration_id))

    @property
    def key(self) -> str:
        """The device's key in Base64; its hub takes it too."""
        return encode_key(self._key)

    def sign(self, data: bytes) -> bytes:
        """Return the HMAC-SHA256 of `data`."""
        return hmac.digest(self._key, data, hashlib.sha256)

    def __repr__(self) -> str:
        return f"SymmetricKeySecurityProvider({self.registration_id!r}, …)"


class X509SecurityProvider:
    """A device with a certificate, whose common name is the registration id."""

    def __init__(
        self,
        certificate_file: str | Path,
        key_file: str | Path,
        *,
        password: str | None = None,
        registration_id: str | None = None,
    ) -> None:
        """Take PEM files: the certificate, followed by the issuers the service does not know; and its key.

        Raises SecurityProviderError if they cannot be read or do not belong together.
        """
        self.certificate_file = Path(certificate_file)
        self.key_file = Path(key_file)
        self._password = password
        self.registration_id = _checked_id(registration_id or _common_name(self.certificate_file))
        self.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    @property
    def password(self) -> str | None:
        """The pass phrase of the key file."""
        return self._password

    def load_into(self, context: ssl.SSLContext) -> None:
        """Let a TLS context show the certificate."""
        # Without a password OpenSSL would ask for one at the terminal.
        password = self._password or ""
        try:
            context.load_cert_chain(self.certificate_file, self.key_file, password=lambda: password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise SecurityProviderError(
                f"cannot use the certificate {self.certificate_file} with the key {self.key_file}: {error}"
            ) from error

    def __repr__(self) -> str:
        return f"X509SecurityProvider({str(self.certificate_file)!r}, {str(self.key_file)!r})"


def _checked_id(registration_id: str) -> str:
    # The service has the rule; here only what cannot stand in a user name or path is refused.
    if not registration_id or len(registration_id) > 128 or not registration_id.isascii():
        raise SecurityProviderError("a registration id has 1 to 128 ASCII characters")
    if not registration_id.isprintable() or set(registration_id) & set(" /\\?#&"):
        raise SecurityProviderError("a registration id has letters, digits and - . _ : only")
    return registration_id


def _decoded(key: str) -> bytes:
    try:
        return decode_key(key)
    except SasError as error:
        raise SecurityProviderError(str(error)) from error


def _common_name(certificate_file: Path) -> str:
    try:
        with certificate_file.open(encoding="utf-8") as file:
            text = file.read(_MAX_CERTIFICATE_FILE)
        # The first certificate is the device's; a key may stand in the same file.
        _, begin, rest = text.partition(_PEM_BEGIN)
        body, end, _ = rest.partition(_PEM_END)
        name = parse_der(ssl.PEM_cert_to_DER_cert(begin + body + end)).common_name
    except (OSError, ValueError) as error:
        raise SecurityProviderError(f"cannot read a certificate from {certificate_file}: {error}") from error
    if name is None:
        raise SecurityProviderError(f"the certificate in {certificate_file} has no common name, or several")
    return name
