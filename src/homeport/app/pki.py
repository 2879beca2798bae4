"""The server's own certificates: a private root CA, and a server certificate for the names it answers to.

Devices are judged elsewhere (security.x509); nothing here issues certificates for them.
"""

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from homeport.values import hiding

CA_LIFE = timedelta(days=20 * 365)
SERVER_LIFE = timedelta(days=90)
RENEW_BEFORE = timedelta(days=30)
# Clocks of devices run late: a certificate that is valid from this very second would be refused by them.
BACKDATE = timedelta(days=1)


@hiding("key")
class KeyPair(Struct, frozen=True, kw_only=True):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def parsed(self) -> x509.Certificate:
        """Return the certificate as an object."""
        return x509.load_pem_x509_certificate(self.certificate)


def create_root_ca(*, name: str, now: datetime) -> KeyPair:
    """Make a self-signed P-256 root that may sign server certificates and nothing below it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def issue_server_certificate(ca: KeyPair, *, names: Iterable[str], now: datetime) -> KeyPair:
    """Make a P-256 server certificate for these host names and addresses, signed by the root.

    The PEM holds the leaf only: clients trust the root itself.
    """
    wanted = list(dict.fromkeys(names))
    issuer = ca.parsed()
    issuer_key = serialization.load_pem_private_key(ca.key, None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the root CA's key is not an elliptic curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        # A common name holds 64 characters at most; clients read the alternative names anyway.
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted[0][:64])]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(min(now + SERVER_LIFE, issuer.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in wanted]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _pair(certificate, key)


def is_due(server: KeyPair, ca: KeyPair, *, names: Iterable[str], now: datetime) -> bool:
    """Tell whether the server certificate must be issued anew: another root, a missing name, or soon expired."""
    try:
        certificate = server.parsed()
        certificate.verify_directly_issued_by(ca.parsed())
        names_in_it = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:
        return True
    missing = {_general_name(name) for name in names} - set(names_in_it)
    return bool(missing) or certificate.not_valid_after_utc - now < RENEW_BEFORE


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode())


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    return KeyPair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
