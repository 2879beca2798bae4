"""A person or program that administers with a token of its own, in place of a shared access policy's key."""

from datetime import datetime

from msgspec import Struct

from homeport.security.callers import Role
from homeport.values import hiding


@hiding("token_digest")
class Administrator(Struct, frozen=True, kw_only=True):
    """One administrator. Of the token only the digest is kept; it was told once, when it was made."""

    name: str
    role: Role
    token_digest: bytes
    created_at: datetime
    created_by: str
    renewed_at: datetime | None = None
    """When the token was replaced; None: it is the first one."""
    expires_at: datetime | None = None
    """None: the token does not expire."""
    last_used_at: datetime | None = None
    """To the minute."""
