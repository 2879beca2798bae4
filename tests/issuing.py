"""Certificate requests, honest ones and others."""

import base64
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from homeport.security.x509_request import CertificateRequest, parse_request

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@cache
def device_key(name: str) -> ec.EllipticCurvePrivateKey:
    """The same P-256 key for the same name."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


def request_der(
    common_name: str, key: Key | None = None, *, names: tuple[str, ...] | None = None, **extensions: Any
) -> bytes:
    """A PKCS#10 request; `names` are common names instead of the one, `sans` are DNS names."""
    key = key or device_key(common_name)
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names or (common_name,)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if sans := extensions.get("sans"):
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in sans]), critical=False
        )
    if extensions.get("ca"):
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    hashed = None if isinstance(key, ed25519.Ed25519PrivateKey) else extensions.get("hashed", hashes.SHA256())
    return builder.sign(key, hashed).public_bytes(Encoding.DER)


def request_text(common_name: str, key: Key | None = None, **more: Any) -> str:
    return base64.b64encode(request_der(common_name, key, **more)).decode()


def request(common_name: str, key: Key | None = None) -> CertificateRequest:
    return parse_request(request_der(common_name, key))
