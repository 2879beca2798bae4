"""A maker of TPMs: certifies the endorsement keys of software TPMs, and writes the certificates into them."""

import datetime as dt
from typing import Any

import tpm2_pytss as tss
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ObjectIdentifier

from homeport.client import TpmSecurityProvider
from homeport.client.tpm_certificate import EK_CERTIFICATE_INDEX
from homeport.security.tpm import parse_public
from tests.certificates import DAY, Certified
from tests.swtpm import SoftwareTpm

EK_CERTIFICATE = ObjectIdentifier("2.23.133.8.1")
_AT_ONCE = 512


def certify(
    maker: Certified,
    endorsement_key: bytes,
    *,
    usage: ObjectIdentifier = EK_CERTIFICATE,
    not_before: dt.datetime | None = None,
    not_after: dt.datetime | None = None,
    key: rsa.RSAPublicKey | None = None,
) -> bytes:
    """Return the DER of an endorsement certificate: an empty subject, and the TPM described in a critical name."""
    public = parse_public(endorsement_key)
    now = dt.datetime.now(dt.UTC)
    described = x509.Name([x509.NameAttribute(ObjectIdentifier("2.23.133.2.1"), "id:54455354")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(maker.certificate.subject)
        .public_key(key or rsa.RSAPublicNumbers(public.exponent, public.modulus).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now - DAY)
        .not_valid_after(not_after or dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DirectoryName(described)]), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .sign(maker.key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def put_certificate(tcti: str, certificate: bytes, *, filling: int = 64) -> None:
    """Write a certificate where makers do, in an index that is larger than it."""
    content = certificate + b"\xff" * filling
    with tss.ESAPI(tcti) as esapi:
        public = tss.TPM2B_NV_PUBLIC(
            nvPublic=tss.TPMS_NV_PUBLIC(
                nvIndex=EK_CERTIFICATE_INDEX,
                nameAlg=tss.TPM2_ALG.SHA256,
                attributes=tss.TPMA_NV.OWNERWRITE | tss.TPMA_NV.OWNERREAD | tss.TPMA_NV.AUTHREAD,
                dataSize=len(content),
            )
        )
        index = esapi.nv_define_space(b"", public)
        for offset in range(0, len(content), _AT_ONCE):
            esapi.nv_write(index, content[offset : offset + _AT_ONCE], offset, auth_handle=tss.ESYS_TR.OWNER)


def open_certified(chip: SoftwareTpm, maker: Certified, **options: Any) -> TpmSecurityProvider:
    """Open a TPM the way it leaves the factory: with a certificate of its endorsement key."""
    with TpmSecurityProvider(chip.tcti) as blank:
        certificate = certify(maker, blank.endorsement_key)
    put_certificate(chip.tcti, certificate)
    return TpmSecurityProvider(chip.tcti, **options)
