"""What goes wrong for a client, told apart by class. How a refusal looks on the wire is read in `answers`."""

from typing import ClassVar


class ClientError(Exception):
    """Everything this package raises on purpose."""


class ConnectionStringError(ClientError, ValueError):
    """The connection string cannot be used. The message never repeats its key."""


class TransportError(ClientError):
    """No answer: the name, the connection, TLS or the time-out failed.

    The request may or may not have reached the service.
    """


class UntrustedServerError(TransportError):
    """The server's certificate is not trusted, or is for another name; trying again will not help."""


class UnexpectedAnswerError(ClientError):
    """The other side answered, but not as the contract says; probably it is another service."""


class ProvisioningServiceError(ClientError):
    """A service refused a request. Hubs refuse with the same classes.

    `code` is the provisioning service's six digits (contract dps.md 11) or the hub's name for the error (contract
    hub.md 22); None when the answer held none. `tracking_id` finds the record on the server. `retry_after` is in
    seconds.
    """

    statuses: ClassVar[frozenset[int]] = frozenset()
    """The HTTP statuses that are raised as this class."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: int | str | None = None,
        tracking_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.tracking_id = tracking_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        named = f"{self.status}" if self.code is None else f"{self.status} ({self.code})"
        tracked = f" [tracking id {self.tracking_id}]" if self.tracking_id else ""
        return f"{named}: {self.message}{tracked}"


class BadRequestError(ProvisioningServiceError):
    """The service does not understand the request, or does not take its content."""

    statuses = frozenset({400, 413, 415})


class UnauthorizedError(ProvisioningServiceError):
    """The proof does not hold, or does not permit this."""

    statuses = frozenset({401, 403})


class NotFoundError(ProvisioningServiceError):
    """There is no such thing."""

    statuses = frozenset({404})


class ConflictError(ProvisioningServiceError):
    """It exists already, or somebody else changed it at the same time."""

    statuses = frozenset({409})


class PreconditionFailedError(ProvisioningServiceError):
    """The etag is not that of the stored version."""

    statuses = frozenset({412})


class ThrottledError(ProvisioningServiceError):
    """Too many requests; `retry_after` says when to come back, if the service said so."""

    statuses = frozenset({429})


class RegistrationError(ClientError):
    """The device was heard and its registration ended without a hub.

    `status` is `failed` or `disabled`; `code` is the contract's error code (dps.md 11), None if there was none.
    """

    def __init__(self, message: str, *, status: str, code: int | None, operation_id: str) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.operation_id = operation_id

    def __str__(self) -> str:
        named = self.status if self.code is None else f"{self.status} ({self.code})"
        return f"registration {named}: {self.message} [operation id {self.operation_id}]"


class RegistrationTimeoutError(ClientError, TimeoutError):
    """The device's time ran out before it had a hub; the last fault that was met is the cause."""


class TpmError(ClientError):
    """The TPM refused, or does not hold what it should."""


class TpmUnavailableError(TpmError):
    """There is no TPM to speak to: the extra `homeport[tpm]`, the device or the right to open it is missing."""


class TpmLockedError(TpmError):
    """The TPM wants an authorization that was not given, or is in lockout."""
