"""Keys in custody sign, by the master key or in a token, and never come out."""

import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from homeport.custody import Custody, MasterKeys, Tokens
from homeport.custody.pkcs11_token import parse_uri
from homeport.dps.issuing.ports import CustodyError
from homeport.dps.model import StoredKey
from homeport.security.signing_keys import AUTHORITY_ALGORITHMS, KeyAlgorithm, SigningKey, algorithm_of, load_public
from homeport.security.x509_issue import SERIAL_RANDOM_BYTES, issue_authority, serial_number
from tests.unit.security.test_x509_issue import ROOT

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234"


def custody(path: Path, tokens: Tokens | None = None) -> Custody:
    keys = MasterKeys.of_file(path / "master.key", random=secrets.token_bytes)
    return Custody(keys, random=secrets.token_bytes, tokens=tokens)


async def check_signs(keys: Custody, stored: StoredKey) -> None:
    """A certificate signed with the key is one of its public key."""
    public = load_public(stored.public_key)

    def sign(key: SigningKey) -> bytes:
        serial = serial_number(bytes(SERIAL_RANDOM_BYTES))
        return issue_authority(ROOT, public_key=public, serial=serial, issuer=None, issuer_key=key)

    root = x509.load_der_x509_certificate(await keys.use(stored, sign))
    root.verify_directly_issued_by(root)


@pytest.mark.parametrize("algorithm", AUTHORITY_ALGORITHMS)
async def test_a_sealed_key_signs(tmp_path: Path, algorithm: KeyAlgorithm) -> None:
    keys = custody(tmp_path)
    stored = await keys.create(algorithm)
    assert algorithm_of(load_public(stored.public_key)) is algorithm
    await check_signs(keys, stored)
    assert "sealed" not in repr(stored)


@pytest.mark.parametrize("algorithm", sorted(set(KeyAlgorithm) - set(AUTHORITY_ALGORITHMS)))
async def test_an_authority_has_no_key_of_another_kind(tmp_path: Path, algorithm: KeyAlgorithm) -> None:
    with pytest.raises(CustodyError):
        await custody(tmp_path).create(algorithm)


async def test_another_master_key_does_not_open_it(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    stored = await custody(tmp_path / "one").create(KeyAlgorithm.EC_P256)
    with pytest.raises(CustodyError, match="master key"):
        await check_signs(custody(tmp_path / "two"), stored)


def pem(key: Any, encryption: Any = None) -> str:
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return str(text.decode())


async def test_a_brought_key_signs(tmp_path: Path) -> None:
    keys = custody(tmp_path)
    await check_signs(keys, await keys.adopt(pem(ec.generate_private_key(ec.SECP384R1()))))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "x" * 20000,
        pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"pass")),
        pem(ed25519.Ed25519PrivateKey.generate()),
        pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        pem(ec.generate_private_key(ec.SECP521R1())),
    ],
    ids=["empty", "nonsense", "too long", "encrypted", "Ed25519", "RSA-2048", "P-521"],
)
async def test_other_keys_cannot_be_brought(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        await custody(tmp_path).adopt(text)
    assert not text.strip() or text not in str(refused.value)


async def test_rotating_the_master_key(tmp_path: Path) -> None:
    keys, other = custody(tmp_path), custody(tmp_path)
    stored = await keys.create(KeyAlgorithm.EC_P256)
    name = keys.begin_rotation()
    # In between, whatever was sealed before or now opens, here and in another process that has the file.
    between = await other.create(KeyAlgorithm.EC_P256)
    for each in (stored, between):
        await check_signs(keys, each)
        await check_signs(other, each)
    moved = keys.resealed(stored)
    assert keys.resealed(moved) is moved
    assert keys.resealed(between) is between, "a key made after it began is under the new master key"
    keys.end_rotation()
    assert len(name) == 16
    await check_signs(custody(tmp_path), moved)
    with pytest.raises(CustodyError):
        await check_signs(custody(tmp_path), stored)


async def test_a_token_needs_a_module(tmp_path: Path) -> None:
    with pytest.raises(CustodyError, match="pkcs11_module"):
        await custody(tmp_path).create(KeyAlgorithm.EC_P256, uri="pkcs11:token=t;object=o")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "file:/tmp/key",
        "pkcs11:token=t",
        "pkcs11:object=o",
        "pkcs11:token=t;object=o?pin-value=1234",
        "pkcs11:token=t;object=o;slot-id=1",
        f"pkcs11:token=t;object={'o' * 600}",
    ],
)
def test_uris_that_name_no_key(uri: str) -> None:
    with pytest.raises(ValueError, match="URI"):
        parse_uri(uri)


def test_a_uri_is_percent_encoded() -> None:
    assert parse_uri("pkcs11:token=my%20token;object=a%3Bb") == {"token": "my token", "object": "a;b"}


# ---------------------------------------------------------------- a real module: SoftHSM


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    """Load SoftHSM once, as the module cannot be loaded twice, over tokens of our own."""
    if not SOFTHSM.exists():
        pytest.skip("SoftHSM is not installed")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        init_token("ours")
        yield Tokens(SOFTHSM, PIN)


def init_token(label: str) -> None:
    command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "5678"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("algorithm", AUTHORITY_ALGORITHMS)
async def test_a_key_in_a_token_signs(tmp_path: Path, tokens: Tokens, algorithm: KeyAlgorithm) -> None:
    keys = custody(tmp_path, tokens)
    uri = f"pkcs11:token=ours;object=key-{algorithm}"
    stored = await keys.create(algorithm, uri=uri)
    assert (stored.uri, stored.sealed) == (uri, None)
    await check_signs(keys, stored)
    assert await keys.create(algorithm, uri=uri) == stored, "a key that exists is taken"
    assert await keys.find(uri) == stored
    with pytest.raises(CustodyError, match="does not leave"):
        await keys.use(stored, lambda key: key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


async def test_a_token_made_after_the_start_is_found(tmp_path: Path, tokens: Tokens) -> None:
    keys = custody(tmp_path, tokens)
    first = await keys.create(KeyAlgorithm.EC_P256, uri="pkcs11:token=ours;object=before")
    with pytest.raises(CustodyError, match="later"):
        await keys.find("pkcs11:token=later;object=key")
    init_token("later")
    await check_signs(keys, await keys.create(KeyAlgorithm.EC_P256, uri="pkcs11:token=later;object=key"))
    await check_signs(keys, first)


async def test_a_key_that_was_replaced_in_the_token_does_not_sign(tmp_path: Path, tokens: Tokens) -> None:
    keys = custody(tmp_path, tokens)
    one = await keys.create(KeyAlgorithm.EC_P256, uri="pkcs11:token=ours;object=one")
    two = await keys.create(KeyAlgorithm.EC_P256, uri="pkcs11:token=ours;object=two")
    with pytest.raises(CustodyError, match="not the authority's"):
        await check_signs(keys, StoredKey(public_key=one.public_key, uri=two.uri))


async def test_a_token_that_hangs_is_not_waited_for(
    tmp_path: Path, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = custody(tmp_path, tokens)
    stored = await keys.create(KeyAlgorithm.EC_P256, uri="pkcs11:token=ours;object=slow")
    answers = threading.Event()
    monkeypatch.setattr("homeport.custody.keys.TOKEN_SECONDS", 0.05)
    with pytest.raises(CustodyError, match="did not answer"):
        await keys.use(stored, lambda _: answers.wait(10))
    answers.set()
    monkeypatch.undo()
    await check_signs(keys, stored)


async def test_a_missing_key_is_no_key(tmp_path: Path, tokens: Tokens) -> None:
    with pytest.raises(CustodyError, match="NoSuchKey"):
        await custody(tmp_path, tokens).find("pkcs11:token=ours;object=nothing")


async def test_a_wrong_pin(tmp_path: Path, tokens: Tokens) -> None:
    with pytest.raises(CustodyError):
        # Makes the module look for tokens again, so that it finds the next one.
        await custody(tmp_path, tokens).find("pkcs11:token=locked;object=key")
    init_token("locked")
    wrong = custody(tmp_path, Tokens(SOFTHSM, "9999"))
    with pytest.raises(CustodyError, match="Pin"):
        await wrong.find("pkcs11:token=locked;object=key")


def test_a_module_that_does_not_exist() -> None:
    with pytest.raises(CustodyError, match="cannot be loaded"):
        Tokens(Path("/nowhere/module.so"), PIN)
