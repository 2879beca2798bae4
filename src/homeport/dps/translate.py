"""Device documents <-> model. With `versions`, the only place that knows what an api-version changes (dps.md 3).

Administrators' documents are in `translate_service`.
"""

import base64
import binascii

from msgspec import UNSET, Raw, UnsetType

from homeport.dps.model import (
    AttestationKind,
    Evidence,
    Registration,
    RegistrationStatus,
    SasEvidence,
    TpmEvidence,
)
from homeport.errors import Code, HomeportError
from homeport.security.tpm import MAX_PUBLIC_BYTES
from homeport.security.x509 import MAX_CHAIN_LENGTH
from homeport.security.x509_request import (
    CertificateRequest,
    RequestError,
    decode_request,
    explain_name,
    names,
    parse_request,
)
from homeport.values import replace
from homeport.wire import dps_device as wire
from homeport.wire import format_time
from homeport.wire.versions import knows_certificate_requests


def with_keys(evidence: Evidence, body: wire.RegisterBody) -> Evidence:
    """Add the TPM keys of the body to what the transport has seen. Raises HomeportError INVALID_REQUEST."""
    if not isinstance(body.tpm, wire.TpmKeys):
        return evidence
    ek = _tpm_key(body.tpm.endorsement_key, "endorsementKey")
    srk = body.tpm.storage_root_key
    if isinstance(evidence, TpmEvidence) and evidence.challenge is not None:
        # The keys have been proven with the connection; C and Node name them again (contract dps.md 7.2).
        if ek != evidence.endorsement_key:
            raise HomeportError(Code.INVALID_REQUEST, "The member 'tpm.endorsementKey' is not the connection's.")
        return replace(evidence, endorsement_chain=_endorsement_chain(body.tpm))
    return TpmEvidence(
        endorsement_key=ek,
        storage_root_key=_tpm_key(srk, "storageRootKey") if isinstance(srk, str) and srk else None,
        token=evidence.token if isinstance(evidence, SasEvidence | TpmEvidence) else None,
        endorsement_chain=_endorsement_chain(body.tpm),
    )


def certificate_request_of(body: wire.RegisterBody, api_version: str, registration_id: str) -> (
    CertificateRequest | None
):  # fmt: skip
    """Read the request to issue a certificate (contract dps.md 13.1); an older api-version has none.

    Raises HomeportError INVALID_REQUEST for one that cannot be believed, or is for another name.
    """
    if not isinstance(body.csr, str) or not knows_certificate_requests(api_version):
        return None
    try:
        request = parse_request(decode_request(body.csr))
    except RequestError as error:
        raise HomeportError(Code.INVALID_REQUEST, f"The member 'csr' cannot be used: {error}.") from None
    if not names(request, registration_id):
        shown = explain_name(request)
        raise HomeportError(
            Code.INVALID_REQUEST, f"The member 'csr' is for the common name {shown}, not for the registration id."
        )
    return request


def refuse_certificate_request(body: wire.RegisterBody, api_version: str) -> None:
    """Refuse a request to issue a certificate where none is issued: in the status lookup."""
    if isinstance(body.csr, str) and knows_certificate_requests(api_version):
        raise HomeportError(Code.INVALID_REQUEST, "A certificate request (csr) belongs into a register call.")


def payload_of(body: wire.RegisterBody) -> bytes | None:
    """Return the device's payload byte for byte; absent and `null` are the same."""
    payload = bytes(body.payload)
    return None if payload in {b"", b"null"} else payload


def operation_document(registration: Registration) -> wire.OperationStatus:
    """Write the answer to register and to operation status."""
    return wire.OperationStatus(
        operation_id=registration.operation.id,
        status=registration.status.value,
        registration_state=registration_document(registration, chain=True),
    )


def registration_document(registration: Registration, *, chain: bool = False) -> wire.RegistrationResult:
    """Write `registrationState`: brief while assigning, complete when finished (contract dps.md 3.3, 3.4).

    The chain of an issued certificate belongs to the operation; the status lookup has none (contract dps.md 13.1).
    """
    if registration.status is RegistrationStatus.ASSIGNING:
        return wire.RegistrationResult(registration_id=registration.registration_id, status=registration.status.value)
    assigned = registration.status is RegistrationStatus.ASSIGNED
    home = registration.assignment if assigned else None
    failure = registration.failure if registration.status is RegistrationStatus.FAILED else None
    blob = registration.tpm_key_blob if assigned else None
    updated = format_time(registration.updated_at)
    return wire.RegistrationResult(
        tpm=UNSET if blob is None else wire.TpmResult(authentication_key=base64.b64encode(blob).decode("ascii")),
        x509=_x509(registration) if assigned else UNSET,
        symmetric_key=_symmetric_key(registration) if assigned else UNSET,
        registration_id=registration.registration_id,
        created_date_time_utc=(
            updated if registration.created_at == registration.updated_at else format_time(registration.created_at)
        ),
        assigned_hub=UNSET if home is None else home.hub,
        device_id=UNSET if home is None else home.device_id,
        status=registration.status.value,
        substatus=registration.substatus.value if assigned and registration.substatus else UNSET,
        error_code=UNSET if failure is None else failure.code,
        error_message=UNSET if failure is None else failure.message,
        last_updated_date_time_utc=updated,
        etag=registration.etag,
        payload=Raw(registration.payload) if assigned and registration.payload is not None else UNSET,
        issued_certificate_chain=_chain(registration) if assigned and chain else UNSET,
    )


def challenge_document(blob: bytes) -> wire.Challenge:
    """Write the 401 that carries a TPM's challenge (contract dps.md 7.2)."""
    return wire.Challenge(authentication_key=base64.b64encode(blob).decode("ascii"))


def _chain(registration: Registration) -> list[str] | UnsetType:
    issuance = registration.operation.issuance
    if issuance is None:
        return UNSET
    return [base64.b64encode(der).decode("ascii") for der in issuance.chain]


def _x509(registration: Registration) -> wire.X509Result | UnsetType:
    if registration.attestation is not AttestationKind.X509:
        return UNSET
    return wire.X509Result(enrollment_group_id=registration.enrollment.group_id or UNSET)


def _symmetric_key(registration: Registration) -> wire.SymmetricKeyResult | UnsetType:
    group_id = registration.enrollment.group_id
    if registration.attestation is not AttestationKind.SYMMETRIC_KEY or group_id is None:
        return UNSET
    return wire.SymmetricKeyResult(enrollment_group_id=group_id)


def _tpm_key(text: str, member: str) -> bytes:
    try:
        # The length first: what cannot be a key is not worth decoding.
        key = binascii.a2b_base64(text, strict_mode=True) if len(text) <= 2 * MAX_PUBLIC_BYTES else b""
    except ValueError:
        key = b""
    if not 0 < len(key) <= MAX_PUBLIC_BYTES:
        raise HomeportError(Code.INVALID_REQUEST, f"The member 'tpm.{member}' is not the Base64 of a TPM2B_PUBLIC.")
    return key


def _endorsement_chain(keys: wire.TpmKeys) -> tuple[bytes, ...]:
    """Read the endorsement key's certificates; what is in them is judged later."""
    if not keys.endorsement_certificate:
        return ()
    issuers = keys.endorsement_certificate_chain
    texts = [keys.endorsement_certificate, *(issuers if isinstance(issuers, list) else ())]
    if len(texts) > MAX_CHAIN_LENGTH:
        raise HomeportError(
            Code.INVALID_REQUEST, f"tpm.endorsementCertificateChain has more than {MAX_CHAIN_LENGTH - 1} certificates."
        )
    try:
        return tuple(base64.b64decode(text, validate=True) for text in texts)
    except (binascii.Error, ValueError):
        raise HomeportError(Code.INVALID_REQUEST, "tpm.endorsementCertificate is not valid Base64.") from None
