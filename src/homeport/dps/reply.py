"""What goes back to a caller, device or administrator, before a transport puts its envelope around it.

The one place where errors get their body: whatever is raised becomes a status, a code and a tracking id (dps.md 3.6).
"""

import logging
from collections.abc import Awaitable, Mapping
from typing import Any

from msgspec import Struct, field

from homeport.clock import Clock
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller
from homeport.wire import TooLargeError, WireError, encode_ascii, format_time
from homeport.wire.dps_device import ErrorBody

log = logging.getLogger(__name__)

_NO_HEADERS: Mapping[str, str] = {}


class Call(Struct, frozen=True, kw_only=True):
    """What goes with an administrator's request: the api-version decides over the members of documents."""

    api_version: str
    by: Caller

    @property
    def tracking_id(self) -> str:
        return self.by.tracking_id


class Reply(Struct, frozen=True, kw_only=True):
    """A status number as in HTTP, and a JSON body (empty: none). `retry_after` is in whole seconds."""

    status: int
    body: bytes
    tracking_id: str
    retry_after: int | None = None
    code: int | None = None
    """The error code, None when nothing went wrong."""
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)
    """What a listing says beside its items: kind of item, continuation."""


def success(status: int, document: Any, tracking_id: str, *, retry_after: int | None = None) -> Reply:
    """Answer with a document, in ASCII."""
    return Reply(status=status, body=encode_ascii(document), tracking_id=tracking_id, retry_after=retry_after)


def failure(error: HomeportError, tracking_id: str, clock: Clock) -> Reply:
    """Answer with the error body every transport shares."""
    body = ErrorBody(
        error_code=int(error.code),
        tracking_id=tracking_id,
        message=error.message,
        timestamp_utc=format_time(clock.now()),
    )
    return Reply(
        status=error.code.status,
        body=encode_ascii(body),
        tracking_id=tracking_id,
        retry_after=error.retry_after,
        code=int(error.code),
    )


async def answer(call: Awaitable[Reply], tracking_id: str, clock: Clock) -> Reply:
    """Wait for the reply; refusals become error bodies, faults are logged and become 500000 without detail."""
    try:
        return await call
    except HomeportError as error:
        # A flood is counted and summed up elsewhere; a line for each of its calls would be a part of it.
        level = logging.DEBUG if error.code is Code.THROTTLED else logging.INFO
        log.log(level, "refused with %d (tracking id %s): %s", error.code, tracking_id, error.message)
        return failure(error, tracking_id, clock)
    except Exception:
        log.exception("a fault of the server (tracking id %s)", tracking_id)
        return failure(HomeportError(Code.INTERNAL, "Internal server error."), tracking_id, clock)


def unreadable(error: WireError) -> HomeportError:
    """Word a document that cannot be read as a refusal."""
    return HomeportError(Code.TOO_LARGE if isinstance(error, TooLargeError) else Code.INVALID_REQUEST, str(error))
