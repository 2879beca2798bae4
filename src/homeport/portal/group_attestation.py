"""What only groups have in their forms: authorities by reference, and TPMs by maker or key digest."""

import re
from typing import Protocol

from homeport.client.models import AttestationMechanism

_NAME = re.compile(r"[A-Za-z0-9\-._]{1,128}")
_DIGEST = re.compile(r"[0-9A-Fa-f]{64}|[A-Za-z2-7]{52}")


class Fields(Protocol):
    """A form that is being read."""

    def fail(self, name: str, message: str) -> None: ...

    def text(self, name: str) -> str: ...


def filled(attestation: AttestationMechanism) -> dict[str, str]:
    """Return the fields of a stored group."""
    values: dict[str, str] = {}
    if attestation.x509 is not None and attestation.x509.ca_references is not None:
        references = attestation.x509.ca_references
        values |= {"ca_primary": references.primary or "", "ca_secondary": references.secondary or ""}
    if attestation.tpm is not None:
        values["tpm_authorities"] = "\n".join(attestation.tpm.endorsement_ca_references or [])
        values["tpm_digests"] = "\n".join(attestation.tpm.endorsement_key_hashes or [])
    return values


def by_reference(fields: Fields) -> AttestationMechanism | None:
    """Read references to CA certificates; None if there is none."""
    primary, secondary = fields.text("ca_primary"), fields.text("ca_secondary")
    for name, value in (("ca_primary", primary), ("ca_secondary", secondary)):
        if value and not _NAME.fullmatch(value):
            fields.fail(name, "This is no name of a CA certificate.")
    if not primary:
        if secondary:
            fields.fail("ca_primary", "Name the primary authority too.")
        return None
    if fields.text("primary_certificate"):
        fields.fail("primary_certificate", "Either name a CA certificate or paste one, not both.")
    return AttestationMechanism.for_x509_ca_references(primary, secondary or None)


def tpms(fields: Fields) -> AttestationMechanism:
    """Read whose TPMs come in."""
    authorities = re.split(r"[\s,]+", fields.text("tpm_authorities").strip(", "))
    digests = re.split(r"[\s,]+", fields.text("tpm_digests").strip(", "))
    names, hashes = [name for name in authorities if name], [digest for digest in digests if digest]
    if not names and not hashes:
        fields.fail("tpm_authorities", "Name a maker's CA certificate, or list the digests of endorsement keys.")
    if wrong := next((name for name in names if not _NAME.fullmatch(name)), None):
        fields.fail("tpm_authorities", f"“{wrong[:60]}” is no name of a CA certificate.")
    if wrong := next((digest for digest in hashes if not _DIGEST.fullmatch(digest)), None):
        fields.fail("tpm_digests", f"“{wrong[:70]}” is neither 64 hex digits nor a registration id of 52 characters.")
    return AttestationMechanism.for_tpm_group(ca_references=names, key_hashes=hashes)
