"""Libraries for others: administering a provisioning service, reading a hub, registering devices; Azure's or ours.

Everything here blocks; `homeport.client.aio` has the same clients for asyncio.
"""

from homeport.client._sync.admin import HomeportAdminClient
from homeport.client._sync.device import ProvisioningDeviceClient
from homeport.client._sync.hub_registry import HubRegistryClient
from homeport.client._sync.provisioning import ProvisioningServiceClient
from homeport.client.admin_models import (
    Attempt,
    Check,
    IpFilter,
    IpFilterDecision,
    IpFilterRule,
    LinkedHub,
    Registration,
)
from homeport.client.certificate_models import (
    CaCertificate,
    CrlInformation,
    ExpiringCertificate,
    ExpiryReport,
    RevocationSettings,
)
from homeport.client.device_connection import (
    TpmSasTokenProvider,
    connect_with_azure_iot_device,
    make_azure_iot_device_client,
)
from homeport.client.errors import (
    BadRequestError,
    ClientError,
    ConflictError,
    ConnectionStringError,
    NotFoundError,
    PreconditionFailedError,
    ProvisioningServiceError,
    RegistrationError,
    RegistrationTimeoutError,
    ThrottledError,
    TpmError,
    TpmLockedError,
    TpmUnavailableError,
    TransportError,
    UnauthorizedError,
    UnexpectedAnswerError,
    UntrustedServerError,
)
from homeport.client.hub_models import (
    Device,
    RegistryStatistics,
    ServiceStatistics,
    Twin,
)
from homeport.client.journal_models import (
    Administrator,
    AuditEntry,
    AuditHead,
    AuditVerdict,
    CloudEvent,
    DeadLetter,
    EventSubscription,
    Me,
    NewToken,
)
from homeport.client.models import (
    AllocationPolicy,
    AttestationMechanism,
    CustomAllocationDefinition,
    DeviceCapabilities,
    EnrollmentGroup,
    IndividualEnrollment,
    InitialTwin,
    Page,
    ProvisioningStatus,
    RegistrationState,
    ReprovisionPolicy,
)
from homeport.client.registration import RegistrationResult
from homeport.client.retry import NO_RETRY, RetryPolicy
from homeport.client.security import (
    SecurityProviderError,
    SymmetricKeySecurityProvider,
    X509SecurityProvider,
    derive_device_key,
)
from homeport.client.telemetry import ConnectionChange, HubEvent, TelemetryMessage
from homeport.client.tpm import TpmSecurityProvider

__all__ = [
    "NO_RETRY",
    "Administrator",
    "AllocationPolicy",
    "Attempt",
    "AttestationMechanism",
    "AuditEntry",
    "AuditHead",
    "AuditVerdict",
    "BadRequestError",
    "CaCertificate",
    "Check",
    "ClientError",
    "CloudEvent",
    "ConflictError",
    "ConnectionChange",
    "ConnectionStringError",
    "CrlInformation",
    "CustomAllocationDefinition",
    "DeadLetter",
    "Device",
    "DeviceCapabilities",
    "EnrollmentGroup",
    "EventSubscription",
    "ExpiringCertificate",
    "ExpiryReport",
    "HomeportAdminClient",
    "HubEvent",
    "HubRegistryClient",
    "IndividualEnrollment",
    "InitialTwin",
    "IpFilter",
    "IpFilterDecision",
    "IpFilterRule",
    "LinkedHub",
    "Me",
    "NewToken",
    "NotFoundError",
    "Page",
    "PreconditionFailedError",
    "ProvisioningDeviceClient",
    "ProvisioningServiceClient",
    "ProvisioningServiceError",
    "ProvisioningStatus",
    "Registration",
    "RegistrationError",
    "RegistrationResult",
    "RegistrationState",
    "RegistrationTimeoutError",
    "RegistryStatistics",
    "ReprovisionPolicy",
    "RetryPolicy",
    "RevocationSettings",
    "SecurityProviderError",
    "ServiceStatistics",
    "SymmetricKeySecurityProvider",
    "TelemetryMessage",
    "ThrottledError",
    "TpmError",
    "TpmLockedError",
    "TpmSasTokenProvider",
    "TpmSecurityProvider",
    "TpmUnavailableError",
    "TransportError",
    "Twin",
    "UnauthorizedError",
    "UnexpectedAnswerError",
    "UntrustedServerError",
    "X509SecurityProvider",
    "connect_with_azure_iot_device",
    "derive_device_key",
    "make_azure_iot_device_client",
]
