"""A device's TPM 2.0: its keys, and the proofs made inside it (contract dps.md 7.1, 7.5). Needs `homeport[tpm]`."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from homeport.client.errors import TpmError, TpmLockedError, TpmUnavailableError
from homeport.client.tpm_certificate import read_endorsement_certificate
from homeport.security import tpm as structures

DEFAULT_TCTI: Final = "device:/dev/tpmrm0"
EK_HANDLE: Final = 0x81010001
SRK_HANDLE: Final = 0x81000001
IDENTITY_KEY_HANDLE: Final = 0x81000100

_FIRST_PERSISTENT: Final = 0x81000000
_HANDLES_AT_ONCE: Final = 254

# The templates of contract dps.md 7.1, the 256 zero bytes of the modulus included, as TPM2B_PUBLIC.
_EK_POLICY: Final = bytes.fromhex("837197674484B3F81A90CC8D46A5D724FD52D76E06520B64F2A1DA1B331469AA")
_KEY_PARAMETERS: Final = bytes.fromhex("0006 0080 0043 0010 0800 00000000 0100") + bytes(256)
_EK_TEMPLATE: Final = bytes.fromhex("013A 0001 000B 000300B2 0020") + _EK_POLICY + _KEY_PARAMETERS
_SRK_TEMPLATE: Final = bytes.fromhex("011A 0001 000B 00030472 0000") + _KEY_PARAMETERS
_USER_WITH_AUTH: Final = 1 << 6

# Response codes (TCG TPM 2.0 Library, Part 2, 6.6.3); of format 1 only the error number counts, not the parameter's.
_RC_INITIALIZE: Final = 0x100
_RC_LOCKOUT: Final = 0x921
_RC_AUTH_FAIL: Final = 0x08E
_RC_BAD_AUTH: Final = 0x0A2
_FORMAT_ONE: Final = 0x080
_FORMAT_ONE_MASK: Final = 0x0BF
_LAYER_MASK: Final = 0xFFFF0000
_TPM_LAYERS: Final = frozenset({0x00000000, 0x000B0000, 0x000C0000})
"""The TPM itself, and the resource managers that answer in its place."""


class TpmSecurityProvider:
    """A device whose identity is its TPM.

    The endorsement key (EK) and storage root key (SRK) are created from the contract's templates where they are
    missing; keys that exist are used if they fit. The identity key, imported from the service, replaces the one
    before it. Safe to use from several threads; every call blocks for as long as the TPM takes.

    All methods raise TpmError: TpmUnavailableError if there is no TPM to speak to, TpmLockedError if it wants an
    authorization.
    """

    def __init__(
        self,
        tcti: str = DEFAULT_TCTI,
        *,
        registration_id: str | None = None,
        owner_auth: bytes = b"",
        endorsement_auth: bytes = b"",
        ek_handle: int = EK_HANDLE,
        srk_handle: int = SRK_HANDLE,
        identity_key_handle: int = IDENTITY_KEY_HANDLE,
        endorsement_issuers: Sequence[bytes] = (),
    ) -> None:
        """Open the TPM behind `tcti`, for instance `device:/dev/tpmrm0` or `swtpm:path=/run/tpm.sock`.

        Without `registration_id` it is derived from the endorsement key (contract dps.md 1.3). The authorizations
        are those of the owner and endorsement hierarchies, empty on most machines. `endorsement_issuers` (DER) are
        sent along with the TPM's own certificate, for a service that knows its maker's root only.
        """
        self._lock = threading.RLock()
        self._srk_handle = srk_handle
        self._identity_key_handle = identity_key_handle
        self._tss = _import_binding()
        self._esapi: Any = None
        self._identity_key: Any = None
        try:
            self._open(tcti)
            with self._exclusive("preparing the TPM") as esapi:
                esapi.tr_set_auth(self._tss.ESYS_TR.OWNER, owner_auth)
                esapi.tr_set_auth(self._tss.ESYS_TR.ENDORSEMENT, endorsement_auth)
                self._input_limit = self._read_input_limit()
            self._ek, self._endorsement_key = self._storage_key(
                "endorsement key", ek_handle, _EK_TEMPLATE, self._tss.ESYS_TR.ENDORSEMENT
            )
            self._srk, self._storage_root_key = self._storage_key(
                "storage root key", srk_handle, _SRK_TEMPLATE, self._tss.ESYS_TR.OWNER
            )
            with self._exclusive("reading the endorsement certificate") as esapi:
                certificate = read_endorsement_certificate(self._tss, esapi, self._endorsement_key)
        except BaseException:
            self.close()
            raise
        self._endorsement_chain = () if certificate is None else (certificate, *endorsement_issuers)
        self.registration_id = registration_id or structures.registration_id_of(self._endorsement_key)

    # --- what the device shows ---------------------------------------------------------------------------------

    @property
    def endorsement_key(self) -> bytes:
        """The EK's `TPM2B_PUBLIC`: what `AttestationMechanism.for_tpm` wants."""
        return self._endorsement_key

    @property
    def storage_root_key(self) -> bytes:
        """The SRK's `TPM2B_PUBLIC`."""
        return self._storage_root_key

    @property
    def endorsement_chain(self) -> tuple[bytes, ...]:
        """The EK's certificate and its issuers, DER; empty if the TPM has no certificate for its EK."""
        return self._endorsement_chain

    # --- what the device proves --------------------------------------------------------------------------------

    def activate_identity_key(self, blob: bytes) -> None:
        """Take the key inside an `authenticationKey` (decoded from Base64) as the identity key.

        Only the TPM the blob was made for can do it. The identity key of before is gone afterwards.
        """
        try:
            parts = structures.parse_blob(blob)
        except structures.TpmError as error:
            raise TpmError(f"the service's key for this TPM cannot be read: {error}") from error
        with self._exclusive("activating the service's key (was it made for another TPM?)") as esapi:
            inner_key = self._activate_credential(esapi, parts)
            key = self._import(esapi, parts, inner_key)
            try:
                self._evict_identity_key(esapi)
                self._identity_key = esapi.evict_control(
                    self._tss.ESYS_TR.OWNER, key, self._identity_key_handle, session1=self._tss.ESYS_TR.PASSWORD
                )
            finally:
                esapi.flush_context(key)

    def sign(self, data: bytes) -> bytes:
        """Return the HMAC-SHA256 of `data`, made inside the TPM with the identity key."""
        with self._exclusive("signing with the identity key") as esapi:
            key = self._find_identity_key(esapi)
            if key is None:
                raise TpmError("the TPM holds no identity key; the device has not registered yet")
            if len(data) <= self._input_limit:
                return bytes(esapi.hmac(key, data, self._tss.TPM2_ALG.SHA256))
            return self._sign_in_pieces(esapi, key, data)

    def close(self) -> None:
        """Let go of the TPM; its persistent keys stay."""
        with self._lock:
            if self._esapi is not None:
                self._esapi.close()
                self._esapi = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside ------------------------------------------------------------------------------------------------

    def _open(self, tcti: str) -> None:
        try:
            self._esapi = self._tss.ESAPI(tcti)
        except (self._tss.TSS2_Exception, RuntimeError, OSError) as error:
            raise TpmUnavailableError(
                f"cannot open a TPM at '{tcti}': is there one, may this user use it, does another program hold it?"
            ) from error
        try:
            self._read_input_limit()
        except self._tss.TSS2_Exception as error:
            if error.rc != _RC_INITIALIZE:
                raise _error("opening the TPM", error.rc) from error
            with _translated("starting the TPM"):
                self._esapi.startup(self._tss.TPM2_SU.CLEAR)

    @contextmanager
    def _exclusive(self, doing: str) -> Iterator[Any]:
        """Hold the TPM for one thread: an ESAPI context is not made for two."""
        with self._lock:
            if self._esapi is None:
                raise TpmUnavailableError("the TPM is closed")
            with _translated(doing):
                yield self._esapi

    def _read_input_limit(self) -> int:
        tss = self._tss
        _, data = self._esapi.get_capability(tss.TPM2_CAP.TPM_PROPERTIES, tss.TPM2_PT.INPUT_BUFFER, 1)
        return int(data.data.tpmProperties[0].value)

    def _persistent_handles(self, esapi: Any) -> set[int]:
        _, data = esapi.get_capability(self._tss.TPM2_CAP.HANDLES, _FIRST_PERSISTENT, _HANDLES_AT_ONCE)
        return {int(handle) for handle in data.data.handles}

    def _storage_key(self, what: str, handle: int, template: bytes, hierarchy: Any) -> tuple[Any, bytes]:
        """Return the ESAPI handle and the `TPM2B_PUBLIC` of a storage key, made now if it is missing."""
        tss = self._tss
        with self._exclusive(f"making the {what}") as esapi:
            if handle in self._persistent_handles(esapi):
                key = esapi.tr_from_tpmpublic(handle)
            else:
                public, _ = tss.TPM2B_PUBLIC.unmarshal(template)
                transient, *_ = esapi.create_primary(
                    tss.TPM2B_SENSITIVE_CREATE(), public, hierarchy, session1=tss.ESYS_TR.PASSWORD
                )
                try:
                    key = esapi.evict_control(tss.ESYS_TR.OWNER, transient, handle, session1=tss.ESYS_TR.PASSWORD)
                finally:
                    esapi.flush_context(transient)
            public, *_ = esapi.read_public(key)
        encoded = bytes(public.marshal())
        try:
            parsed = structures.parse_public(encoded)
        except structures.TpmError as error:
            raise TpmError(
                f"the TPM's object at {handle:#x} is no usable {what}: {error}; choose another handle"
            ) from error
        if template is _EK_TEMPLATE and parsed.auth_policy != _EK_POLICY:
            raise TpmError(f"the endorsement key at {handle:#x} has another policy than the TCG's template")
        if template is _SRK_TEMPLATE and not parsed.attributes & _USER_WITH_AUTH:
            raise TpmError(f"the storage root key at {handle:#x} cannot be used with a password")
        return key, encoded

    def _activate_credential(self, esapi: Any, parts: structures.ChallengeBlob) -> Any:
        """Return the key that wraps the duplicate: this TPM's EK decrypts it for this TPM's SRK only."""
        tss = self._tss
        session = esapi.start_auth_session(
            tss.ESYS_TR.NONE,
            tss.ESYS_TR.NONE,
            tss.TPM2_SE.POLICY,
            tss.TPMT_SYM_DEF(algorithm=tss.TPM2_ALG.NULL),
            tss.TPM2_ALG.SHA256,
        )
        try:
            esapi.policy_secret(tss.ESYS_TR.ENDORSEMENT, session, b"", b"", b"", 0, session1=tss.ESYS_TR.PASSWORD)
            credential, _ = tss.TPM2B_ID_OBJECT.unmarshal(parts.credential)
            secret, _ = tss.TPM2B_ENCRYPTED_SECRET.unmarshal(parts.credential_secret)
            return esapi.activate_credential(
                self._srk, self._ek, credential, secret, session1=tss.ESYS_TR.PASSWORD, session2=session
            )
        finally:
            esapi.flush_context(session)

    def _import(self, esapi: Any, parts: structures.ChallengeBlob, inner_key: Any) -> Any:
        """Load the HMAC key under the SRK and return its transient handle."""
        tss = self._tss
        public, _ = tss.TPM2B_PUBLIC.unmarshal(parts.object_public)
        duplicate, _ = tss.TPM2B_PRIVATE.unmarshal(parts.duplicate)
        seed, _ = tss.TPM2B_ENCRYPTED_SECRET.unmarshal(parts.duplicate_seed)
        wrapped_in = tss.TPMT_SYM_DEF_OBJECT(
            algorithm=tss.TPM2_ALG.AES,
            keyBits=tss.TPMU_SYM_KEY_BITS(aes=128),
            mode=tss.TPMU_SYM_MODE(aes=tss.TPM2_ALG.CFB),
        )
        private = esapi.import_(self._srk, tss.TPM2B_DATA(bytes(inner_key)), public, duplicate, seed, wrapped_in)
        return esapi.load(self._srk, private, public)

    def _find_identity_key(self, esapi: Any) -> Any:
        """Return the ESAPI handle of the identity key, None if there is none.

        It is kept, because an ESAPI context remembers a handle's first object and trips over the next one.
        """
        if self._identity_key is None and self._identity_key_handle in self._persistent_handles(esapi):
            self._identity_key = esapi.tr_from_tpmpublic(self._identity_key_handle)
        return self._identity_key

    def _evict_identity_key(self, esapi: Any) -> None:
        key, self._identity_key = self._find_identity_key(esapi), None
        if key is not None:
            esapi.evict_control(
                self._tss.ESYS_TR.OWNER, key, self._identity_key_handle, session1=self._tss.ESYS_TR.PASSWORD
            )

    def _sign_in_pieces(self, esapi: Any, key: Any, data: bytes) -> bytes:
        tss = self._tss
        sequence = esapi.hmac_start(key, b"", tss.TPM2_ALG.SHA256)
        try:
            position = 0
            while len(data) - position > self._input_limit:
                esapi.sequence_update(sequence, data[position : position + self._input_limit])
                position += self._input_limit
            digest, _ = esapi.sequence_complete(sequence, data[position:], tss.ESYS_TR.NULL)
        except tss.TSS2_Exception:
            esapi.flush_context(sequence)
            raise
        return bytes(digest)


def _import_binding() -> Any:
    try:
        import tpm2_pytss
    except ImportError as error:
        raise TpmUnavailableError(
            "TPM access needs the extra: pip install 'homeport[tpm]' (with the tpm2-tss libraries and headers)"
        ) from error
    return tpm2_pytss


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Turn what the binding raises into our errors."""
    import tpm2_pytss

    try:
        yield
    except tpm2_pytss.TSS2_Exception as error:
        raise _error(doing, error.rc) from error


def _error(doing: str, code: int) -> TpmError:
    """Choose the error for a response code."""
    if code & _LAYER_MASK not in _TPM_LAYERS:
        return TpmUnavailableError(f"{doing}: the TPM does not answer (code {code:#x})")
    answer = code & ~_LAYER_MASK
    number = answer & _FORMAT_ONE_MASK if answer & _FORMAT_ONE else answer
    if number == _RC_LOCKOUT:
        return TpmLockedError(f"{doing}: the TPM is in lockout after wrong authorizations; wait or reset it")
    if number in {_RC_AUTH_FAIL, _RC_BAD_AUTH}:
        return TpmLockedError(
            f"{doing}: the TPM's hierarchy wants another authorization (owner_auth, endorsement_auth)"
        )
    return TpmError(f"{doing}: the TPM refused (code {code:#x})")
