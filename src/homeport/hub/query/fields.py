"""Which fields a source has, and how they are spelt (contract hub.md 8.2)."""

from collections.abc import Mapping, Sequence

from homeport.hub.query.errors import QueryError
from homeport.hub.query.syntax import Source

_TWIN_FIELDS = (
    "deviceId", "moduleId", "etag", "status", "statusReason", "statusUpdateTime", "connectionState",
    "lastActivityTime", "cloudToDeviceMessageCount", "authenticationType", "x509Thumbprint", "version", "tags",
    "properties", "capabilities", "deviceScope", "parentScopes", "modelId", "configurations", "deviceEtag",
)  # fmt: skip
_JOB_FIELDS = (
    "deviceId", "moduleId", "jobId", "jobType", "status", "startTimeUtc", "endTimeUtc", "createdDateTimeUtc",
    "lastUpdatedDateTimeUtc", "outcome", "error",
)  # fmt: skip
_NESTED = ("primaryThumbprint", "secondaryThumbprint", "iotEdge", "desired", "reported")
_FIELDS: Mapping[Source, Mapping[str, str]] = {
    Source.DEVICES: {name.lower(): name for name in _TWIN_FIELDS},
    Source.MODULES: {name.lower(): name for name in _TWIN_FIELDS},
    Source.JOBS: {name.lower(): name for name in _JOB_FIELDS},
}
_SECOND = {name.lower(): name for name in _NESTED}
_WITH_FIXED_MEMBERS = frozenset({"properties", "capabilities", "x509Thumbprint"})


def spelt(source: Source, path: Sequence[str], place: int) -> tuple[str, ...]:
    """Give fixed fields their own spelling, without the source's name in front of them; the rest stays as it is.

    `place` is where in the query the path stands. Raises QueryError for what the source does not have.
    """
    fields = _FIELDS[source]
    front = source.value.split(".")
    if len(path) > len(front) and [name.lower() for name in path[: len(front)]] == front:
        path = path[len(front) :]
    first = fields.get(path[0].lower())
    if first is None:
        raise QueryError(f"'{path[0][:40]}' at character {place} is no field; there are {', '.join(fields.values())}.")
    if len(path) > 1 and first in _WITH_FIXED_MEMBERS:
        return (first, _SECOND.get(path[1].lower(), path[1]), *path[2:])
    return (first, *path[1:])
