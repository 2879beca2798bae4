"""Certificates that no honest CA makes: signed properly where that is possible, altered afterwards where it is not."""

import datetime as dt
import hashlib
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
"""AlgorithmIdentifier ecdsa-with-SHA256 (RFC 5758, 3.2)."""
_RSA = "300d06092a864886f70d0101{}0500"
"""AlgorithmIdentifier of RSA PKCS #1 v1.5 with some hash (RFC 8017, A.2.4)."""
_OLD_HASHES = {
    "md5": ("04", "3020300c06082a864886f70d020505000410"),
    "sha1": ("05", "3021300906052b0e03021a05000414"),
}
"""Last byte of the algorithm, and DigestInfo without the digest (RFC 8017, 9.2)."""


@dataclass(frozen=True)
class Forged:
    """A certificate as DER, the key that proves it, and its issuer."""

    der: bytes
    key: Key
    issuer: "Forged | None" = None

    @property
    def pem(self) -> str:
        return ssl.DER_cert_to_PEM_cert(self.der)

    @property
    def name(self) -> x509.Name:
        return x509.load_der_x509_certificate(self.der).subject

    @property
    def chain(self) -> list["Forged"]:
        return [self, *(self.issuer.chain if self.issuer else [])]


def forge(
    name: x509.Name | str,
    issuer: Forged | None = None,
    *,
    ca: bool | None = False,
    path_length: int | None = None,
    key: Key | None = None,
    days: tuple[int, int] = (-1, 30),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    serial: int | None = None,
) -> Forged:
    """Sign a certificate; `ca` None leaves the basic constraints out, `days` are those before and after now."""
    own = key or ec.generate_private_key(ec.SECP256R1())
    subject = named(name) if isinstance(name, str) else name
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name if issuer else subject)
        .public_key(own.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length if ca else None), critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(issuer.key if issuer else own, hashes.SHA256())
    return Forged(certificate.public_bytes(serialization.Encoding.DER), own, issuer)


def named(*common_names: str) -> x509.Name:
    """Make a name with these common names, which need not be proper ones."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each, _validate=False) for each in common_names])


def altered(forged: Forged, old: bytes, new: bytes) -> Forged:
    """Put other bytes of the same length into what is signed, and sign it again (with a P-256 key)."""
    signed = x509.load_der_x509_certificate(forged.der).tbs_certificate_bytes
    assert len(old) == len(new)
    assert signed.count(old) >= 1
    signed = signed.replace(old, new)
    key = (forged.issuer or forged).key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return Forged(_certificate(signed, _ECDSA_SHA256, signature), forged.key, forged.issuer)


def signed_with(name: str, forged: Forged) -> Forged:
    """Sign a certificate of an RSA issuer again, with MD5 or SHA-1, which no library does any more."""
    key = (forged.issuer or forged).key
    assert isinstance(key, rsa.RSAPrivateKey)
    algorithm, information = _OLD_HASHES[name]
    sound, weak = (bytes.fromhex(_RSA.format(each)) for each in ("0b", algorithm))
    signed = x509.load_der_x509_certificate(forged.der).tbs_certificate_bytes.replace(sound, weak)
    digest = bytes.fromhex(information) + hashlib.new(name, signed).digest()
    size = key.key_size // 8 + bool(key.key_size % 8)
    padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    numbers = key.private_numbers()
    signature = pow(int.from_bytes(padded), numbers.d, numbers.public_numbers.n).to_bytes(size)
    return Forged(_certificate(signed, weak, signature), forged.key, forged.issuer)


def _certificate(signed: bytes, algorithm: bytes, signature: bytes) -> bytes:
    bits = b"\x00" + signature
    body = signed + algorithm + b"\x03" + _length(bits) + bits
    return b"\x30" + _length(body) + body


def _length(data: bytes) -> bytes:
    size = len(data)
    if size < 0x80:
        return bytes([size])
    digits = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([0x80 | len(digits)]) + digits


def rsa_key(*exponents: int) -> rsa.RSAPrivateKey:
    """Make a key of two Mersenne primes 2^n - 1: of any size at once, and worth nothing."""
    p, q = ((1 << exponent) - 1 for exponent in exponents)
    public = 65537
    private = pow(public, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=private,
        dmp1=private % (p - 1),
        dmq1=private % (q - 1),
        iqmp=pow(q, -1, p),
        public_numbers=rsa.RSAPublicNumbers(public, p * q),
    )
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def client_context(ca_file: str, leaf: Forged, chain: Sequence[Forged] = ()) -> ssl.SSLContext:
    """Return a context that shows the leaf and whatever is to follow it; OpenSSL's own scruples are off."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    key = leaf.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "client.pem")
        file.write_text(key.decode() + "".join(each.pem for each in (leaf, *chain)))
        context.load_cert_chain(file)
    return context
