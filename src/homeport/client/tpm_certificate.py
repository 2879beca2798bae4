"""The certificate that a TPM's maker put beside the endorsement key (TCG EK Credential Profile, 2.2.1.4)."""

from typing import Any, Final

from homeport.security.endorsement import endorsement_problem
from homeport.security.tpm import parse_public
from homeport.security.x509 import CertificateError, parse_der

EK_CERTIFICATE_INDEX: Final = 0x01C00002
"""Where the certificate of the RSA-2048 key from the low-range template lies."""

_READ_AT_ONCE: Final = 512
_MAX_BYTES: Final = 8192
_SEQUENCE: Final = 0x30
_LONG_LENGTH: Final = 0x82


def read_endorsement_certificate(tss: Any, esapi: Any, endorsement_key: bytes) -> bytes | None:
    """Return the certificate of this endorsement key in DER; None if the TPM has none, or only another key's."""
    _, data = esapi.get_capability(tss.TPM2_CAP.HANDLES, EK_CERTIFICATE_INDEX, 1)
    if EK_CERTIFICATE_INDEX not in {int(handle) for handle in data.data.handles}:
        return None
    index = esapi.tr_from_tpmpublic(EK_CERTIFICATE_INDEX)
    public, _ = esapi.nv_read_public(index)
    size = int(public.nvPublic.dataSize)
    if size > _MAX_BYTES:
        return None
    # Whoever may read it: anybody with the index's own, empty, authorization, or else the owner.
    own = bool(public.nvPublic.attributes & tss.TPMA_NV.AUTHREAD)
    reader = index if own else tss.ESYS_TR.OWNER
    content = b"".join(
        bytes(esapi.nv_read(index, min(_READ_AT_ONCE, size - offset), offset, auth_handle=reader))
        for offset in range(0, size, _READ_AT_ONCE)
    )
    certificate = _without_filling(content)
    try:
        parsed = parse_der(certificate)
    except CertificateError:
        return None
    return None if endorsement_problem(parsed, parse_public(endorsement_key)) else certificate


def _without_filling(content: bytes) -> bytes:
    """Cut off what fills the index up behind the certificate."""
    if len(content) < 4 or content[0] != _SEQUENCE or content[1] != _LONG_LENGTH:
        return content
    return content[: 4 + int.from_bytes(content[2:4])]
