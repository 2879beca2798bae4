"""How a hub's refusal reads on AMQP: condition, description, tracking id (contract hub.md 14.4). Pure."""

import secrets
from typing import Any, Final

from homeport.hub.errors import HubCode, HubError
from homeport.proto.amqp import Condition, Error, Int, Symbol

_ARGUMENT_ERROR: Final = "com.microsoft:argument-error"
_THROTTLED: Final = "com.microsoft:device-container-throttled"

_BY_CODE: Final = {
    HubCode.DISPLACED: Condition.STOLEN,
    HubCode.MESSAGE_LOCK_LOST: "com.microsoft:message-lock-lost",
    HubCode.DEVICE_ALREADY_EXISTS: "com.microsoft:device-already-exists",
    HubCode.METHOD_NOT_ALLOWED: Condition.NOT_ALLOWED,
    HubCode.GATEWAY_TIMEOUT: "com.microsoft:timeout",
}
_BY_STATUS: Final = {
    400: _ARGUMENT_ERROR,
    401: Condition.UNAUTHORIZED_ACCESS,
    403: Condition.RESOURCE_LIMIT_EXCEEDED,
    404: Condition.NOT_FOUND,
    412: Condition.PRECONDITION_FAILED,
    413: Condition.MESSAGE_SIZE_EXCEEDED,
    429: _THROTTLED,
}
"""Whatever else is amqp:internal-error."""


def link_error(fault: HubError, condition: str | None = None) -> Error:
    """Write a refusal for a DETACH, a CLOSE or a rejected outcome; `condition` overrides the one of the code."""
    code = fault.code
    found = condition or _BY_CODE.get(code) or _BY_STATUS.get(code.status, Condition.INTERNAL_ERROR)
    info: dict[Any, Any] = {
        Symbol("com.microsoft:tracking-id"): secrets.token_hex(16),
        Symbol("com.microsoft:error-code"): Int(code.number),
    }
    return Error(condition=found, description=fault.message, info=info)


def unauthorized(why: str) -> Error:
    """Write the refusal of a link that no proof on this connection allows; the reason proper is only logged."""
    return link_error(HubError(HubCode.UNAUTHORIZED_ACCESS, why))


def forced(why: str, condition: str = Condition.DETACH_FORCED) -> Error:
    """Write the reason of an end that a fault brought about: one on which clients come back (contract hub.md 28.2)."""
    return Error(
        condition=condition, description=why, info={Symbol("com.microsoft:tracking-id"): secrets.token_hex(16)}
    )
