"""What documents of the hub are made of: JSON objects and times."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

JsonObject = Mapping[str, Any]

NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""A time that has not come yet; `format_time` knows it."""


def format_time(moment: datetime | None) -> str:
    """Write an aware UTC time as every hub document does: seven fraction digits and `Z` (contract hub.md 4.1).

    What has never happened (None, NEVER) is written without a fraction.
    """
    if moment is None or moment == NEVER:
        return "0001-01-01T00:00:00Z"
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "0Z"
