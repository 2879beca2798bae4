"""Administrators: who may do what with which token."""

from datetime import datetime

from msgspec import UNSET, UnsetType

from homeport.dps.administrators import AdministratorService
from homeport.dps.model import Administrator
from homeport.dps.reply import Reply, success
from homeport.dps.service_responder import read
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller, Role
from homeport.wire import dps_journal as wire
from homeport.wire import format_time, parse_time


class AdministratorsResponder:
    def __init__(self, administrators: AdministratorService) -> None:
        self._administrators = administrators

    async def me(self, by: Caller) -> Reply:
        """Say who asks, and what they may do."""
        document = wire.Me(
            kind=by.kind.value, name=by.name, role=by.role.value if by.role else UNSET, rights=sorted(by.rights)
        )
        return success(200, document, by.tracking_id)

    async def list(self, by: Caller) -> Reply:
        found = await self._administrators.all()
        return success(200, [_document(administrator) for administrator in found], by.tracking_id)

    async def get(self, name: str, by: Caller) -> Reply:
        return success(200, _document(await self._administrators.get(name)), by.tracking_id)

    async def put(self, name: str, body: bytes, by: Caller) -> Reply:
        """Make an administrator; the answer holds the token, this once."""
        document = read(wire.administrator_creation, body)
        made, token = await self._administrators.create(
            name, _role(document.role), _time(document.expires_date_time_utc), by
        )
        return success(201, _document(made, token), by.tracking_id)

    async def patch(self, name: str, body: bytes, by: Caller) -> Reply:
        document = read(wire.administrator_change, body)
        role = _role(document.role) if isinstance(document.role, str) else None
        changed = await self._administrators.update(name, role, _time(document.expires_date_time_utc), by)
        return success(200, _document(changed), by.tracking_id)

    async def renew(self, name: str, body: bytes, by: Caller) -> Reply:
        """Give a fresh token, which the answer holds, this once."""
        expires_at = None
        if body.strip():
            expires_at = _time(read(wire.administrator_change, body).expires_date_time_utc)
        changed, token = await self._administrators.renew(name, expires_at, by)
        return success(200, _document(changed, token), by.tracking_id)

    async def delete(self, name: str, by: Caller) -> Reply:
        await self._administrators.revoke(name, by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        known = ", ".join(role.value for role in Role)
        raise HomeportError(Code.INVALID_REQUEST, f"role is none of {known}.") from None


def _time(text: str | UnsetType | None) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        return parse_time(text)
    except (ValueError, OverflowError):
        raise HomeportError(Code.INVALID_REQUEST, "expiresDateTimeUtc is not a time in ISO 8601.") from None


def _document(administrator: Administrator, token: str | None = None) -> wire.Administrator:
    def told(time: datetime | None) -> str | UnsetType:
        return UNSET if time is None else format_time(time)

    return wire.Administrator(
        name=administrator.name,
        role=administrator.role.value,
        created_date_time_utc=format_time(administrator.created_at),
        created_by=administrator.created_by,
        renewed_date_time_utc=told(administrator.renewed_at),
        expires_date_time_utc=told(administrator.expires_at),
        last_used_date_time_utc=told(administrator.last_used_at),
        token=UNSET if token is None else token,
    )
