"""Administrators: who may do what with which token (contract dps.md 2.4 leaves bearer tokens to the server)."""

import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from homeport.clock import Clock
from homeport.dps.identifiers import Random
from homeport.dps.model import Administrator
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller, CallerKind, Role, new_token, token_digest
from homeport.values import replace

FIRST_OWNER = "owner"
"""Whoever has the start token, which is a file of the data directory."""
MAX_ADMINISTRATORS = 1000
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9\-_.@]{0,62}[A-Za-z0-9])?")
_NOTED_EVERY = timedelta(minutes=1)


class AdministratorStore(Protocol):
    """Administrators by name, found regardless of case."""

    async def all(self) -> Sequence[Administrator]:
        """Return every administrator in name order; a change by any process is seen by the next call."""
        ...

    async def put(self, administrator: Administrator, *, create: bool, by: Caller) -> None:
        """Raise CONFLICT when creating over an existing name, NOT_FOUND when replacing what is not there."""
        ...

    async def delete(self, name: str, *, by: Caller) -> None:
        """Raise NOT_FOUND."""
        ...

    async def used(self, name: str, at: datetime) -> None:
        """Take note that the token was used; no change that is journaled."""
        ...


class AdministratorService:
    """Makes, changes and removes administrators, and finds who has a token.

    `first_owner` is the digest of the start token; its holder is an owner named `owner`, in no list.
    """

    def __init__(
        self, *, administrators: AdministratorStore, clock: Clock, random: Random, first_owner: bytes | None = None
    ) -> None:
        self._administrators = administrators
        self._clock = clock
        self._random = random
        self._first_owner = first_owner

    async def all(self) -> Sequence[Administrator]:
        """Return every administrator in name order."""
        return await self._administrators.all()

    async def get(self, name: str) -> Administrator:
        """Raise NOT_FOUND."""
        for administrator in await self._administrators.all():
            if administrator.name.lower() == name.lower():
                return administrator
        raise HomeportError(Code.NOT_FOUND, "There is no administrator of that name.")

    async def create(self, name: str, role: Role, expires_at: datetime | None, by: Caller) -> tuple[Administrator, str]:
        """Make an administrator; return it with its token, which nobody can tell again.

        Raise CONFLICT if the name is taken, INVALID_REQUEST for one that cannot be.
        """
        if _NAME.fullmatch(name) is None or name.lower() == FIRST_OWNER:
            raise HomeportError(
                Code.INVALID_REQUEST,
                "An administrator's name is 1 to 64 letters, digits or any of - _ . @, begins and ends with a letter "
                f"or digit, and is not '{FIRST_OWNER}', which is whoever has the start token.",
            )
        self._check_expiry(expires_at)
        if len(await self._administrators.all()) >= MAX_ADMINISTRATORS:
            raise HomeportError(Code.INVALID_REQUEST, f"There are {MAX_ADMINISTRATORS} administrators already.")
        token = new_token(self._random)
        administrator = Administrator(
            name=name,
            role=role,
            token_digest=token_digest(token),
            created_at=self._clock.now(),
            created_by=by.name,
            expires_at=expires_at,
        )
        await self._administrators.put(administrator, create=True, by=by)
        return administrator, token

    async def update(self, name: str, role: Role | None, expires_at: datetime | None, by: Caller) -> Administrator:
        """Change role or expiry; None leaves a value as it is. Raise NOT_FOUND or INVALID_REQUEST."""
        self._check_expiry(expires_at)
        stored = await self.get(name)
        changed = replace(stored, role=role or stored.role, expires_at=expires_at or stored.expires_at)
        await self._administrators.put(changed, create=False, by=by)
        return changed

    async def renew(self, name: str, expires_at: datetime | None, by: Caller) -> tuple[Administrator, str]:
        """Give a fresh token, with this expiry; the old one is worth nothing from now on. Raise NOT_FOUND."""
        self._check_expiry(expires_at)
        stored = await self.get(name)
        token = new_token(self._random)
        changed = replace(stored, token_digest=token_digest(token), renewed_at=self._clock.now(), expires_at=expires_at)
        await self._administrators.put(changed, create=False, by=by)
        return changed, token

    async def revoke(self, name: str, by: Caller) -> None:
        """Remove an administrator. Raise NOT_FOUND."""
        await self._administrators.delete(name, by=by)

    async def find(self, token: str) -> Caller | str:
        """Return who has the token, or why it is worth nothing (in words without it)."""
        digest, now = token_digest(token), self._clock.now()
        if self._first_owner is not None and hmac.compare_digest(digest, self._first_owner):
            return _caller(FIRST_OWNER, Role.OWNER)
        found = None
        for administrator in await self._administrators.all():
            if hmac.compare_digest(administrator.token_digest, digest):
                found = administrator
        if found is None:
            return "no administrator has this token"
        if found.expires_at is not None and found.expires_at <= now:
            return f"the token of {found.name} expired on {found.expires_at:%Y-%m-%d %H:%M} UTC"
        if found.last_used_at is None or now - found.last_used_at >= _NOTED_EVERY:
            await self._administrators.used(found.name, now)
        return _caller(found.name, found.role)

    def _check_expiry(self, expires_at: datetime | None) -> None:
        if expires_at is not None and expires_at <= self._clock.now():
            raise HomeportError(Code.INVALID_REQUEST, "expiresDateTimeUtc lies in the past.")


def _caller(name: str, role: Role) -> Caller:
    return Caller(kind=CallerKind.ADMINISTRATOR, name=name, role=role, rights=role.rights)
