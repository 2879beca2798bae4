"""The hub's error vocabulary: number, name and status of every refusal (contract hub.md 22)."""

from enum import Enum


class HubCode(Enum):
    """A six-digit number and the name clients match on; the HTTP status is the number's first three digits."""

    INVALID_PROTOCOL_VERSION = (400001, "InvalidProtocolVersion")
    ARGUMENT_INVALID = (400004, "ArgumentInvalid")
    INVALID_BLOB_CONTAINER = (400008, "BlobContainerValidationError")
    BULK_OPERATION_FAILED = (400013, "BulkRegistryOperationFailure")
    DISPLACED = (400027, "ConnectionForcefullyClosedOnNewConnection")
    INVALID_DEVICE_SCOPE = (400028, "InvalidDeviceScope")
    INVALID_POLICY_KEY = (400035, "InvalidPolicyKey")
    KEY_REGENERATION_FAILED = (400036, "BulkRegenerateDeviceKeyOperationFailure")
    INVALID_TARGET_CONDITION = (400401, "InvalidConfigurationTargetCondition")
    INVALID_CONFIGURATION_CONTENT = (400402, "InvalidConfigurationContent")
    INVALID_METRICS_QUERY = (400404, "InvalidConfigurationCustomMetricsQuery")
    INVALID_JSON_PATCH = (400505, "InvalidDigitalTwinJsonPatch")
    INVALID_DIGITAL_TWIN_PAYLOAD = (400506, "InvalidDigitalTwinPayload")
    INVALID_DIGITAL_TWIN_PATCH = (400507, "InvalidDigitalTwinPatch")
    INVALID_PATCH_PATH = (400508, "InvalidDigitalTwinPatchPath")
    UNAUTHORIZED_ACCESS = (401002, "IotHubUnauthorizedAccess")
    UNAUTHORIZED = (401003, "IotHubUnauthorized")
    STORAGE_NOT_CONFIGURED = (400014, "DefaultStorageEndpointNotConfigured")
    INVALID_CORRELATION_ID = (400015, "InvalidFileUploadCorrelationId")
    EXPIRED_CORRELATION_ID = (400016, "ExpiredFileUploadCorrelationId")
    QUOTA_EXCEEDED = (403002, "IotHubQuotaExceeded")
    JOB_QUOTA_EXCEEDED = (403003, "JobQuotaExceeded")
    QUEUE_FULL = (403004, "DeviceMaximumQueueDepthExceeded")
    TOO_MANY_UPLOADS = (403006, "DeviceMaximumActiveFileUploadLimitExceeded")
    METHOD_QUOTA_EXCEEDED = (403800, "DeviceMaximumInflightMethodExceeded")
    DEVICE_NOT_FOUND = (404001, "DeviceNotFound")
    OPERATION_NOT_FOUND = (404000, "GenericNotFound")
    JOB_NOT_FOUND = (404002, "JobNotFound")
    MODULE_NOT_FOUND = (404010, "ModuleNotFound")
    DEVICE_NOT_ONLINE = (404103, "DeviceNotOnline")
    DEVICE_CONNECTION_CLOSED = (404104, "DeviceConnectionClosedRemotely")
    CONFIGURATION_NOT_FOUND = (404301, "ConfigurationNotFound")
    METHOD_NOT_ALLOWED = (405000, "GenericMethodNotAllowed")
    DEVICE_ALREADY_EXISTS = (409001, "DeviceAlreadyExists")
    JOB_ALREADY_EXISTS = (409104, "JobAlreadyExists")
    MODULE_ALREADY_EXISTS = (409301, "ModuleAlreadyExistsOnDevice")
    CONFIGURATION_ALREADY_EXISTS = (409401, "ConfigurationAlreadyExists")
    PRECONDITION_FAILED = (412001, "PreconditionFailed")
    MESSAGE_LOCK_LOST = (412002, "DeviceMessageLockLost")
    BODY_TOO_LARGE = (413000, "GenericRequestEntityTooLarge")
    MESSAGE_TOO_LARGE = (413001, "MessageTooLarge")
    TOO_MANY_DEVICES = (413002, "TooManyDevices")
    TOO_MANY_MODULES = (413003, "TooManyModulesOnDevice")
    TOO_MANY_CONFIGURATIONS = (413101, "ConfigurationCountLimitExceeded")
    THROTTLED = (429001, "ThrottlingException")
    SERVER_ERROR = (500001, "ServerError")
    BAD_GATEWAY = (502000, "GenericBadGateway")
    GATEWAY_TIMEOUT = (504101, "GatewayTimeout")
    SERVICE_UNAVAILABLE = (503001, "ServiceUnavailable")

    def __init__(self, number: int, wire_name: str) -> None:
        self.number = number
        self.wire_name = wire_name

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.number // 1000


class HubError(Exception):
    """A refusal that a caller must be able to tell apart; `message` goes to the caller and holds no secret."""

    def __init__(self, code: HubCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
