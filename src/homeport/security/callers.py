"""Who administers: a caller with a name, an address and rights; the roles administrators have, and their tokens.

How a request proves it is the front-ends' knowledge; what was done in whose name is the journal's.
"""

import base64
import hashlib
from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from homeport.security.policies import DpsRight

TOKEN_PREFIX = "hpt_"  # noqa: S105 - what tokens begin with, so that scanners find one that leaked
_TOKEN_BYTES = 32
MAX_TOKEN = 256


class Role(StrEnum):
    """What an administrator may do."""

    READER = "reader"
    OPERATOR = "operator"
    OWNER = "owner"

    @property
    def rights(self) -> frozenset[DpsRight]:
        """The rights of the role; each role has those of the one before."""
        return _RIGHTS[self]


_READER = frozenset({DpsRight.ENROLLMENT_READ, DpsRight.REGISTRATION_STATUS_READ, DpsRight.SERVICE_CONFIG_READ})
_OPERATOR = _READER | {DpsRight.ENROLLMENT_WRITE, DpsRight.REGISTRATION_STATUS_WRITE}
_RIGHTS = {Role.READER: _READER, Role.OPERATOR: _OPERATOR, Role.OWNER: frozenset(DpsRight)}


class CallerKind(StrEnum):
    POLICY = "policy"
    """A SAS token of a shared access policy."""
    ADMINISTRATOR = "administrator"
    """An administrator's bearer token."""
    DEVICE = "device"
    SYSTEM = "system"
    """The server itself."""
    STRANGER = "stranger"
    """Nobody who has proven anything; it has no rights."""


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks, from where, in which request: handed from the front-end that proved it to what changes things."""

    kind: CallerKind
    name: str
    rights: frozenset[DpsRight] = frozenset()
    role: Role | None = None
    """Of an administrator."""
    remote_address: str = ""
    tracking_id: str = ""

    def may(self, right: DpsRight) -> bool:
        """Tell whether the caller has the right; who may change the configuration may read it."""
        implied = right is DpsRight.SERVICE_CONFIG_READ and DpsRight.SERVICE_CONFIG in self.rights
        return implied or right in self.rights


SYSTEM = Caller(kind=CallerKind.SYSTEM, name="homeport")


def new_token(random: Callable[[int], bytes]) -> str:
    """Return a fresh administrator's token: 256 random bits, so a plain digest of it may be kept."""
    return TOKEN_PREFIX + base64.urlsafe_b64encode(random(_TOKEN_BYTES)).decode().rstrip("=")


def token_digest(token: str) -> bytes:
    """Return the form in which a token is kept and found."""
    return hashlib.sha256(token.strip().encode(errors="replace")).digest()


def parse_bearer(header: str) -> str | None:
    """Return the token of `Authorization: Bearer …`; None if the header is none, or the token has no sensible size."""
    scheme, _, token = header.strip().partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and 0 < len(token) <= MAX_TOKEN else None
