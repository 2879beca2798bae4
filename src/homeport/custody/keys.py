"""KeyCustody: keys that are sealed under the master key, and those a token keeps. Signing never holds the loop up."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from homeport.custody import envelope
from homeport.custody.envelope import EnvelopeError, Random
from homeport.custody.master_key import MasterKeys, MasterKeysError
from homeport.custody.pkcs11_token import Tokens
from homeport.dps.issuing.ports import CustodyError
from homeport.dps.model import StoredKey
from homeport.security.signing_keys import (
    AUTHORITY_ALGORITHMS,
    KeyAlgorithm,
    SigningKey,
    algorithm_of,
    public_bytes,
)

T = TypeVar("T")

_MAX_PEM = 16 * 1024
TOKEN_SECONDS = 20.0
"""Making an RSA key may take a token this long; signing takes it milliseconds."""


class Custody:
    """KeyCustody over a master key and, if one is configured, a PKCS#11 module."""

    def __init__(self, master_keys: MasterKeys, *, random: Random, tokens: Tokens | None = None) -> None:
        self._master_keys = master_keys
        self._random = random
        self._tokens = tokens
        # One at a time: a token has one session here.
        self._token_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pkcs11")

    async def create(self, algorithm: KeyAlgorithm, *, uri: str | None = None) -> StoredKey:
        if uri is not None:
            return await self._in_token(lambda tokens: tokens.ensure(uri, algorithm))
        return await asyncio.to_thread(lambda: self._seal(_generate(algorithm)))

    async def find(self, uri: str) -> StoredKey:
        return await self._in_token(lambda tokens: tokens.find(uri))

    async def adopt(self, pem: str) -> StoredKey:
        return await asyncio.to_thread(lambda: self._seal(_read_pem(pem)))

    async def use(self, key: StoredKey, work: Callable[[SigningKey], T]) -> T:
        if key.uri is not None:
            return await self._in_token(lambda tokens: tokens.use(key, work))
        return await asyncio.to_thread(lambda: work(self._unseal(key)))

    # ---------------------------------------------------------------- the master key's rotation

    def begin_rotation(self) -> str:
        """Make a new master key, to seal everything from now on; return its name. Raises CustodyError."""
        try:
            self._master_keys.reload()
            self._master_keys.add(self._random(envelope.KEY_BYTES))
        except MasterKeysError as error:
            raise CustodyError(str(error)) from error
        return envelope.name_of(self._master_keys.active).hex()

    def resealed(self, key: StoredKey) -> StoredKey:
        """Return the key under the present master key; the same object if it is, or if a token keeps it."""
        if key.sealed is None or envelope.sealed_under(key.sealed) == envelope.name_of(self._master_keys.active):
            return key
        try:
            sealed = envelope.reseal(
                key.sealed,
                master_keys=self._master_keys.by_name,
                master_key=self._master_keys.active,
                random=self._random,
            )
        except EnvelopeError as error:
            raise CustodyError(str(error)) from error
        return StoredKey(public_key=key.public_key, sealed=sealed)

    def end_rotation(self) -> None:
        """Forget the old master keys, now that nothing is sealed under them. Raises CustodyError."""
        try:
            self._master_keys.forget_old()
        except MasterKeysError as error:
            raise CustodyError(str(error)) from error

    # ---------------------------------------------------------------- sealing

    def _seal(self, key: SigningKey) -> StoredKey:
        try:
            # Another process may have rotated it.
            self._master_keys.reload()
        except MasterKeysError as error:
            raise CustodyError(str(error)) from error
        public = public_bytes(key.public_key())
        plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        sealed = envelope.seal(plain, master_key=self._master_keys.active, belongs_to=public, random=self._random)
        return StoredKey(public_key=public, sealed=sealed)

    def _unseal(self, key: StoredKey) -> SigningKey:
        if key.sealed is None:
            raise CustodyError("the key is neither sealed nor in a token")
        try:
            plain = self._open(key.sealed, key.public_key)
            # The envelope is authentic, so the costly check of an RSA key would say nothing new.
            loaded = load_der_private_key(plain, None, unsafe_skip_rsa_key_validation=True)
        except (EnvelopeError, MasterKeysError) as error:
            raise CustodyError(str(error)) from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise CustodyError("the sealed key is of a kind that cannot sign certificates")
        return loaded

    def _open(self, sealed: bytes, public_key: bytes) -> bytes:
        if envelope.sealed_under(sealed) not in self._master_keys.by_name:
            # Another process may have rotated the master key in the file that both read.
            self._master_keys.reload()
        return envelope.unseal(sealed, master_keys=self._master_keys.by_name, belongs_to=public_key)

    async def _in_token(self, work: Callable[[Tokens], T]) -> T:
        """Use the token in a thread of its own: one that hangs holds up nobody but those who need it."""
        tokens = self._tokens
        if tokens is None:
            raise CustodyError("the key is in a PKCS#11 token, and this server has no module for it: set pkcs11_module")
        call = asyncio.get_running_loop().run_in_executor(self._token_thread, work, tokens)
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                return await call
        except TimeoutError:
            raise CustodyError(f"the token did not answer within {TOKEN_SECONDS:g} seconds") from None


def _generate(algorithm: KeyAlgorithm) -> SigningKey:
    match algorithm:
        case KeyAlgorithm.EC_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyAlgorithm.EC_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyAlgorithm.RSA_3072:
            return rsa.generate_private_key(public_exponent=65537, key_size=3072)
        case KeyAlgorithm.RSA_4096:
            return rsa.generate_private_key(public_exponent=65537, key_size=4096)
        case _:
            raise CustodyError(f"an authority does not sign with {algorithm}")


def _read_pem(pem: str) -> SigningKey:
    if len(pem) > _MAX_PEM:
        raise ValueError("the private key's text is too long")
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # TypeError: it is encrypted. The library's own words may repeat some of the text.
        raise ValueError("the private key cannot be read: expected unencrypted PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("the private key is neither RSA nor elliptic curve")  # noqa: TRY004 - bad content
    if algorithm_of(key.public_key()) not in AUTHORITY_ALGORITHMS:
        raise ValueError(f"an authority's key is one of {', '.join(AUTHORITY_ALGORITHMS)}")
    return key
