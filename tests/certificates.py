"""Certificate authorities and device certificates made on the spot."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """A certificate with its private key and everything that issued it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    issuers: tuple["Certified", ...] = ()

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def chain_pem(self) -> str:
        """The certificate and its issuers up to, but without, the root."""
        return "".join([self.pem, *(issuer.pem for issuer in self.issuers[:-1])])

    def issue(self, name: str, *, ca: bool = False) -> "Certified":
        return make_certificate(name, issuer=self, ca=ca)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the chain and the key as files; return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        name = str(self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        chain, key = folder / f"{name}.pem", folder / f"{name}.key"
        chain.write_text(self.chain_pem if self.issuers else self.pem)
        key.write_text(self.key_pem)
        return chain, key


def make_certificate(
    name: str,
    *,
    issuer: Certified | None = None,
    ca: bool = False,
    not_before: dt.datetime | None = None,
    not_after: dt.datetime | None = None,
    extensions: Sequence[x509.ExtensionType] = (),
) -> Certified:
    """Make a P-256 certificate, self-signed without an issuer; complete enough for OpenSSL's strict checks."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now - DAY)
        .not_valid_after(not_after or now + 30 * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(_key_usage(ca=ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    return Certified(certificate=certificate, key=key, issuers=(issuer, *issuer.issuers) if issuer else ())


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
