"""Sealed keys open with their master key, for their owner, unchanged; and in no other way."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.custody.envelope import EnvelopeError, name_of, reseal, seal, sealed_under, unseal

ONE, TWO = bytes(32), bytes(range(32))
BOTH = {name_of(ONE): ONE, name_of(TWO): TWO}


def sealed(secret: bytes = b"secret", key: bytes = ONE) -> bytes:
    return seal(secret, master_key=key, belongs_to=b"owner", random=secrets.token_bytes)


@given(st.binary(min_size=1, max_size=200), st.sampled_from([ONE, TWO]))
def test_what_is_sealed_opens_again(secret: bytes, key: bytes) -> None:
    envelope = sealed(secret, key)
    assert unseal(envelope, master_keys=BOTH, belongs_to=b"owner") == secret
    assert secret not in envelope or len(secret) < 4
    assert sealed_under(envelope) == name_of(key)


@given(st.data())
def test_a_changed_envelope_does_not_open(data: st.DataObject) -> None:
    envelope = bytearray(sealed())
    place = data.draw(st.integers(0, len(envelope) - 1))
    envelope[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EnvelopeError):
        unseal(bytes(envelope), master_keys=BOTH, belongs_to=b"owner")


@given(st.binary(max_size=200))
def test_anything_else_does_not_open(data: bytes) -> None:
    with pytest.raises(EnvelopeError):
        unseal(data, master_keys=BOTH, belongs_to=b"owner")


def test_it_belongs_to_one_owner() -> None:
    with pytest.raises(EnvelopeError, match="another"):
        unseal(sealed(), master_keys=BOTH, belongs_to=b"somebody else")


def test_another_master_key_is_named() -> None:
    with pytest.raises(EnvelopeError, match=name_of(TWO).hex()):
        unseal(sealed(key=TWO), master_keys={name_of(ONE): ONE}, belongs_to=b"owner")


def test_resealing_changes_the_master_key_only() -> None:
    moved = reseal(sealed(), master_keys=BOTH, master_key=TWO, random=secrets.token_bytes)
    assert sealed_under(moved) == name_of(TWO)
    assert unseal(moved, master_keys={name_of(TWO): TWO}, belongs_to=b"owner") == b"secret"


def test_no_two_envelopes_are_alike() -> None:
    assert sealed() != sealed()
