"""Where a reader begins: the selector filters of Event Hubs clients (contract hub.md 20.5). The reading is pure."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from msgspec import Struct

from homeport.hub.errors import HubCode, HubError
from homeport.hub.ports import EventLog

MAX_SELECTOR: Final = 256
_SELECTOR: Final = re.compile(
    r"\s*amqp\.annotation\.(?P<name>[a-z-]+)\s*(?P<relation>>=?)\s*(?P<quote>'?)(?P<value>[^']*)(?P=quote)\s*",
    re.IGNORECASE,
)
_OFFSET, _SEQUENCE = "x-opt-offset", "x-opt-sequence-number"
_TIMES: Final = frozenset({"x-opt-enqueued-time", "x-opt-enqueuedtimeutc", "x-opt-enqueued-time-utc"})
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MILLISECOND: Final = 253402300799999


class At(Struct, frozen=True):
    """Begin at this offset, or at the oldest event behind it that is held."""

    offset: int


class Since(Struct, frozen=True):
    """Begin at the first event that was enqueued at this time or later."""

    time: datetime


class Latest(Struct, frozen=True):
    """Begin with the next event; `inclusive`: with the newest one that there is."""

    inclusive: bool = False


Position = At | Since | Latest
START: Final = At(0)


def read_selector(text: str | None) -> Position:
    """Read a selector; None is the start. Raises HubError ARGUMENT_INVALID for one that says nothing we know."""
    if text is None:
        return START
    match = _SELECTOR.fullmatch(text) if len(text) <= MAX_SELECTOR else None
    name = match["name"].lower() if match else ""
    if match is None or name not in {_OFFSET, _SEQUENCE, *_TIMES}:
        raise HubError(
            HubCode.ARGUMENT_INVALID,
            "The filter is none of amqp.annotation.x-opt-offset, x-opt-sequence-number or x-opt-enqueued-time "
            "with > or >= and a value.",
        )
    value, inclusive = match["value"].strip(), match["relation"] == ">="
    if value.lower() == "@latest":
        return Latest(inclusive=inclusive)
    if not _NUMBER.fullmatch(value):
        raise HubError(HubCode.ARGUMENT_INVALID, "The filter's value is not a whole number, nor @latest.")
    number = int(value)
    if name in _TIMES:
        # Times are told in milliseconds: what is later than one of them begins with the next.
        milliseconds = max(0, number if inclusive else number + 1)
        return Since(_EPOCH + timedelta(milliseconds=min(milliseconds, _LAST_MILLISECOND)))
    return At(max(0, number if inclusive else number + 1))


async def first_offset(log: EventLog, partition: int, position: Position) -> int:
    """Find the offset at which a reader begins."""
    match position:
        case At(offset=offset):
            return offset
        case Since(time=time):
            return await log.first_enqueued(partition, time)
        case Latest(inclusive=inclusive):
            state = await log.state(partition)
            return max(state.begin, state.end - 1) if inclusive else state.end
        case _:
            assert_never(position)
