"""Who is signed in, and how often somebody may try. Values and arithmetic; time and randomness are arguments."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from homeport.values import hiding

if TYPE_CHECKING:
    from homeport.portal.context import PortalApi

IDLE = timedelta(hours=12)
LIFE = timedelta(days=7)
MAX_SESSIONS = 100
ATTEMPTS = 8
"""Failed attempts that may come at once; one more each `REFILL`."""
REFILL = timedelta(seconds=10)
MAX_TOKEN = 256

NewId = Callable[[], str]
"""Returns an unguessable, URL-safe text."""


@hiding("api")
class Entrance(Struct, frozen=True, kw_only=True):
    """Who comes in: an administrator, and the API as that administrator's token opens it."""

    name: str
    role: str
    """`reader`, `operator` or `owner`."""
    api: "PortalApi"

    @property
    def may_enroll(self) -> bool:
        """Whether to offer what changes enrollments and registrations; the API judges in the end."""
        return self.role in {"operator", "owner"}

    @property
    def may_configure(self) -> bool:
        """Whether to offer what changes hubs, CA certificates, subscriptions and administrators."""
        return self.role == "owner"


@dataclass(slots=True, kw_only=True)
class Session:
    """One signed-in browser. `notice` and `secrets` wait for the next page that shows them, and are gone then."""

    id: str = field(repr=False)
    who: Entrance
    csrf: str = field(repr=False)
    created_at: datetime
    seen_at: datetime
    notice: str | None = None
    secrets: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    """By the path of the page that shows them once: label and secret."""

    def take_notice(self) -> str | None:
        notice, self.notice = self.notice, None
        return notice

    def take_secrets(self, path: str) -> dict[str, str]:
        found = self.secrets.pop(path, {})
        self.secrets.clear()  # secrets for a page that was never opened do not linger
        return found


class Sessions:
    """The open sessions of this process; a restart ends them all."""

    def __init__(self, new_id: NewId) -> None:
        self._new_id = new_id
        self._open: dict[str, Session] = {}

    def open(self, now: datetime, who: Entrance) -> Session:
        """Begin a session; the longest unused one makes room when there are too many."""
        for stale in [session for session in self._open.values() if _is_over(session, now)]:
            del self._open[stale.id]
        if len(self._open) >= MAX_SESSIONS:
            del self._open[min(self._open.values(), key=lambda session: session.seen_at).id]
        session = Session(id=self._new_id(), who=who, csrf=self._new_id(), created_at=now, seen_at=now)
        self._open[session.id] = session
        return session

    def find(self, session_id: str, now: datetime) -> Session | None:
        """Return the session and take note of its use; None if it is unknown or has expired."""
        session = self._open.get(session_id)
        if session is None:
            return None
        if _is_over(session, now):
            del self._open[session_id]
            return None
        session.seen_at = now
        return session

    def is_open(self, session: Session, now: datetime) -> bool:
        """Tell whether this session still counts, without using it."""
        return self._open.get(session.id) is session and not _is_over(session, now)

    def close(self, session: Session) -> None:
        self._open.pop(session.id, None)


def _is_over(session: Session, now: datetime) -> bool:
    return now - session.seen_at > IDLE or now - session.created_at > LIFE


class Doorkeeper:
    """Compares tokens in constant time, and only so often: failures are counted for everybody together.

    The token cannot be guessed in any number of attempts; the limit keeps the log short and the machine quiet.
    """

    def __init__(self, token: str | bytes) -> None:
        """Admit who has this token; it must not be empty."""
        secret = token.encode() if isinstance(token, str) else token
        secret = secret.strip()
        if not secret:
            raise ValueError("the portal's token is empty")
        self._digest = _digest(secret)
        self._failures = 0.0
        self._counted_at: datetime | None = None

    @property
    def name(self) -> str:
        """A public name of this installation, the same after a restart; it does not help to find the token."""
        return hashlib.sha256(b"homeport portal cookie" + self._digest).hexdigest()[:12]

    def seconds_to_wait(self, now: datetime) -> int:
        """Return how long nobody may try; 0 if one may."""
        self._forget(now)
        over = self._failures - (ATTEMPTS - 1)
        return 0 if over <= 0 else max(1, round(over * REFILL.total_seconds()))

    def admits(self, token: str) -> bool:
        """Tell whether this is the token."""
        offered = token.strip()
        return len(offered) <= MAX_TOKEN and hmac.compare_digest(_digest(offered.encode()), self._digest)

    def count_failure(self, now: datetime) -> None:
        """Note that a token was offered that opens nothing."""
        self._forget(now)
        self._failures += 1

    def _forget(self, now: datetime) -> None:
        if self._counted_at is not None:
            passed = max(timedelta(0), now - self._counted_at)
            self._failures = max(0.0, self._failures - passed / REFILL)
        self._counted_at = now


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
