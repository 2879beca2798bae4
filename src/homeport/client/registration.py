"""What a device says to the provisioning service and how it reads the answers, without I/O (contract dps.md 3, 7.2)."""

import base64
import binascii
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from homeport.client.answers import refusal, retry_after
from homeport.client.errors import RegistrationError, UnexpectedAnswerError
from homeport.values import hiding
from homeport.wire import WireError, dps_device, parse_time
from homeport.wire import decode as decode_document

API_VERSION: Final = "2021-06-01"
ISSUING_API_VERSION: Final = "2026-11-01"
"""The first stable one that knows certificate requests (contract dps.md 13.1)."""
TOKEN_LIFE: Final = timedelta(hours=1)
DEFAULT_HOST: Final = "global.azure-devices-provisioning.net"
POLL_SECONDS: Final = 2.0
"""How long to wait before a poll when the service does not say."""


@hiding("issued_certificate_chain")
class RegistrationResult(Struct, frozen=True, kw_only=True):
    """Where a device lives."""

    status: str
    """`assigned`; other ends of a registration are raised as RegistrationError."""
    registration_id: str
    device_id: str
    assigned_hub: str
    """Host name of the hub."""
    substatus: str | None
    """`initialAssignment`, `deviceDataMigrated`, `deviceDataReset` or `reprovisionedToInitialAssignment`."""
    operation_id: str
    payload: Any
    """What custom allocation returned for the device, as JSON values; None if nothing."""
    etag: str | None
    created_date_time: datetime | None
    last_updated_date_time: datetime | None
    issued_certificate_chain: tuple[bytes, ...] = ()
    """DER: the certificate that was asked for, then its issuers, the root last; empty if none was."""

    @property
    def issued_certificate_pem(self) -> str:
        """The issued certificate and those above it but the root: the file a TLS client shows; empty without one."""
        shown = self.issued_certificate_chain[:-1]
        return "".join(ssl.DER_cert_to_PEM_cert(der) for der in shown)


@hiding("body")
class Answer(Struct, frozen=True, kw_only=True):
    """An answer of the service, whatever carried it. `headers` finds names regardless of case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Assigning(Struct, frozen=True, kw_only=True):
    """The service is still busy: ask again."""

    operation_id: str
    wait: float
    """Seconds."""


@hiding("authentication_key")
class Challenged(Struct, frozen=True, kw_only=True):
    """A TPM is to prove itself with the key in this blob."""

    authentication_key: bytes


@hiding("hub_key")
class Assigned(Struct, frozen=True, kw_only=True):
    """The end; a TPM has still to import its hub key."""

    result: RegistrationResult
    hub_key: bytes | None
    """The `authenticationKey` of a TPM device."""


class TpmKeys(Struct, frozen=True, kw_only=True):
    """A TPM's public keys, as `TPM2B_PUBLIC`; JSON has them in Base64."""

    endorsement_key: bytes
    storage_root_key: bytes
    endorsement_chain: tuple[bytes, ...] = ()
    """The endorsement key's certificate and its issuers, DER; for TPM enrollment groups, which only Homeport has."""


def register_body(registration_id: str, payload: Any, tpm: TpmKeys | None = None, csr: bytes | None = None) -> bytes:
    """Write the body of a register request; `payload` is any JSON value, None for none."""
    document: dict[str, Any] = {"registrationId": registration_id}
    if tpm is not None:
        document["tpm"] = {"endorsementKey": tpm.endorsement_key, "storageRootKey": tpm.storage_root_key}
        if tpm.endorsement_chain:
            document["tpm"]["endorsementCertificate"] = tpm.endorsement_chain[0]
        if len(tpm.endorsement_chain) > 1:
            document["tpm"]["endorsementCertificateChain"] = list(tpm.endorsement_chain[1:])
    if csr is not None:
        document["csr"] = csr
    if payload is not None:
        document["payload"] = payload
    return msgspec.json.encode(document)


def read_answer(answer: Answer) -> Assigning | Assigned | Challenged:
    """Read the answer to register or operation status.

    A final answer needs no poll, whichever request it answers (contract dps.md 3.2). Raises
    ProvisioningServiceError, RegistrationError or UnexpectedAnswerError.
    """
    if answer.status == 401:
        blob = _challenge(answer.body)
        if blob is not None:
            return Challenged(authentication_key=blob)
    if answer.status >= 400:
        raise refusal(answer.status, answer.headers, answer.body)
    document = _document(answer)
    state = document.registration_state or None
    match document.status.lower():
        case "assigning":
            wait = retry_after(answer.headers.get("retry-after"))
            return Assigning(operation_id=document.operation_id, wait=POLL_SECONDS if wait is None else wait)
        case "assigned" if state is not None:
            return _assigned(document.operation_id, state)
        case "failed" | "disabled" as status:
            raise RegistrationError(
                (state.error_message or None if state else None) or _REASONS[status],
                status=status,
                code=state.error_code or None if state else None,
                operation_id=document.operation_id,
            )
        case _:
            raise UnexpectedAnswerError(f"a registration cannot be '{document.status[:40]}'")


_REASONS: Final = {
    "failed": "the service gave no reason",
    "disabled": "the enrollment is disabled",
}


def _document(answer: Answer) -> dps_device.OperationStatus:
    try:
        return decode_document(dps_device.operation_status, answer.body)
    except WireError as error:
        raise UnexpectedAnswerError(f"the service's answer {answer.status} cannot be read: {error}") from error


def _challenge(body: bytes) -> bytes | None:
    """Return the blob of a TPM challenge, None for any other 401."""
    try:
        challenge = decode_document(dps_device.challenge, body)
    except WireError:
        return None
    return _blob(challenge.authentication_key)


def _blob(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnexpectedAnswerError("the service's authenticationKey is not Base64") from error


def _assigned(operation_id: str, state: dps_device.RegistrationResult) -> Assigned:
    if not state.assigned_hub or not state.device_id:
        raise UnexpectedAnswerError("the service assigned the device but named no hub or no device id")
    return Assigned(
        result=RegistrationResult(
            status="assigned",
            registration_id=state.registration_id,
            device_id=state.device_id,
            assigned_hub=state.assigned_hub,
            substatus=state.substatus or None,
            operation_id=operation_id,
            payload=None if state.payload is UNSET else msgspec.json.decode(state.payload),
            etag=state.etag or None,
            created_date_time=_time(state.created_date_time_utc or None),
            last_updated_date_time=_time(state.last_updated_date_time_utc or None),
            issued_certificate_chain=_chain(state.issued_certificate_chain or ()),
        ),
        hub_key=_blob(state.tpm.authentication_key) if state.tpm is not UNSET else None,
    )


def _chain(texts: Sequence[str]) -> tuple[bytes, ...]:
    try:
        return tuple(base64.b64decode(text, validate=True) for text in texts)
    except (binascii.Error, ValueError) as error:
        raise UnexpectedAnswerError("the service's issuedCertificateChain is not Base64") from error


def _time(text: str | None) -> datetime | None:
    try:
        return None if text is None else parse_time(text)
    except ValueError:
        return None


def with_latencies(payload: Any, latencies: Mapping[str, float] | None) -> Any:
    """Put measured latencies, in milliseconds by host name, into a register call's payload. Raises TypeError."""
    if not latencies:
        return payload
    if not isinstance(payload, dict | None):
        raise TypeError("latencies travel in a payload that is an object, or in one of their own")
    return {**(payload or {}), "homeport": {"latencies": dict(latencies)}}
