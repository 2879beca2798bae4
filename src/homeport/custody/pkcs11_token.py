"""Keys in a PKCS#11 token: made there, used there, never seen here. Needs the extra `homeport[pkcs11]`."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from homeport.dps.issuing.ports import CustodyError
from homeport.dps.model import StoredKey
from homeport.security.signing_keys import (
    AUTHORITY_ALGORITHMS,
    KeyAlgorithm,
    SigningKey,
    algorithm_of,
    load_public,
    public_bytes,
)

T = TypeVar("T")

_KNOWN = frozenset({"token", "object", "id"})
_CURVES = {KeyAlgorithm.EC_P256: "secp256r1", KeyAlgorithm.EC_P384: "secp384r1"}
_RSA_BITS = {KeyAlgorithm.RSA_3072: 3072, KeyAlgorithm.RSA_4096: 4096}
_MAX_URI = 512


def parse_uri(uri: str) -> Mapping[str, str]:
    """Read `pkcs11:token=…;object=…` (RFC 7512). Raises ValueError; a PIN never stands in it."""
    scheme, colon, rest = uri.partition(":")
    path, question, _ = rest.partition("?")
    if scheme.lower() != "pkcs11" or not colon or len(uri) > _MAX_URI:
        raise ValueError("the key's URI does not begin with pkcs11:")
    if question:
        raise ValueError("the key's URI has a query; module and PIN are the server's settings")
    found = {}
    for part in path.split(";"):
        name, equals, value = part.partition("=")
        if not equals or name not in _KNOWN:
            raise ValueError("the key's URI has other attributes than token, object and id")
        found[name] = unquote(value)
    if "token" not in found or not ("object" in found or "id" in found):
        raise ValueError("the key's URI names no token, or neither object nor id")
    return found


class Tokens:
    """The tokens behind one PKCS#11 module. Every method blocks; one thread at a time uses the token."""

    def __init__(self, module: Path, pin: str | None) -> None:
        """Load the module. Raises CustodyError."""
        try:
            import pkcs11
        except ImportError as error:
            raise CustodyError("PKCS#11 needs an extra: pip install 'homeport[pkcs11]'") from error
        self._pkcs11: Any = pkcs11
        self._pin = pin
        self._lock = threading.Lock()
        self._sessions: dict[str, Any] = {}
        try:
            self._library: Any = pkcs11.lib(str(module))
        except Exception as error:
            raise CustodyError(f"the PKCS#11 module {module} cannot be loaded: {_named(error)}") from error

    def ensure(self, uri: str, algorithm: KeyAlgorithm) -> StoredKey:
        """Return the key that the URI names, made if it does not exist. Raises CustodyError, ValueError for the URI."""
        named = parse_uri(uri)
        with self._lock:
            public = self._in_session(named, lambda session: self._find_or_make(session, named, algorithm))
        return _checked(uri, public)

    def find(self, uri: str) -> StoredKey:
        """Return the key that the URI names, like `ensure`, but make none."""
        named = parse_uri(uri)
        with self._lock:
            public = self._in_session(named, lambda session: self._public(session, named))
        return _checked(uri, public)

    def use(self, key: StoredKey, work: Callable[[SigningKey], T]) -> T:
        """Run `work` with an object that signs inside the token. Raises CustodyError."""
        named = parse_uri(key.uri or "")
        with self._lock:
            return self._in_session(named, lambda session: work(self._signer(session, named, key.public_key)))

    def _in_session(self, named: Mapping[str, str], work: Callable[[Any], T]) -> T:
        """Use the open session, or once more a new one: a token that was pulled out has forgotten the old one."""
        label = named["token"]
        known = self._sessions.get(label)
        if known is not None:
            try:
                return work(known)
            except self._pkcs11.NoSuchKey as error:
                raise CustodyError(f"token {label}: {_named(error)}") from error
            except self._pkcs11.PKCS11Error:
                del self._sessions[label]
                with contextlib.suppress(self._pkcs11.PKCS11Error):
                    known.close()
        try:
            self._sessions[label] = self._open(label)
            return work(self._sessions[label])
        except self._pkcs11.PKCS11Error as error:
            raise CustodyError(f"token {label}: {_named(error)}") from error

    def _open(self, label: str) -> Any:
        try:
            token = self._library.get_token(token_label=label)
        except self._pkcs11.PKCS11Error:
            # A token that was plugged in, or made, after the module was loaded. Sessions end with this, and their
            # numbers are given out again: whoever kept one would use another token.
            self._sessions.clear()
            self._library.reinitialize()
            token = self._library.get_token(token_label=label)
        try:
            return token.open(rw=True, user_pin=self._pin)
        except self._pkcs11.UserAlreadyLoggedIn:
            # A program logs in to a token once, for all its sessions.
            return token.open(rw=True)

    def _find_or_make(self, session: Any, named: Mapping[str, str], algorithm: KeyAlgorithm) -> bytes:
        try:
            return self._public(session, named)
        except self._pkcs11.NoSuchKey:
            if "object" not in named:
                raise
        kinds, attribute = self._pkcs11.KeyType, self._pkcs11.Attribute
        label = named["object"]
        if algorithm in _CURVES:
            from pkcs11.util.ec import encode_named_curve_parameters

            parameters = session.create_domain_parameters(
                kinds.EC, {attribute.EC_PARAMS: encode_named_curve_parameters(_CURVES[algorithm])}, local=True
            )
            parameters.generate_keypair(label=label, store=True, private_template=self._private_template())
        elif algorithm in _RSA_BITS:
            session.generate_keypair(
                kinds.RSA, _RSA_BITS[algorithm], label=label, store=True, private_template=self._private_template()
            )
        else:
            raise ValueError(f"an authority does not sign with {algorithm}")
        return self._public(session, named)

    def _private_template(self) -> Mapping[Any, Any]:
        attribute = self._pkcs11.Attribute
        return {attribute.SENSITIVE: True, attribute.EXTRACTABLE: False, attribute.SIGN: True}

    def _public(self, session: Any, named: Mapping[str, str]) -> bytes:
        key = self._key(session, named, self._pkcs11.ObjectClass.PUBLIC_KEY)
        if key.key_type is self._pkcs11.KeyType.EC:
            from pkcs11.util.ec import encode_ec_public_key as encode
        elif key.key_type is self._pkcs11.KeyType.RSA:
            numbers = rsa.RSAPublicNumbers(
                int.from_bytes(key[self._pkcs11.Attribute.PUBLIC_EXPONENT]),
                int.from_bytes(key[self._pkcs11.Attribute.MODULUS]),
            )
            return public_bytes(numbers.public_key())
        else:
            raise ValueError("the key in the token is neither RSA nor elliptic curve")
        encoded: bytes = encode(key)
        # In one spelling, whatever the token's library writes.
        return public_bytes(load_public(encoded))

    def _signer(self, session: Any, named: Mapping[str, str], public_key: bytes) -> SigningKey:
        if self._public(session, named) != public_key:
            raise CustodyError(f"token {named['token']}: the key there is not the authority's any more")
        private = self._key(session, named, self._pkcs11.ObjectClass.PRIVATE_KEY)
        public = load_public(public_key)
        if isinstance(public, ec.EllipticCurvePublicKey):
            return _EcTokenKey(private, public, self._pkcs11.Mechanism.ECDSA)
        assert isinstance(public, rsa.RSAPublicKey)
        return _RsaTokenKey(private, public, self._pkcs11.Mechanism)

    def _key(self, session: Any, named: Mapping[str, str], kind: Any) -> Any:
        wanted: dict[str, str | bytes] = {}
        if "object" in named:
            wanted["label"] = named["object"]
        if "id" in named:
            wanted["id"] = named["id"].encode("latin-1")
        return session.get_key(object_class=kind, **wanted)


class _EcTokenKey(ec.EllipticCurvePrivateKey):
    """Signs in the token; `cryptography`'s builders take it like a key of their own."""

    def __init__(self, private: Any, public: ec.EllipticCurvePublicKey, mechanism: Any) -> None:
        self._private = private
        self._public = public
        self._mechanism = mechanism

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        algorithm = signature_algorithm.algorithm
        assert isinstance(algorithm, hashes.HashAlgorithm)
        digest = hashes.Hash(algorithm)
        digest.update(data)
        raw = bytes(self._private.sign(digest.finalize(), mechanism=self._mechanism))
        half = len(raw) // 2
        return utils.encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def exchange(self, *_: Any, **__: Any) -> bytes:
        raise CustodyError("a key in a token signs and does nothing else")

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        raise CustodyError("a key in a token does not leave it")

    def private_bytes(self, *_: Any, **__: Any) -> bytes:
        raise CustodyError("a key in a token does not leave it")

    def __copy__(self) -> "_EcTokenKey":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "_EcTokenKey":
        return self


class _RsaTokenKey(rsa.RSAPrivateKey):
    """Like `_EcTokenKey`, for RSA with PKCS#1 v1.5."""

    def __init__(self, private: Any, public: rsa.RSAPublicKey, mechanisms: Any) -> None:
        self._private = private
        self._public = public
        self._mechanisms = mechanisms

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        if not isinstance(padding, _PKCS1) or not isinstance(algorithm, hashes.SHA256):
            raise CustodyError("a key in a token signs with PKCS#1 v1.5 and SHA-256")
        return bytes(self._private.sign(bytes(data), mechanism=self._mechanisms.SHA256_RSA_PKCS))

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def decrypt(self, *_: Any, **__: Any) -> bytes:
        raise CustodyError("a key in a token signs and does nothing else")

    def private_numbers(self) -> rsa.RSAPrivateNumbers:
        raise CustodyError("a key in a token does not leave it")

    def private_bytes(self, *_: Any, **__: Any) -> bytes:
        raise CustodyError("a key in a token does not leave it")

    def __copy__(self) -> "_RsaTokenKey":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "_RsaTokenKey":
        return self


_PKCS1 = padding.PKCS1v15


def _named(error: BaseException) -> str:
    """Say what went wrong; many errors of the library carry no text."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _checked(uri: str, public: bytes) -> StoredKey:
    try:
        found = algorithm_of(load_public(public))
    except ValueError:
        found = None
    if found not in AUTHORITY_ALGORITHMS:
        raise ValueError(f"the key in the token is none of {', '.join(AUTHORITY_ALGORITHMS)}")
    return StoredKey(public_key=public, uri=uri)
