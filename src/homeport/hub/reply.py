"""What is answered, whatever carries it: status, body, headers; and how a refusal reads (contract hub.md 22)."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Struct, field

from homeport.errors import Code, HomeportError
from homeport.hub.errors import HubCode, HubError
from homeport.hub.model import format_time
from homeport.wire import JSON_CONTENT_TYPE, encode
from homeport.wire.hub_service import ErrorBody


class Reply(Struct, frozen=True, kw_only=True):
    """One answer; `body` is JSON, or None for a status without one."""

    status: int
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str | None:
        return None if self.body is None else JSON_CONTENT_TYPE


def error_reply(error: HubError, tracking_id: str, now: datetime) -> Reply:
    """Write a refusal; the text is never empty, since Node cannot read it otherwise."""
    name = error.code.wire_name
    when = now.strftime("%m/%d/%Y %H:%M:%S")
    return Reply(
        status=error.code.status,
        body=encode(
            ErrorBody(
                message=f"ErrorCode:{name};{error.message or 'no details'}",
                exception_message=f"Tracking ID:{tracking_id}-TimeStamp:{when}",
            )
        ),
        headers={"iothub-errorcode": name},
    )


def twin_error_body(error: HubError, tracking_id: str, now: datetime) -> bytes:
    """Write the refusal of a device's twin operation; Node looks for `errorCode` and nothing else (hub.md 13.6)."""
    return msgspec.json.encode(
        {
            "errorCode": error.code.number,
            "trackingId": tracking_id,
            "message": error.message,
            "timestampUtc": format_time(now),
        }
    )


def as_hub_error(fault: Exception) -> HubError:
    """Return what a caller learns of anything that was raised: of a fault of the server, only that there was one."""
    if isinstance(fault, HubError):
        return fault
    if isinstance(fault, HomeportError) and fault.code is Code.UNAVAILABLE:
        return HubError(HubCode.SERVICE_UNAVAILABLE, fault.message)
    return HubError(HubCode.SERVER_ERROR, "The server failed; its log has the details under the tracking id.")
