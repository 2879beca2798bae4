"""Custom allocation's documents <-> model: the request without secrets, the answer checked (contract dps.md 9.3)."""

import base64
import binascii
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Raw, UnsetType

from homeport.dps.attestation import Attested, TpmIdentity
from homeport.dps.model import (
    Answer,
    Assignment,
    AttestationKind,
    EnrollmentGroup,
    IndividualEnrollment,
    LinkedHub,
    TwinContent,
)
from homeport.dps.settlement import twin_content
from homeport.dps.translate_attestation import certificate_info
from homeport.dps.translate_service import group_document, individual_document
from homeport.wire import WireError, decode
from homeport.wire import custom_allocation as wire
from homeport.wire.dps_service import CertificateWithInfo, CustomAllocationDefinition, TpmMechanism
from homeport.wire.dps_service import EnrollmentGroup as GroupDocument
from homeport.wire.dps_service import IndividualEnrollment as IndividualDocument

MAX_ANSWER_BYTES = 64 * 1024
_MASK = "****"


class AnswerError(Exception):
    """The answer cannot be used; the text says why and repeats nothing secret. `no_hub`: it names no hub at all."""

    def __init__(self, message: str, *, no_hub: bool = False) -> None:
        super().__init__(message)
        self.no_hub = no_hub


def allocation_request(
    attested: Attested,
    registration_id: str,
    current: Assignment | None,
    candidates: Sequence[LinkedHub],
    *,
    payload: bytes | None,
    leaf: bytes | None,
) -> bytes:
    """Write the question. `leaf` is the certificate the device came with, DER."""
    enrollment = attested.enrollment
    individual = isinstance(enrollment, IndividualEnrollment)
    return msgspec.json.encode(
        wire.AllocationRequest(
            individual_enrollment=(
                _shown(individual_document(enrollment, secrets=False))
                if isinstance(enrollment, IndividualEnrollment)
                else UNSET
            ),
            enrollment_group=UNSET if individual else _shown_group(enrollment),
            device_runtime_context=wire.DeviceRuntimeContext(
                registration_id=registration_id,
                current_iot_hub_host_name=current.hub if current else UNSET,
                current_device_id=current.device_id if current else UNSET,
                x509=UNSET if attested.kind is not AttestationKind.X509 or leaf is None else _x509(leaf),
                symmetric_key=(wire.RuntimeSymmetricKey() if attested.kind is AttestationKind.SYMMETRIC_KEY else UNSET),
                tpm=_tpm(attested.identity) if isinstance(attested.identity, TpmIdentity) else UNSET,
                payload=UNSET if payload is None else Raw(payload),
            ),
            linked_hubs=[hub.host_name for hub in candidates],
        )
    )


def allocation_answer(body: bytes) -> Answer:
    """Read the answer. Raises AnswerError."""
    try:
        document = decode(wire.answer_document, body, limit=MAX_ANSWER_BYTES)
    except WireError as error:
        raise AnswerError(f"the answer cannot be read: {str(error).rstrip('.')}") from None
    host = document.iot_hub_host_name
    if not isinstance(host, str) or not host.strip():
        raise AnswerError("the answer names no hub (iotHubHostName)", no_hub=True)
    payload = bytes(document.payload)
    if payload in {b"", b"null"}:
        payload = b""
    elif not payload.startswith(b"{"):
        raise AnswerError("the answer's payload is not an object")
    return Answer(hub=host.strip(), initial_twin=_twin(document), payload=payload or None)


def masked(url: str) -> str:
    """Hide the query of a webhook's URL, where Azure Functions have their key (contract dps.md 8.4)."""
    head, mark, _ = url.partition("?")
    return f"{head}?{_MASK}" if mark else url


def place_of(url: str) -> str:
    """Name whom a question goes to, without what may be secret: scheme, host and port, or the function."""
    if url.lower().startswith("python:"):
        return url[len("python:") :]
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _shown(document: IndividualDocument) -> IndividualDocument:
    return msgspec.structs.replace(
        document,
        etag=_plain_etag(document.etag),
        custom_allocation_definition=_masked_definition(document),
    )


def _shown_group(group: IndividualEnrollment | EnrollmentGroup) -> GroupDocument:
    assert isinstance(group, EnrollmentGroup)
    document = group_document(group, secrets=False)
    return msgspec.structs.replace(
        document,
        etag=_plain_etag(document.etag),
        custom_allocation_definition=_masked_definition(document),
    )


def _masked_definition(
    document: IndividualDocument | GroupDocument,
) -> CustomAllocationDefinition | UnsetType:
    definition = document.custom_allocation_definition
    if not isinstance(definition, CustomAllocationDefinition):
        return UNSET
    return msgspec.structs.replace(definition, webhook_url=masked(definition.webhook_url))


def _plain_etag(etag: object) -> str:
    """Return the quoted GUID that an ETag is the Base64 of; the webhook's copy has it so (contract dps.md 9.3)."""
    text = etag if isinstance(etag, str) else ""
    try:
        return binascii.a2b_base64(text, strict_mode=True).decode("ascii")
    except (ValueError, UnicodeDecodeError):
        return text


def _x509(leaf: bytes) -> wire.RuntimeX509:
    shown = CertificateWithInfo(info=certificate_info(leaf))
    return wire.RuntimeX509(client_certificates=wire.RuntimeCertificates(primary=shown))


def _tpm(identity: TpmIdentity) -> TpmMechanism:
    return TpmMechanism(
        endorsement_key=base64.b64encode(identity.endorsement_key.encoded).decode("ascii"),
        storage_root_key=base64.b64encode(identity.storage_root_key.encoded).decode("ascii"),
    )


def _twin(document: wire.AnswerDocument) -> TwinContent | None:
    twin = document.initial_twin
    if not isinstance(twin, dict):
        return None
    properties = twin.get("properties")
    if not isinstance(properties, dict | None) or not isinstance(twin.get("tags"), dict | None):
        raise AnswerError("the answer's initialTwin is not {tags, properties: {desired}}")
    if properties is not None and not isinstance(properties.get("desired"), dict | None):
        raise AnswerError("the answer's initialTwin.properties.desired is not an object")
    return twin_content(twin)
