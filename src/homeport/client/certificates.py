"""A device's part in having a certificate issued: a key of its own, and the request for it (contract dps.md 13.1)."""

import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from homeport.client.security import SecurityProviderError


def new_device_key(key_file: str | Path) -> None:
    """Make an elliptic-curve key (P-256) and write it to a file that only its owner may read.

    Raises FileExistsError rather than lose a key that is there.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)


def certificate_request(registration_id: str, key_file: str | Path) -> bytes:
    """Return a PKCS#10 request, DER, for this key (PEM, unencrypted) and registration id.

    Raises SecurityProviderError for a key that cannot be read.
    """
    try:
        key = load_pem_private_key(Path(key_file).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise SecurityProviderError(f"cannot read a private key from {key_file}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise SecurityProviderError(f"the key in {key_file} is neither RSA nor elliptic curve")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, registration_id)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.DER)
