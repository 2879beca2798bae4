"""The demo's factory: keys and certificates that leave it inside the devices, made on the spot."""

import datetime as dt
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from homeport.values import hiding

LIFE = dt.timedelta(days=30)
# Devices and server share a clock here, but certificates start a little earlier everywhere.
BACKDATE = dt.timedelta(hours=1)


@hiding("key")
class Certified(Struct, frozen=True, kw_only=True):
    """A certificate, its key, and the chain a device presents (PEM, leaf first, without the root)."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: str

    @classmethod
    def make(cls, name: str, *, now: dt.datetime, issuer: Self | None = None, ca: bool = False) -> Self:
        """Make a P-256 certificate; self-signed without an issuer."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(now + LIFE)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(issuer.key if issuer else key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self_signed_issuer = issuer is None or issuer.certificate.subject == issuer.certificate.issuer
        return cls(
            certificate=certificate, key=key, chain=pem if self_signed_issuer or not issuer else pem + issuer.chain
        )

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write chain and key as the files a device would have on its flash; return their paths."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        chain, key = folder / f"{name}.pem", folder / f"{name}.key"
        chain.write_text(self.chain)
        key.touch(mode=0o600)
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return chain, key
