"""Reads what services answer: refusals into errors, bodies into documents. Sends nothing."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from homeport.client.errors import (
    BadRequestError,
    ConflictError,
    NotFoundError,
    PreconditionFailedError,
    ProvisioningServiceError,
    ThrottledError,
    UnauthorizedError,
    UnexpectedAnswerError,
)

T = TypeVar("T")

_CLASSES: tuple[type[ProvisioningServiceError], ...] = (
    BadRequestError,
    UnauthorizedError,
    NotFoundError,
    ConflictError,
    PreconditionFailedError,
    ThrottledError,
)
_LONGEST_RETRY_AFTER = 86400.0


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> ProvisioningServiceError:
    """Return the error for a 4xx or 5xx answer.

    Reads both forms of body: the provisioning service's (contract dps.md 3.6) and the hub's (contract hub.md
    22.1). An answer with neither, of a proxy for instance, still becomes an error of the right class. `headers`
    must find names regardless of case.
    """
    document = _mapping(body)
    # The hub puts a document into the text of Message for method calls (contract hub.md 7).
    inner = _mapping(document.get("Message"))
    document = {**document, **inner}
    code = document.get("errorCode")
    message = _text(document.get("message")) or _text(document.get("Message"))
    if not isinstance(code, int):
        code, message = _named(message, headers.get("iothub-errorcode"))
    tracking_id = _text(document.get("trackingId")) or _tracking_id(_text(document.get("ExceptionMessage")))
    kind = next((kind for kind in _CLASSES if status in kind.statuses), ProvisioningServiceError)
    return kind(
        message or "the service gave no reason",
        status=status,
        code=code,
        tracking_id=tracking_id or headers.get("x-ms-request-id"),
        retry_after=retry_after(headers.get("retry-after")),
    )


def retry_after(text: str | None) -> float | None:
    """Read a Retry-After of whole seconds (contract dps.md 3.2); None for anything else, dates included."""
    if text is None or not text.strip().isdecimal() or len(text.strip()) > 9:
        return None
    return min(float(text), _LONGEST_RETRY_AFTER)


def decode(body: bytes, kind: type[T]) -> T:
    """Read a body as a document of that kind. Raises UnexpectedAnswerError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnexpectedAnswerError(f"the service's answer cannot be read: {error}") from error


def _mapping(body: object) -> dict[str, Any]:
    if not isinstance(body, bytes | str):
        return {}
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return {}
    return document if isinstance(document, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _named(message: str | None, header: str | None) -> tuple[str | None, str | None]:
    """Take `ErrorCode:{name};{text}` apart."""
    head, separator, text = (message or "").partition(";")
    if separator and head.startswith("ErrorCode:"):
        return head.removeprefix("ErrorCode:"), text
    return header, message


def _tracking_id(text: str | None) -> str | None:
    """Find the id in `Tracking ID:{id}-G:{n}-TimeStamp:{time}`."""
    _, separator, rest = (text or "").partition("Tracking ID:")
    return rest.partition("-TimeStamp:")[0].strip() if separator else None
