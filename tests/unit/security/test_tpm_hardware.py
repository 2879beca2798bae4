"""A real TPM 2.0 implementation (swtpm) imports the key we wrapped, and signs with it; another TPM cannot."""

import hmac
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.security import tpm
from tests.swtpm import SoftwareTpm

tss = pytest.importorskip("tpm2_pytss", reason="the extra homeport[tpm] is not installed")

pytestmark = pytest.mark.tpm

EK_TEMPLATE = bytes.fromhex(
    "0001 000B 000300B2 0020 837197674484B3F81A90CC8D46A5D724FD52D76E06520B64F2A1DA1B331469AA"
    "0006 0080 0043 0010 0800 00000000 0100"
) + bytes(256)
SRK_TEMPLATE = bytes.fromhex("0001 000B 00030472 0000 0006 0080 0043 0010 0800 00000000 0100") + bytes(256)
URI = b"0ne00111111/registrations/device-001"


class Device:
    """A device's half of the conversation, in TPM commands (contract dps.md 7.5)."""

    def __init__(self, esapi: Any) -> None:
        self._esapi = esapi
        self._ek, self.ek = self._primary(tss.ESYS_TR.ENDORSEMENT, EK_TEMPLATE)
        self._srk, self.srk = self._primary(tss.ESYS_TR.OWNER, SRK_TEMPLATE)

    def _primary(self, hierarchy: Any, template: bytes) -> tuple[Any, bytes]:
        public, _ = tss.TPM2B_PUBLIC.unmarshal(len(template).to_bytes(2) + template)
        handle, made, *_ = self._esapi.create_primary(tss.TPM2B_SENSITIVE_CREATE(), public, hierarchy)
        return handle, made.marshal()

    def import_key(self, blob: tpm.ChallengeBlob) -> tuple[Any, bytes]:
        """Return the loaded HMAC key's handle, and the inner key."""
        session = self._esapi.start_auth_session(
            tpm_key=tss.ESYS_TR.NONE,
            bind=tss.ESYS_TR.NONE,
            session_type=tss.TPM2_SE.POLICY,
            symmetric=tss.TPMT_SYM_DEF(algorithm=tss.TPM2_ALG.NULL),
            auth_hash=tss.TPM2_ALG.SHA256,
        )
        self._esapi.policy_secret(tss.ESYS_TR.ENDORSEMENT, session, b"", b"", b"", 0)
        credential, _ = tss.TPM2B_ID_OBJECT.unmarshal(blob.credential)
        secret, _ = tss.TPM2B_ENCRYPTED_SECRET.unmarshal(blob.credential_secret)
        inner_key = self._esapi.activate_credential(
            self._srk, self._ek, credential, secret, session1=tss.ESYS_TR.PASSWORD, session2=session
        )
        public, _ = tss.TPM2B_PUBLIC.unmarshal(blob.object_public)
        duplicate, _ = tss.TPM2B_PRIVATE.unmarshal(blob.duplicate)
        seed, _ = tss.TPM2B_ENCRYPTED_SECRET.unmarshal(blob.duplicate_seed)
        symmetric = tss.TPMT_SYM_DEF_OBJECT(
            algorithm=tss.TPM2_ALG.AES,
            keyBits=tss.TPMU_SYM_KEY_BITS(aes=128),
            mode=tss.TPMU_SYM_MODE(aes=tss.TPM2_ALG.CFB),
        )
        private = self._esapi.import_(self._srk, bytes(inner_key), public, duplicate, seed, symmetric)
        return self._esapi.load(self._srk, private, public), bytes(inner_key)

    def sign(self, key: Any, data: bytes) -> bytes:
        """HMAC with the key's own hash, as the C client asks for it."""
        return bytes(self._esapi.hmac(key, data, tss.TPM2_ALG.NULL))


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with SoftwareTpm(tmp_path / "tpm") as software_tpm, tss.ESAPI(software_tpm.tcti) as esapi:
        yield Device(esapi)


def wrap_for(device: Device, key: bytes) -> tpm.ChallengeBlob:
    ek, srk = tpm.parse_public(device.ek), tpm.parse_public(device.srk)
    return tpm.parse_blob(tpm.make_challenge(ek, srk, key, URI, secrets.token_bytes))


def test_a_tpm_signs_with_the_key_we_wrapped(device: Device) -> None:
    key = secrets.token_bytes(32)
    handle, _ = device.import_key(wrap_for(device, key))
    message = b"0ne00111111%2Fregistrations%2Fdevice-001\n1700003600"
    assert device.sign(handle, message) == hmac.digest(key, message, "sha256")


def test_another_tpm_cannot_activate_it(device: Device, tmp_path: Path) -> None:
    blob = wrap_for(device, secrets.token_bytes(32))
    with SoftwareTpm(tmp_path / "other") as other, tss.ESAPI(other.tcti) as esapi:
        stranger = Device(esapi)
        assert stranger.ek != device.ek
        with pytest.raises(tss.TSS2_Exception):
            stranger.import_key(blob)
