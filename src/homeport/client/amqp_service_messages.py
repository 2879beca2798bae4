"""What services and a hub say to each other over AMQP, without I/O (contract hub.md 14.4, 15, 18.2)."""

from typing import Any, Final

from homeport.client.errors import (
    BadRequestError,
    NotFoundError,
    PreconditionFailedError,
    ProvisioningServiceError,
    ThrottledError,
    UnauthorizedError,
)
from homeport.client.hub_message_models import Acknowledgement, CloudToDeviceMessage
from homeport.proto.amqp import AmqpValue, Condition, Data, Error, Message, Properties, Timestamp

CBS: Final = "$cbs"
DEVICE_BOUND: Final = "/messages/devicebound"
WEBSOCKET_PROTOCOL: Final = "AMQPWSB10"
_TOKEN_TYPE: Final = "servicebus.windows.net:sastoken"  # noqa: S105  # a word of the protocol

_REFUSALS: Final[dict[str, tuple[type[ProvisioningServiceError], int]]] = {
    Condition.NOT_FOUND: (NotFoundError, 404),
    Condition.UNAUTHORIZED_ACCESS: (UnauthorizedError, 401),
    Condition.NOT_ALLOWED: (BadRequestError, 405),
    Condition.DECODE_ERROR: (BadRequestError, 400),
    "amqp:link:message-size-exceeded": (BadRequestError, 413),
    "com.microsoft:argument-error": (BadRequestError, 400),
    Condition.RESOURCE_LIMIT_EXCEEDED: (ThrottledError, 403),
    Condition.PRECONDITION_FAILED: (PreconditionFailedError, 412),
    "com.microsoft:device-container-throttled": (ThrottledError, 429),
}


def put_token(token: str, host: str, message_id: str) -> Message:
    """Put a token on the connection; what it opens is decided when links come."""
    return Message(
        properties=Properties(message_id=message_id, to=CBS, reply_to="cbs"),
        application_properties={"operation": "put-token", "type": _TOKEN_TYPE, "name": f"https://{host}"},
        body=AmqpValue(token),
    )


def token_refusal(answer: Message) -> ProvisioningServiceError | None:
    """Read what became of the token: None if it was taken in."""
    told = answer.application_properties or {}
    status = told.get("status-code")
    if not isinstance(status, int) or status >= 400:
        return UnauthorizedError(
            str(told.get("status-description") or "the token was not taken in"),
            status=int(status) if isinstance(status, int) else 401,
        )
    return None


def device_bound(device_id: str, module_id: str | None, message: CloudToDeviceMessage) -> Message:
    """Write a message for a device or module."""
    within = "" if module_id is None else f"/modules/{module_id}"
    application: dict[str, Any] = dict(message.properties)
    if message.acknowledgement is not Acknowledgement.NONE:
        application["iothub-ack"] = message.acknowledgement.value
    return Message(
        properties=Properties(
            message_id=message.message_id,
            user_id=None if message.user_id is None else message.user_id.encode(),
            to=f"/devices/{device_id}{within}/messages/devicebound",
            correlation_id=message.correlation_id,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            absolute_expiry_time=None if message.expiry_time is None else Timestamp.of(message.expiry_time),
        ),
        application_properties=application or None,
        body=Data((message.body,)),
    )


def refusal_of(error: Error | None, target: str | None = None) -> ProvisioningServiceError:
    """Return why a hub rejected a message, refused a link or closed the connection.

    `target` is whom a message was for: hubs say no more of one that is not there than its id.
    """
    if error is None:
        return ProvisioningServiceError("the hub gave no reason", status=500)
    kind, status = _REFUSALS.get(error.condition, (ProvisioningServiceError, 500))
    tracking_id = (error.info or {}).get("com.microsoft:tracking-id")
    message = error.description or str(error.condition)
    if target is not None and error.condition == Condition.NOT_FOUND:
        message = f"the hub has no {target}, or its device is disabled"
    return kind(
        message,
        status=status,
        code=str(error.condition),
        tracking_id=tracking_id if isinstance(tracking_id, str) else None,
    )
