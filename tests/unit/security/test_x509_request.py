"""Certificate requests: what is believed, and that everything else is refused by its own words."""

import base64

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from homeport.security.signing_keys import KeyAlgorithm, digest_of
from homeport.security.x509_request import (
    MAX_REQUEST_BYTES,
    MAX_REQUEST_CHARACTERS,
    RequestError,
    decode_request,
    is_signed,
    names,
    parse_request,
)
from tests.issuing import Key, device_key, request_der


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), KeyAlgorithm.EC_P256),
        (ec.generate_private_key(ec.SECP384R1()), KeyAlgorithm.EC_P384),
        (ec.generate_private_key(ec.SECP521R1()), KeyAlgorithm.EC_P521),
        (rsa.generate_private_key(public_exponent=65537, key_size=2048), KeyAlgorithm.RSA_2048),
        (ed25519.Ed25519PrivateKey.generate(), KeyAlgorithm.ED25519),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_name_and_key_are_read(key: Key, algorithm: KeyAlgorithm) -> None:
    request = parse_request(request_der("dev-1", key))
    assert (request.common_name, request.algorithm) == ("dev-1", algorithm)
    assert request.key_digest == digest_of(key.public_key())


def test_what_else_it_asks_for_is_not_looked_at() -> None:
    request = parse_request(request_der("dev-1", sans=("other.example", "*.example"), ca=True))
    assert request.common_name == "dev-1"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (ec.generate_private_key(ec.SECP256K1()), "kind or size"),
        (rsa.generate_private_key(public_exponent=65537, key_size=1024), "kind or size"),
        (rsa.generate_private_key(public_exponent=3, key_size=2048), "kind or size"),
    ],
    ids=["secp256k1", "RSA-1024", "exponent 3"],
)
def test_weak_and_unknown_keys(key: Key, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        parse_request(request_der("dev-1", key))


def test_a_weak_hash() -> None:
    with pytest.raises(RequestError, match="SHA224"):
        parse_request(request_der("dev-1", hashed=hashes.SHA224()))


def believed(der: bytes) -> bool:
    """Whether it is a request, signed with its key."""
    try:
        return is_signed(parse_request(der))
    except RequestError:
        return False


def test_a_signature_by_another_key() -> None:
    mine, other = request_der("dev-1"), request_der("dev-1", device_key("other"))
    # The name and the key of one, the signature of the other; both have the same length, or are cut to it.
    forged = mine[:-40] + other[-40:]
    assert is_signed(parse_request(mine))
    assert not believed(forged)


@pytest.mark.parametrize("place", [-1, -30, 60])
def test_a_changed_byte(place: int) -> None:
    der = bytearray(request_der("dev-1"))
    der[place] ^= 1
    assert not believed(bytes(der))


def test_bytes_behind_it() -> None:
    with pytest.raises(RequestError, match="malformed"):
        parse_request(request_der("dev-1") + b"\0")


def test_a_huge_list_of_names() -> None:
    der = request_der("dev-1", sans=tuple(f"name-{number}.example" for number in range(1000)))
    with pytest.raises(RequestError, match="longer than"):
        parse_request(der)
    with pytest.raises(RequestError, match="longer than"):
        decode_request(base64.b64encode(der).decode())


@pytest.mark.parametrize("several", [("dev-1", "dev-2"), ("dev-1", "dev-1")])
def test_several_common_names(several: tuple[str, ...]) -> None:
    with pytest.raises(RequestError, match="exactly one"):
        parse_request(request_der("dev-1", names=several))


@pytest.mark.parametrize(
    ("registration_id", "matches"), [("dev-1", True), ("DEV-1", True), ("dev-2", False), ("dev-1 ", False)]
)
def test_the_name_is_the_registration_id_in_any_case(registration_id: str, matches: bool) -> None:
    assert names(parse_request(request_der("Dev-1")), registration_id) is matches


def test_a_letter_that_only_looks_alike() -> None:
    assert not names(parse_request(request_der("\u212aey")), "key"), "the Kelvin sign is a k in lower case"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base64!",
        "AAAA=",
        "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n",
        "A" * (MAX_REQUEST_CHARACTERS + 4),
    ],
)
def test_text_that_is_no_request(text: str) -> None:
    with pytest.raises(RequestError):
        parse_request(decode_request(text))


def test_the_size_is_looked_at_first() -> None:
    with pytest.raises(RequestError, match="longer"):
        parse_request(b"\x30\x82" + (MAX_REQUEST_BYTES).to_bytes(2) + b"\0" * MAX_REQUEST_BYTES)


REQUEST = request_der("dev-1")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    with pytest.raises(RequestError):
        parse_request(data)


@given(st.data())
def test_no_mutation_of_a_request_is_believed_for_another_name(data: st.DataObject) -> None:
    der = bytearray(REQUEST)
    for place in data.draw(st.lists(st.integers(0, len(der) - 1), min_size=1, max_size=4, unique=True)):
        der[place] = data.draw(st.integers(0, 255))
    if believed(bytes(der)):
        assert parse_request(bytes(der)).common_name == "dev-1"
