"""The TPM provider against swtpm: keys from the templates, keys that were there, proofs, refusals."""

import hmac
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.client import TpmError, TpmLockedError, TpmSecurityProvider, TpmUnavailableError
from homeport.client.tpm import EK_HANDLE, SRK_HANDLE
from homeport.security import tpm as structures
from tests.swtpm import SoftwareTpm

tss: Any = pytest.importorskip("tpm2_pytss", reason="the extra homeport[tpm] is not installed")

pytestmark = pytest.mark.tpm


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[SoftwareTpm]:
    """A TPM that nobody has used yet."""
    with SoftwareTpm(tmp_path) as tpm:
        yield tpm


def blob_for(provider: TpmSecurityProvider, key: bytes) -> bytes:
    ek = structures.parse_public(provider.endorsement_key)
    srk = structures.parse_public(provider.storage_root_key)
    return structures.make_challenge(ek, srk, key, b"uri", secrets.token_bytes)


def hmac_of(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def test_keys_follow_the_contracts_templates(tpm_provider: TpmSecurityProvider) -> None:
    ek, srk = tpm_provider.endorsement_key, tpm_provider.storage_root_key
    assert len(ek) == 316
    assert ek[:12].hex() == "013a0001000b000300b20020"
    assert len(srk) == 284
    assert srk[:12].hex() == "011a0001000b000304720000"
    assert tpm_provider.registration_id == structures.registration_id_of(ek)


@pytest.mark.parametrize("length", [0, 1, 1024, 1025, 2048, 5000])
def test_signatures_of_any_length(length: int, tpm_provider: TpmSecurityProvider) -> None:
    key, data = secrets.token_bytes(32), secrets.token_bytes(length)
    tpm_provider.activate_identity_key(blob_for(tpm_provider, key))
    assert tpm_provider.sign(data) == hmac_of(key, data)


def test_the_last_key_counts(tpm_provider: TpmSecurityProvider) -> None:
    for key in (secrets.token_bytes(32) for _ in range(10)):
        tpm_provider.activate_identity_key(blob_for(tpm_provider, key))
        assert tpm_provider.sign(b"data") == hmac_of(key, b"data")


def test_keys_stay_when_the_device_is_switched_off(tmp_path: Path) -> None:
    key = secrets.token_bytes(32)
    with SoftwareTpm(tmp_path) as tpm, TpmSecurityProvider(tpm.tcti) as provider:
        provider.activate_identity_key(blob_for(provider, key))
        ek, srk = provider.endorsement_key, provider.storage_root_key
    with SoftwareTpm(tmp_path) as tpm, TpmSecurityProvider(tpm.tcti, registration_id="mine") as provider:
        assert (provider.endorsement_key, provider.storage_root_key) == (ek, srk)
        assert provider.sign(b"data") == hmac_of(key, b"data")
        assert provider.registration_id == "mine"
        provider.activate_identity_key(blob_for(provider, key[::-1]))
        assert provider.sign(b"data") == hmac_of(key[::-1], b"data")


def test_another_tpms_blob_is_refused_and_changes_nothing(tpm_provider: TpmSecurityProvider, tmp_path: Path) -> None:
    key = secrets.token_bytes(32)
    tpm_provider.activate_identity_key(blob_for(tpm_provider, key))
    with SoftwareTpm(tmp_path) as other, TpmSecurityProvider(other.tcti) as provider:
        foreign = blob_for(provider, secrets.token_bytes(32))
    with pytest.raises(TpmError, match="another TPM"):
        tpm_provider.activate_identity_key(foreign)
    assert tpm_provider.sign(b"data") == hmac_of(key, b"data")


@pytest.mark.parametrize("blob", [b"", b"\x00", bytes(900), bytes(5000)])
def test_a_blob_that_is_none(blob: bytes, tpm_provider: TpmSecurityProvider) -> None:
    with pytest.raises(TpmError):
        tpm_provider.activate_identity_key(blob)


def test_nothing_leaks_inside_the_tpm(tpm: SoftwareTpm) -> None:
    with TpmSecurityProvider(tpm.tcti) as provider:
        for _ in range(3):
            provider.activate_identity_key(blob_for(provider, bytes(32)))
            with pytest.raises(TpmError):
                provider.activate_identity_key(blob_for(provider, bytes(32))[:-200] + bytes(200))
            provider.sign(bytes(3000))
    with tss.ESAPI(tpm.tcti) as esapi:
        for first in (0x80000000, 0x02000000, 0x03000000):  # transient objects, loaded and saved sessions
            _, data = esapi.get_capability(tss.TPM2_CAP.HANDLES, first, 10)
            assert len(data.data.handles) == 0


def test_several_threads(tpm_provider: TpmSecurityProvider) -> None:
    key = secrets.token_bytes(32)
    tpm_provider.activate_identity_key(blob_for(tpm_provider, key))
    results: list[bool] = []

    def work(number: int) -> None:
        data = bytes([number]) * (number * 300)
        results.extend(tpm_provider.sign(data) == hmac_of(key, data) for _ in range(5))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 30


def test_no_identity_key_yet(tpm: SoftwareTpm) -> None:
    with TpmSecurityProvider(tpm.tcti) as provider, pytest.raises(TpmError, match="not registered"):
        provider.sign(b"data")


def test_a_closed_provider(tpm: SoftwareTpm) -> None:
    provider = TpmSecurityProvider(tpm.tcti)
    provider.close()
    provider.close()
    with pytest.raises(TpmUnavailableError, match="closed"):
        provider.sign(b"data")


def test_an_object_of_another_kind_is_in_the_way(tpm: SoftwareTpm) -> None:
    with tss.ESAPI(tpm.tcti) as esapi:
        handle, *_ = esapi.create_primary(tss.TPM2B_SENSITIVE_CREATE(), "ecc256", tss.ESYS_TR.OWNER)
        esapi.evict_control(tss.ESYS_TR.OWNER, handle, SRK_HANDLE)
        esapi.flush_context(handle)
    with pytest.raises(TpmError, match="0x81000001 is no usable storage root key"):
        TpmSecurityProvider(tpm.tcti)
    with TpmSecurityProvider(tpm.tcti, srk_handle=0x81000002) as provider:
        key = secrets.token_bytes(32)
        provider.activate_identity_key(blob_for(provider, key))
        assert provider.sign(b"data") == hmac_of(key, b"data")


def test_a_storage_key_is_no_endorsement_key(tpm: SoftwareTpm) -> None:
    with TpmSecurityProvider(tpm.tcti):
        pass
    with pytest.raises(TpmError, match="policy"):
        TpmSecurityProvider(tpm.tcti, ek_handle=SRK_HANDLE)
    with pytest.raises(TpmError, match="password"):
        TpmSecurityProvider(tpm.tcti, srk_handle=EK_HANDLE)


def test_hierarchies_with_a_password(tpm: SoftwareTpm) -> None:
    with tss.ESAPI(tpm.tcti) as esapi:
        esapi.hierarchy_change_auth(tss.ESYS_TR.OWNER, b"owner")
        esapi.hierarchy_change_auth(tss.ESYS_TR.ENDORSEMENT, b"privacy")
    with pytest.raises(TpmLockedError, match="endorsement_auth"):
        TpmSecurityProvider(tpm.tcti)
    with TpmSecurityProvider(tpm.tcti, owner_auth=b"owner", endorsement_auth=b"privacy") as provider:
        key = secrets.token_bytes(32)
        provider.activate_identity_key(blob_for(provider, key))
        assert provider.sign(b"data") == hmac_of(key, b"data")


@pytest.mark.parametrize("tcti", ["device:/dev/there-is-no-tpm", "swtpm:path=/there/is/no/socket", "nonsense:"])
def test_no_tpm(tcti: str) -> None:
    with pytest.raises(TpmUnavailableError, match="cannot open a TPM"):
        TpmSecurityProvider(tcti)


def test_the_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tpm2_pytss", None)
    with pytest.raises(TpmUnavailableError, match=r"homeport\[tpm\]"):
        TpmSecurityProvider()
