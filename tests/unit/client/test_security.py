"""Keys and certificates as a device holds them."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from homeport.client import (
    SecurityProviderError,
    SymmetricKeySecurityProvider,
    TpmSasTokenProvider,
    TransportError,
    X509SecurityProvider,
    derive_device_key,
)
from homeport.client.trust import is_loopback, tls_context
from homeport.security.sas import decode_key, parse_token, verify_signature
from tests.certificates import Certified, make_certificate

GROUP_KEY = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw=="
DEVICE = "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6"
DEVICE_KEY = "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc="


def test_the_published_derived_key() -> None:
    # Contract dps.md 14.1.
    assert derive_device_key(GROUP_KEY, DEVICE) == DEVICE_KEY
    provider = SymmetricKeySecurityProvider.from_group_key(DEVICE, GROUP_KEY)
    assert provider.key == DEVICE_KEY
    assert provider.registration_id == DEVICE
    assert DEVICE_KEY not in repr(provider)


@pytest.mark.parametrize("key", ["", "c2VjcmV0", "!" + DEVICE_KEY, "A" * 400])
def test_a_key_that_is_none(key: str) -> None:
    with pytest.raises(SecurityProviderError) as caught:
        SymmetricKeySecurityProvider("d", key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("registration_id", ["", "a/b", "a b", "ä", "a" * 129, "a#", "a?b", "a\n"])
def test_an_id_that_is_none(registration_id: str) -> None:
    with pytest.raises(SecurityProviderError):
        SymmetricKeySecurityProvider(registration_id, DEVICE_KEY)


def test_hub_tokens_of_a_signer() -> None:
    provider = SymmetricKeySecurityProvider("d", DEVICE_KEY)
    token = parse_token(TpmSasTokenProvider(provider, "hub.example", "d 1").token())
    assert token.resource == "hub.example/devices/d 1"
    assert token.policy is None
    assert verify_signature(token, decode_key(DEVICE_KEY))


def test_the_common_name_is_the_registration_id(authority: Certified, tmp_path: Path) -> None:
    certificate, key = authority.issue("line-1", ca=True).issue("d-1").write(tmp_path)
    assert certificate.read_text().count("BEGIN CERTIFICATE") == 2
    assert X509SecurityProvider(certificate, key).registration_id == "d-1"
    assert X509SecurityProvider(certificate, key, registration_id="D-1").registration_id == "D-1"


def test_certificate_and_locked_key_in_one_file(tmp_path: Path) -> None:
    made = make_certificate("d-1")
    locked = made.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    )
    file = tmp_path / "device.pem"
    file.write_text(locked.decode() + made.pem)
    assert X509SecurityProvider(file, file, password="open sesame").registration_id == "d-1"
    for password in (None, "wrong"):
        with pytest.raises(SecurityProviderError, match="cannot use"):
            X509SecurityProvider(file, file, password=password)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    certificate, _ = make_certificate("d-1").write(tmp_path)
    _, key = make_certificate("d-2").write(tmp_path)
    with pytest.raises(SecurityProviderError, match="cannot use"):
        X509SecurityProvider(certificate, key)


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_certificate_that_is_none(content: str, tmp_path: Path) -> None:
    file = tmp_path / "device.pem"
    file.write_text(content)
    with pytest.raises(SecurityProviderError, match="cannot read"):
        X509SecurityProvider(file, file)
    with pytest.raises(SecurityProviderError, match="cannot read"):
        X509SecurityProvider(tmp_path / "missing.pem", file)


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="cannot read certificates"):
        tls_context(tmp_path / "missing.pem")


@pytest.mark.parametrize("authority", ["localhost", "LOCALHOST:8443", "127.0.0.3", "127.0.0.1:443", "[::1]:443"])
def test_this_machine(authority: str) -> None:
    assert is_loopback(authority)


@pytest.mark.parametrize("authority", ["example", "10.0.0.1", "localhost.example:443", "128.0.0.1", ""])
def test_another_machine(authority: str) -> None:
    assert not is_loopback(authority)
