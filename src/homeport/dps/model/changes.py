"""Entries of the journal: what an administrator changed, told without secrets, and how a registration ended.

To audit a change of something new: give it a `Kind`, and in the store's transaction that writes it
`await self._journal.append(transaction, change(Kind.…, "collection/id", by, before=…, after=…))`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from msgspec import Struct

from homeport.dps.model.journal import Entry, Kind, printable
from homeport.dps.model.registration import Registration, RegistrationStatus
from homeport.security.callers import Caller, CallerKind
from homeport.values import hidden_fields

_PASSED_OVER = frozenset({"etag", "created_at", "updated_at"})
_LONGEST = 200
"""Longer texts are told by their digest."""


def change(kind: Kind, subject: str, by: Caller, *, before: Any = None, after: Any = None, **data: Any) -> Entry:
    """Tell of a change from one value to another; None: there was none before, or there is none after.

    Members that the value hides are secrets: only that they changed is told. Objects (twins) are
    told by their size, certificates and other long values by their digest.
    """
    old, new = _members(before), _members(after)
    changes = {}
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) == new.get(name):
            continue
        secret = any(isinstance(side.get(name), _Secret) for side in (old, new))
        told = {"secret": True} if secret else {}
        for side, members in (("before", old), ("after", new)):
            if name in members and not secret:
                told[side] = _shown(members[name])
        changes[name] = told
    return Entry(
        kind=kind,
        subject=subject,
        by=by,
        etag_before=getattr(before, "etag", None),
        etag_after=getattr(after, "etag", None),
        data={"changes": changes, **data} if changes else data,
    )


def outcome(registration: Registration) -> Entry | None:
    """Tell how the registration's operation ended; None while it goes on."""
    operation, home = registration.operation, registration.assignment
    data: dict[str, Any] = {"registrationId": registration.registration_id, "operationId": operation.id}
    if registration.enrollment.group_id is not None:
        data["enrollmentGroupId"] = registration.enrollment.group_id
    match registration.status:
        case RegistrationStatus.ASSIGNED if home is not None:
            kind = Kind.DEVICE_REASSIGNED if operation.moves else _BY_SUBSTATUS[str(registration.substatus)]
            data |= {"assignedHub": home.hub, "deviceId": home.device_id, "substatus": registration.substatus}
            if operation.leaves is not None:
                data |= {"previousHub": operation.leaves.hub, "previousDeviceId": operation.leaves.device_id}
        case RegistrationStatus.FAILED:
            kind = Kind.DEVICE_FAILED
            if registration.failure is not None:
                data |= {"errorCode": int(registration.failure.code), "reason": registration.failure.message}
        case RegistrationStatus.DISABLED:
            kind = Kind.DEVICE_DISABLED
        case _:
            return None
    return Entry(
        kind=kind,
        subject=device(registration.registration_id),
        by=Caller(
            kind=CallerKind.DEVICE,
            name=registration.registration_id,
            remote_address=operation.remote_address,
            tracking_id=operation.tracking_id,
        ),
        etag_after=registration.etag,
        data=data,
    )


def device(registration_id: str) -> str:
    """Return the subject under which everything about one device is told, in its order."""
    return f"devices/{registration_id}"


_BY_SUBSTATUS = {
    "initialAssignment": Kind.DEVICE_ASSIGNED,
    "deviceDataMigrated": Kind.DEVICE_REASSIGNED,
    "deviceDataReset": Kind.DEVICE_REASSIGNED,
    "reprovisionedToInitialAssignment": Kind.DEVICE_REGISTERED,
    "None": Kind.DEVICE_REGISTERED,
}


class _Secret:
    """A value that may be compared, not told."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Secret) and other._value == self._value

    __hash__ = None  # type: ignore[assignment]  # it is compared, never kept in a set


def _members(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a value by their path, in the spelling of JSON."""
    if value is None:
        return {}
    found: dict[str, Any] = {}
    hidden = hidden_fields(type(value))
    for field in value.__struct_fields__:
        if not prefix and field in _PASSED_OVER:
            continue
        member = getattr(value, field)
        first, *rest = field.split("_")
        name = prefix + first + "".join(word.title() for word in rest)
        if member is None:
            continue
        if field in hidden:
            found[name] = _Secret(member)
        elif isinstance(member, Struct):
            found[name] = type(member).__name__
            found |= _members(member, f"{name}.")
        else:
            found[name] = member
    return found


def _shown(value: Any) -> Any:
    match value:
        case None | bool() | int():
            return value
        case Enum():
            return str(value.value)
        case datetime():
            return value.isoformat()
        case str():
            return _text(value)
        case bytes():
            return {"sha256": hashlib.sha256(value).hexdigest(), "bytes": len(value)}
        case Mapping():
            return {"members": len(value)}
        case Sequence() | frozenset() | set():
            shown = [_shown(item) for item in (sorted(value) if isinstance(value, frozenset | set) else value)]
            return shown if len(shown) <= 50 else [*shown[:50], f"and {len(shown) - 50} more"]
        case _:
            return printable(str(value))[:_LONGEST]


def _text(text: str) -> Any:
    if "://" in text:
        # Webhooks carry their keys behind the question mark.
        text = text.partition("?")[0].partition("#")[0]
        scheme, _, rest = text.partition("://")
        authority, slash, path = rest.partition("/")
        text = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    encoded = text.encode(errors="replace")
    if len(encoded) > _LONGEST:
        return {"sha256": hashlib.sha256(encoded).hexdigest(), "bytes": len(encoded)}
    return printable(text)
