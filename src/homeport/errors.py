"""The error vocabulary of the provisioning service: one code, one meaning, one HTTP status (contract dps.md 11)."""

from enum import IntEnum


class Code(IntEnum):
    """Six digits as the clients see them; the first three are the HTTP status.

    Each member's comment says when it is raised; the reference page is generated from here.
    """

    INVALID_REQUEST = 400000
    """The request cannot be understood: malformed JSON, wrong types, a missing member, an oversized body."""
    INVALID_REGISTRATION_ID = 400004
    """The registration id (or group id) is not 1-128 of the allowed characters, or two places name different ids."""
    INVALID_QUERY = 400005
    """The query text is outside the documented grammar."""
    QUOTA_EXCEEDED = 400006
    """There are as many of these as the service takes."""
    CUSTOM_ALLOCATION_FAILED = 400207
    """The enrollment asks for custom allocation, which failed, or answered with no hub that may be used."""
    NO_HUB = 400208
    """No hub was named or is left to assign to; the name in Azure is CustomAllocationIotHubNotSpecified."""
    CUSTOM_ALLOCATION_UNAUTHORIZED = 400209
    """The webhook of custom allocation answered 401; the name in Azure is CustomAllocationUnauthorizedAccess."""
    HUB_REFUSED = 400210
    """The chosen hub refused the device identity."""
    ASSIGNMENT_TIMED_OUT = 400211
    """The chosen hub did not answer before the operation's deadline."""
    CERTIFICATE_REFUSED = 400212
    """The certificate request cannot be granted: no authority is named, or its policy does not allow the key."""
    UNMATCHED = 401000
    """The id scope is not one of this server."""
    UNAUTHORIZED = 401002
    """The proof does not hold: signature, expiry, resource, certificate, missing permission."""
    NOT_FOUND = 404000
    """No such operation or path."""
    ENROLLMENT_NOT_FOUND = 404201
    """No such individual enrollment, or a TPM asked for an unknown registration id."""
    GROUP_NOT_FOUND = 404202
    """No such enrollment group."""
    REGISTRATION_NOT_FOUND = 404203
    """The device has no registration record."""
    METHOD_NOT_ALLOWED = 405000
    """The path exists, the method does not, or the id segment is missing."""
    ENROLLMENT_EXISTS = 409201
    """PUT without If-Match names an individual enrollment that exists."""
    GROUP_EXISTS = 409202
    """PUT without If-Match names an enrollment group that exists."""
    CONFLICT = 409203
    """Two changes of one thing at the same time; the other one was first."""
    HUB_EXISTS = 409204
    """A linked hub with that name or host name exists."""
    ISSUING_EXISTS = 409211
    """A certificate authority or policy with that name exists."""
    ISSUING_IN_USE = 409212
    """A certificate authority or policy is still referred to, by what the message names."""
    POLICY_EXISTS = 409205
    """A shared access policy of that name exists."""
    LAST_ADMINISTRATOR = 409206
    """The change would leave no shared access policy with the right ServiceConfig."""
    CA_CERTIFICATE_EXISTS = 409213
    """A CA certificate with that name exists; with If-Match it is replaced."""
    CA_CERTIFICATE_IN_USE = 409214
    """Enrollments refer to the CA certificate that was to be deleted."""
    PRECONDITION_FAILED = 412000
    """If-Match names another version than the stored one."""
    TOO_LARGE = 413000
    """The body exceeds the message size limit."""
    THROTTLED = 429001
    """Too many requests; the answer says when to come back."""
    INTERNAL = 500000
    """A fault of the server; the tracking id finds it in the log."""
    UNAVAILABLE = 503000
    """The store or a hub is out of reach for now."""

    @property
    def status(self) -> int:
        """The HTTP status: the code's first three digits."""
        return self.value // 1000


class HomeportError(Exception):
    """A refusal that a caller must be able to tell apart; everything else is INTERNAL.

    `message` goes to the caller and never holds a secret. `retry_after` is in whole seconds.
    """

    def __init__(self, code: Code, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after


class ConflictError(HomeportError):
    """A store found another version, or another owner of a lease, than the write expected."""

    def __init__(self, message: str = "Precondition failed.", code: Code = Code.CONFLICT) -> None:
        super().__init__(code, message)
