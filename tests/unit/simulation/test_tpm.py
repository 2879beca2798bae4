"""The TPM that does not exist, against the service's own challenge."""

import hmac
import os

import pytest

from homeport.client import TpmError, TpmSecurityProvider
from homeport.security.tpm import make_challenge, parse_public
from homeport.simulation.tpm import SimulatedTpm, new_key


@pytest.fixture(scope="module")
def tpm() -> SimulatedTpm:
    return SimulatedTpm.make(new_key())


def test_it_opens_what_was_made_for_it(tpm: SimulatedTpm) -> None:
    key = os.urandom(32)
    challenge = make_challenge(
        parse_public(tpm.endorsement_key), parse_public(tpm.storage_root_key), key, b"scope/registrations/x", os.urandom
    )
    tpm.activate_identity_key(challenge)
    assert tpm.sign(b"data") == hmac.digest(key, b"data", "sha256")
    assert isinstance(tpm, TpmSecurityProvider)


def test_it_opens_nothing_else(tpm: SimulatedTpm) -> None:
    other = SimulatedTpm.make(new_key())
    keys = parse_public(other.endorsement_key), parse_public(other.storage_root_key)
    challenge = make_challenge(*keys, bytes(32), b"uri", os.urandom)
    with pytest.raises(TpmError, match="cannot be opened"):
        tpm.activate_identity_key(challenge)
    with pytest.raises(TpmError):
        tpm.activate_identity_key(b"nonsense")
    broken = bytearray(make_challenge(parse_public(tpm.endorsement_key), keys[1], bytes(32), b"uri", os.urandom))
    with pytest.raises(TpmError, match="another TPM"):
        tpm.activate_identity_key(bytes(broken))


def test_without_a_key_it_signs_nothing() -> None:
    fresh = SimulatedTpm.make(new_key())
    with pytest.raises(TpmError, match="no identity key"):
        fresh.sign(b"data")
