"""TPM structures and key wrapping: byte exact against the vectors, and what the right TPM alone can open."""

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.security import sas, tpm
from tests.unit.security.certificates import rsa_key
from tests.unit.security.tpm_device import WrongTpmError, open_blob

VECTORS = Path(__file__).parents[2] / "vectors"
VECTOR = json.loads((VECTORS / "tpm-vector-01.json").read_text())
OBSERVED = json.loads((VECTORS / "tpm-observed.json").read_text())
INPUTS = {name: bytes.fromhex(value) for name, value in VECTOR["inputs"].items()}
EK = base64.b64decode(VECTOR["endorsementKey"])
SRK = base64.b64decode(VECTOR["storageRootKey"])


def scripted(*values: bytes) -> Callable[[int], bytes]:
    rest: Iterator[bytes] = iter(values)

    def random(size: int) -> bytes:
        value = next(rest)
        assert len(value) == size
        return value

    return random


def vector_blob() -> bytes:
    names = ("innerWrapKey", "ekSeed", "ekOaepSeed", "objectSeed", "srkSeed", "srkOaepSeed")
    random = scripted(*(INPUTS[name] for name in names))
    uri = VECTOR["uriPlaintext"].encode()
    return tpm.make_challenge(tpm.parse_public(EK), tpm.parse_public(SRK), INPUTS["hmacKey"], uri, random)


def private_key(numbers: dict[str, Any]) -> rsa.RSAPrivateKey:
    n, d, p, q = (int(numbers[name], 16) for name in ("n", "d", "p", "q"))
    public = rsa.RSAPublicNumbers(numbers["e"], n)
    dmp1, dmq1, iqmp = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, dmp1, dmq1, iqmp, public).private_key()


def public_of(key: rsa.RSAPrivateKey, template: bytes) -> bytes:
    """Put a key's modulus in place of the template's."""
    return template[:-256] + key.public_key().public_numbers().n.to_bytes(256)


# ---------------------------------------------------------------- vectors


def test_challenge_is_byte_exact() -> None:
    blob = vector_blob()
    for element in VECTOR["layout"]:
        start, size = element["offset"], element["totalBytes"]
        assert blob[start : start + size].hex() == element["hex"], element["name"]
    assert base64.b64encode(blob).decode() == VECTOR["authenticationKey"]
    assert len(blob) == VECTOR["totalBytes"]


def test_the_vectors_tpm_opens_it_to_every_intermediate_value() -> None:
    expected = VECTOR["intermediate"]
    srk_name = tpm.name_of(tpm.parse_public(SRK))
    assert srk_name.hex() == expected["srkName"]
    blob = tpm.parse_blob(vector_blob())
    opened = open_blob(blob, private_key(VECTOR["ekRsa"]), private_key(VECTOR["srkRsa"]), srk_name)
    assert opened.inner_key == INPUTS["innerWrapKey"]
    assert opened.credential_sym_key.hex() == expected["credSymKey"]
    assert opened.credential_hmac_key.hex() == expected["credHmacKey"]
    assert blob.credential[36:].hex() == expected["encIdentity"]
    assert blob.credential[4:36].hex() == expected["integrityHMAC"]
    assert blob.object_public[2:].hex() == expected["objectPublicTPMT"]
    assert opened.object_name.hex() == tpm.name_of(blob.object_public).hex() == expected["objectName"]
    assert opened.sensitive.hex() == expected["tpm2bSensitive"]
    assert opened.inner_wrapped.hex() == expected["encSensitive"]
    assert opened.outer_sym_key.hex() == expected["outerSymKey"]
    assert opened.outer_hmac_key.hex() == expected["outerHmacKey"]
    assert blob.duplicate[36:].hex() == expected["dupSensitive"]
    assert blob.duplicate[4:36].hex() == expected["outerIntegrity"]
    assert blob.encrypted_uri[2:].hex() == expected["encUri"]
    assert opened.object_seed == INPUTS["objectSeed"]
    assert opened.key == INPUTS["hmacKey"]
    assert opened.uri.decode() == VECTOR["uriPlaintext"]


def test_the_tpms_token_verifies_with_the_wrapped_key() -> None:
    token = sas.parse_token(VECTOR["sas"]["token"])
    assert sas.string_to_sign(token.raw_resource, token.expiry).decode() == VECTOR["sas"]["stringToSign"]
    assert sas.verify_signature(token, INPUTS["hmacKey"])
    assert sas.encode_key(INPUTS["hmacKey"]) == VECTOR["hubPrimaryKey"]


def test_registration_ids() -> None:
    assert tpm.registration_id_of(EK) == VECTOR["registrationId"]
    published = OBSERVED["registrationId"]
    endorsement_key = base64.b64decode(published["endorsementKey"])
    assert tpm.registration_id_of(endorsement_key) == published["id"]
    assert tpm.parse_public(endorsement_key).exponent == 65537


@pytest.mark.parametrize("observed", OBSERVED["blobs"], ids=lambda observed: observed["name"])
def test_blobs_of_the_hosted_service_are_read(observed: dict[str, Any]) -> None:
    data = base64.b64decode(observed["authenticationKey"])
    blob = tpm.parse_blob(data)
    elements = (blob.credential, blob.credential_secret, blob.duplicate, blob.duplicate_seed, blob.object_public)
    assert [len(element) for element in elements] == [54, 258, 144, 258, 50]
    assert len(blob.encrypted_uri) == observed["uriBytes"] + 2
    assert b"".join(elements) + blob.encrypted_uri == data
    # all but the digest is fixed by contract dps.md 7.3
    assert blob.object_public[:-32] == vector_blob()[714:732]


# ---------------------------------------------------------------- laws


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=1, max_size=174))
def test_the_right_tpm_gets_key_and_uri(key: bytes, uri: bytes) -> None:
    ek, srk = rsa_key(2048, 1), rsa_key(2048, 2)
    srk_public = tpm.parse_public(public_of(srk, SRK))
    blob = tpm.make_challenge(tpm.parse_public(public_of(ek, EK)), srk_public, key, uri, secrets.token_bytes)
    opened = open_blob(tpm.parse_blob(blob), ek, srk, tpm.name_of(srk_public))
    assert (opened.key, opened.uri) == (key, uri)
    assert len(blob) <= 940


def test_another_tpm_gets_nothing() -> None:
    ek, srk, other = rsa_key(2048, 1), rsa_key(2048, 2), rsa_key(2048, 3)
    ek_public, srk_public = tpm.parse_public(public_of(ek, EK)), tpm.parse_public(public_of(srk, SRK))
    name, other_name = tpm.name_of(srk_public), tpm.name_of(tpm.parse_public(public_of(other, SRK)))
    blob = tpm.parse_blob(tpm.make_challenge(ek_public, srk_public, bytes(32), b"uri", secrets.token_bytes))
    assert open_blob(blob, ek, srk, name).key == bytes(32)
    for wrong in ((other, srk, name), (ek, other, name), (ek, srk, other_name)):
        with pytest.raises(WrongTpmError):
            open_blob(blob, *wrong)


def test_kdfa_counts_its_blocks() -> None:
    long = tpm.kdfa(b"k", b"LABEL", b"", 512)
    assert len(long) == 64
    assert long[:32] != tpm.kdfa(b"k", b"LABEL", b"", 256)  # the length is part of every block
    assert long[:32] != long[32:]


# ---------------------------------------------------------------- what is refused


def changed(at: int, value: bytes, of: bytes = EK) -> bytes:
    return of[:at] + value + of[at + len(value) :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends within"),
        (EK[:-1], "ends within"),
        (EK + b"\x00", "goes on"),
        (bytes(513), "longer than"),
        (changed(0, b"\x01\x39"), "goes on"),
        (changed(2, b"\x00\x23"), "not an RSA"),
        (changed(4, b"\x00\x0c"), "name algorithm"),
        (changed(10, b"\x00\x1f"), "policy"),
        (changed(46, b"\x01\x00"), "AES-128"),
        (changed(50, b"\x00\x17"), "AES-128"),
        (changed(52, b"\x0c\x00"), "RSA-2048"),
        (changed(54, b"\x00\x00\x00\x01"), "exponent"),
        (changed(54, b"\x00\x01\x00\x00"), "exponent"),
        (changed(58, b"\x00\xff"), "goes on"),
        (changed(60, b"\x00"), "2048-bit RSA modulus"),
        (changed(315, b"\x00"), "2048-bit RSA modulus"),
        (changed(6, b"\x00\x03\x00\xb0"), "lacks the attributes fixedTPM"),
        (changed(6, b"\x00\x00\x00\xb2"), "lacks the attributes restricted, decrypt"),
        (changed(6, b"\x00\x07\x00\xb2"), "signing key"),
        (changed(6, b"\x00\x03\x04\x52", SRK), "lacks the attributes sensitiveDataOrigin"),
    ],
)
def test_unsound_keys_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(tpm.TpmError, match=reason):
        tpm.parse_public(data)


def test_an_explicit_exponent_is_accepted() -> None:
    assert tpm.parse_public(changed(54, b"\x00\x01\x00\x01")).exponent == 65537


@pytest.mark.parametrize("data", [b"", vector_blob()[:-1], vector_blob() + b"\x00", bytes(3000)])
def test_unsound_blobs_are_refused(data: bytes) -> None:
    with pytest.raises(tpm.TpmError):
        tpm.parse_blob(data)


@pytest.mark.parametrize(("key", "uri"), [(b"", b"u"), (bytes(31), b"u"), (bytes(32), b""), (bytes(32), bytes(175))])
def test_only_what_the_clients_can_import_is_wrapped(key: bytes, uri: bytes) -> None:
    ek, srk = tpm.parse_public(EK), tpm.parse_public(SRK)
    with pytest.raises(ValueError, match="must be"):
        tpm.make_challenge(ek, srk, key, uri, secrets.token_bytes)
