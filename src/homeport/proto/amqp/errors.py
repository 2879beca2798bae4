"""What can go wrong, in AMQP's own words: error conditions (2.8.14 to 2.8.18) and how much an error ends."""

from enum import Enum
from typing import Final

from homeport.proto import RemoteProtocolError
from homeport.proto.amqp.composites import Error


class Scope(Enum):
    """How much an error ends."""

    LINK = "link"
    SESSION = "session"
    CONNECTION = "connection"


class Condition:
    """The error conditions of the standard. Any other symbol may be used, too."""

    INTERNAL_ERROR: Final = "amqp:internal-error"
    NOT_FOUND: Final = "amqp:not-found"
    UNAUTHORIZED_ACCESS: Final = "amqp:unauthorized-access"
    DECODE_ERROR: Final = "amqp:decode-error"
    RESOURCE_LIMIT_EXCEEDED: Final = "amqp:resource-limit-exceeded"
    NOT_ALLOWED: Final = "amqp:not-allowed"
    INVALID_FIELD: Final = "amqp:invalid-field"
    NOT_IMPLEMENTED: Final = "amqp:not-implemented"
    RESOURCE_LOCKED: Final = "amqp:resource-locked"
    PRECONDITION_FAILED: Final = "amqp:precondition-failed"
    RESOURCE_DELETED: Final = "amqp:resource-deleted"
    ILLEGAL_STATE: Final = "amqp:illegal-state"
    FRAME_SIZE_TOO_SMALL: Final = "amqp:frame-size-too-small"

    CONNECTION_FORCED: Final = "amqp:connection:forced"
    FRAMING_ERROR: Final = "amqp:connection:framing-error"
    CONNECTION_REDIRECT: Final = "amqp:connection:redirect"

    WINDOW_VIOLATION: Final = "amqp:session:window-violation"
    ERRANT_LINK: Final = "amqp:session:errant-link"
    HANDLE_IN_USE: Final = "amqp:session:handle-in-use"
    UNATTACHED_HANDLE: Final = "amqp:session:unattached-handle"

    DETACH_FORCED: Final = "amqp:link:detach-forced"
    TRANSFER_LIMIT_EXCEEDED: Final = "amqp:link:transfer-limit-exceeded"
    MESSAGE_SIZE_EXCEEDED: Final = "amqp:link:message-size-exceeded"
    LINK_REDIRECT: Final = "amqp:link:redirect"
    STOLEN: Final = "amqp:link:stolen"


class AmqpProtocolError(RemoteProtocolError):
    """The peer broke AMQP's rules: `condition` is what it is told, `scope` is what the error ends."""

    def __init__(self, message: str, condition: str, scope: Scope = Scope.CONNECTION) -> None:
        super().__init__(message, condition, scope)
        self.condition = condition
        self.scope = scope

    def as_error(self) -> Error:
        """Return what the peer is told."""
        return Error(condition=self.condition, description=str(self))

    def __str__(self) -> str:
        return str(self.args[0])


class IdleTimeoutError(AmqpProtocolError):
    """The peer has been silent for longer than its promise to us allows. Raised by `tick` only."""
