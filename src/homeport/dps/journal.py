"""What provisioning needs of the journal beyond the entries that stores write: reading, proof, retention, refusals."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from homeport.dps.model import Attempt, Entry, Kind, Outcome, Recorded, Wanted, device
from homeport.paging import Page
from homeport.security.callers import SYSTEM, Caller, CallerKind
from homeport.security.chain import Broken, Head

WINDOW = timedelta(seconds=2)
"""For how long refusals are gathered; what a process has gathered when it dies is lost."""
TOLD_APART = 20
"""Kinds of refusals in one window that get an entry each; the others share one."""


class SignedHead(Protocol):
    """A head and who vouches for it."""

    @property
    def head(self) -> Head: ...

    @property
    def signature(self) -> bytes: ...

    @property
    def public_key(self) -> bytes: ...


class Journal(Protocol):
    """The chain of entries. Reading includes everything that was written before, by whichever process."""

    async def record(self, entries: Sequence[Entry]) -> None:
        """Write entries that tell of no other write; they are durable when this returns."""
        ...

    async def last(self) -> int:
        """Return the number of the last entry that is chained; 0 if there is none."""
        ...

    async def read(self, *, after: int, limit: int) -> Sequence[Recorded]:
        """Return what is chained behind this number, in order."""
        ...

    async def page(
        self, wanted: Wanted, *, after: str | None, limit: int, newest_first: bool = True
    ) -> Page[Recorded]: ...

    async def head(self) -> SignedHead: ...

    async def verify(self, *, last: int | None = None) -> tuple[Broken | None, int, SignedHead]:
        """Follow the chain or its `last` entries; returns what is broken, how many were read, and the head."""
        ...

    async def prune(self, *, before: datetime, up_to: int, note: Callable[[int, bytes, int], Entry]) -> int:
        """Drop some of the entries older than `before`, none behind `up_to`; `note` makes the entry that says so.

        Returns how many went; 0: no more are that old.
        """
        ...

    async def catch_up(self) -> None:
        """Chain what another process left behind."""
        ...

    def on_growth(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call the listener when this process has chained something; returns how to stop that."""
        ...


def pruned(last: int, digest: bytes, count: int, *, by: Caller = SYSTEM) -> Entry:
    """Tell that entries were dropped because of their age, and how the chain begins now."""
    data = {"lastDropped": last, "hash": digest.hex(), "entries": count}
    return Entry(kind=Kind.AUDIT_PRUNED, subject="audit", by=by, data=data)


class Refusals:
    """Gathers refusals, so that a flood of them is a few entries with a number in them, not a flood of entries.

    In each window, calls with the same registration id, address and code are told together; kinds beyond
    `TOLD_APART` share one entry. Memory is bounded by that, whatever comes.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[str, str, int], Attempt] = {}
        self._counts: dict[tuple[str, str, int], int] = {}
        self._others = 0

    def note(self, attempt: Attempt) -> None:
        """Take a refused attempt into account; others are passed over."""
        if attempt.outcome is not Outcome.REFUSED:
            return
        key = (attempt.registration_id.lower(), attempt.remote_address, attempt.code or 0)
        if key in self._counts:
            self._counts[key] += 1
        elif len(self._counts) < TOLD_APART:
            self._first[key], self._counts[key] = attempt, 1
        else:
            self._others += 1

    def take(self) -> list[Entry]:
        """Return what was gathered, and begin anew."""
        entries = [_refusal(self._first[key], count) for key, count in self._counts.items()]
        if self._others:
            data = {"calls": self._others, "reason": "more devices were refused than are told one by one"}
            entries.append(Entry(kind=Kind.DEVICE_REFUSED, subject="devices", by=SYSTEM, data=data))
        self._first, self._counts, self._others = {}, {}, 0
        return entries


def _refusal(attempt: Attempt, count: int) -> Entry:
    return Entry(
        kind=Kind.DEVICE_REFUSED,
        subject=device(attempt.registration_id[:128]),
        by=Caller(
            kind=CallerKind.DEVICE,
            name=attempt.registration_id[:128],
            remote_address=attempt.remote_address,
            tracking_id=attempt.tracking_id,
        ),
        data={
            "registrationId": attempt.registration_id[:128],
            "transport": attempt.transport,
            "errorCode": attempt.code,
            "reason": attempt.reason[:500],
            "calls": count,
        },
    )
