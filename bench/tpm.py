"""Devices whose identity is a TPM, played in software: what the chip would do is done with its private keys."""

from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric import rsa

from homeport.client.registration import TpmKeys
from homeport.security.tpm import name_of, parse_blob, parse_public
from tests.unit.security.tpm_device import open_blob

# The templates of contract dps.md 7.1, up to the modulus.
_POLICY = "0020 837197674484B3F81A90CC8D46A5D724FD52D76E06520B64F2A1DA1B331469AA"
_PARAMETERS = "0006 0080 0043 0010 0800 00000000 0100"
_ENDORSEMENT = bytes.fromhex(f"013A 0001 000B 000300B2 {_POLICY} {_PARAMETERS}")
_STORAGE = bytes.fromhex(f"011A 0001 000B 00030472 0000 {_PARAMETERS}")


@dataclass(frozen=True, slots=True)
class Chip:
    """A TPM's two keys. Making them takes a moment, so that many devices share one chip."""

    keys: TpmKeys
    endorsement: rsa.RSAPrivateKey = field(repr=False)
    storage: rsa.RSAPrivateKey = field(repr=False)
    name: bytes
    """The storage root key's."""

    @classmethod
    def new(cls) -> Self:
        endorsement, storage = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        keys = TpmKeys(endorsement_key=_public(endorsement, _ENDORSEMENT), storage_root_key=_public(storage, _STORAGE))
        return cls(keys, endorsement, storage, name_of(parse_public(keys.storage_root_key)))

    def import_key(self, blob: bytes) -> bytes:
        """Return the key in a challenge. Two RSA operations: the load generator's processor time, not the server's."""
        return open_blob(parse_blob(blob), self.endorsement, self.storage, self.name).key


def _public(key: rsa.RSAPrivateKey, template: bytes) -> bytes:
    return template + key.public_key().public_numbers().n.to_bytes(256)
