"""What custom allocation is asked and answers, as Azure Functions get it (contract dps.md 9.3), and measured latencies.

`homeport.custom_allocation` offers these types to the functions that users write.
"""

from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct
from homeport.wire.dps_service import (
    CertificateWithInfo,
    EnrollmentGroup,
    IndividualEnrollment,
    TpmMechanism,
)


class RuntimeCertificates(WireStruct, frozen=True, kw_only=True):
    primary: CertificateWithInfo


class RuntimeX509(WireStruct, frozen=True, kw_only=True):
    """The certificate the device came with: what it says, not the certificate."""

    client_certificates: RuntimeCertificates


class RuntimeSymmetricKey(WireStruct, frozen=True, kw_only=True):
    """The device proved a key, which is not told."""


class DeviceRuntimeContext(WireStruct, frozen=True, kw_only=True):
    """The device that registers; one of `x509`, `symmetric_key` and `tpm` says how it proved itself."""

    registration_id: str
    current_iot_hub_host_name: str | UnsetType = UNSET
    current_device_id: str | UnsetType = UNSET
    x509: RuntimeX509 | UnsetType = UNSET
    symmetric_key: RuntimeSymmetricKey | UnsetType = UNSET
    tpm: TpmMechanism | UnsetType = UNSET
    payload: Raw | UnsetType = UNSET
    """Any JSON value the device sent with its register call, byte for byte."""


class AllocationRequest(WireStruct, frozen=True, kw_only=True):
    """The question: exactly one of the two enrollments is there, without secrets."""

    individual_enrollment: IndividualEnrollment | UnsetType = UNSET
    enrollment_group: EnrollmentGroup | UnsetType = UNSET
    device_runtime_context: DeviceRuntimeContext
    linked_hubs: list[str]
    """Host names the answer must be one of."""


class AllocationResponse(WireStruct, frozen=True, kw_only=True):
    """The answer. `initial_twin` replaces the enrollment's; `payload` is handed to the device."""

    iot_hub_host_name: str | UnsetType | None = UNSET
    initial_twin: dict[str, Any] | UnsetType | None = UNSET
    payload: dict[str, Any] | UnsetType | None = UNSET


class AnswerDocument(WireStruct, frozen=True, kw_only=True):
    """The answer as it is read: the payload stays as it came."""

    iot_hub_host_name: str | UnsetType | None = UNSET
    initial_twin: dict[str, Any] | UnsetType | None = UNSET
    payload: Raw = Raw()


class CandidateHubs(WireStruct, frozen=True, kw_only=True):
    """What a device may measure its latency to."""

    hubs: list[str]


class Measured(Struct, frozen=True, kw_only=True):
    latencies: dict[str, float] | None = None
    """Milliseconds by host name."""


class DevicePayload(Struct, frozen=True, kw_only=True):
    """A register call's payload, as far as it is Homeport's; everything else in it is the device's own."""

    homeport: Measured | None = None


allocation_request = Decoder(AllocationRequest)
answer_document = Decoder(AnswerDocument)
