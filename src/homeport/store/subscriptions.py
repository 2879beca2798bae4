"""Event subscriptions in SQL: what they are, how far their delivery is, what was given up."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.dps.model import (
    DEFAULT_MAX_ATTEMPTS,
    DeadLetter,
    Entry,
    Filter,
    Kind,
    Mode,
    Progress,
    Standing,
    Subscription,
    change,
)
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller
from homeport.store.cached import CachedTable
from homeport.store.database import Database, Parameters, Transaction
from homeport.store.journal import SqlJournal
from homeport.store.rows import Codec, from_micros, key_of, to_micros

_KEPT_LETTERS = 10_000
_REASON = 500

_ALL = "SELECT etag, data FROM event_subscriptions ORDER BY name_key"
_GET = "SELECT etag, data FROM event_subscriptions WHERE name_key = :name_key"
_CREATE = """
    INSERT INTO event_subscriptions (name_key, etag, data, delivered) VALUES (:name_key, :etag, :data, :delivered)
    ON CONFLICT (name_key) DO NOTHING"""
_REPLACE = "UPDATE event_subscriptions SET etag = :etag, data = :data WHERE name_key = :name_key"
_DELETE = "DELETE FROM event_subscriptions WHERE name_key = :name_key"
_DELETE_LETTERS = "DELETE FROM event_dead_letters WHERE name_key = :name_key"

_STANDING = """
    SELECT delivered, last_success_at, last_failure_at, last_failure,
    (SELECT count(*) FROM event_dead_letters WHERE name_key = :name_key)
    FROM event_subscriptions WHERE name_key = :name_key"""
_CLAIM = """
    UPDATE event_subscriptions SET lease_owner = :owner, lease_until = :until
    WHERE name_key = :name_key AND (lease_until IS NULL OR lease_until <= :now) RETURNING delivered"""
_ADVANCE = """
    UPDATE event_subscriptions SET delivered = :delivered, lease_until = :until,
    last_success_at = COALESCE(:success_at, last_success_at),
    last_failure_at = COALESCE(:failure_at, last_failure_at), last_failure = COALESCE(:failure, last_failure)
    WHERE name_key = :name_key AND lease_owner = :owner"""
_RELEASE = """
    UPDATE event_subscriptions SET lease_owner = NULL, lease_until = NULL
    WHERE name_key = :name_key AND lease_owner = :owner"""
# Whoever works for it loses the lease, and what it would note.
_REPLAY_FROM = """
    UPDATE event_subscriptions SET delivered = :after, lease_owner = NULL, lease_until = NULL
    WHERE name_key = :name_key"""

_GIVE_UP = """
    INSERT INTO event_dead_letters (name_key, seq, at, attempts, reason, replay)
    VALUES (:name_key, :seq, :at, :attempts, :reason, 0)
    ON CONFLICT (name_key, seq) DO UPDATE
    SET at = excluded.at, attempts = excluded.attempts, reason = excluded.reason, replay = 0"""
_TRIM = """
    DELETE FROM event_dead_letters WHERE name_key = :name_key AND seq <= (
        SELECT seq FROM event_dead_letters WHERE name_key = :name_key ORDER BY seq DESC LIMIT 1 OFFSET :kept)"""
_LETTERS = """
    SELECT seq, at, attempts, reason, replay FROM event_dead_letters
    WHERE name_key = :name_key AND seq > :after AND replay >= :replay ORDER BY seq LIMIT :limit"""
_FORGET = "DELETE FROM event_dead_letters WHERE name_key = :name_key AND seq = :seq"
_REPLAY = "UPDATE event_dead_letters SET replay = 1 WHERE name_key = :name_key AND replay = 0"


class SubscriptionRow(Struct, kw_only=True, omit_defaults=True):
    name: str
    url: str
    types: list[str] = []
    subject_prefix: str = ""
    mode: Mode = Mode.STRUCTURED
    secret: str | None = None
    enabled: bool = True
    ca_certificates: str | None = None
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    created_at: datetime


codec = Codec(SubscriptionRow)


class SqlSubscriptionStore:
    """SubscriptionStore over a Database."""

    def __init__(self, database: Database, journal: SqlJournal) -> None:
        self._database = database
        self._journal = journal
        self._subscriptions = CachedTable(database, "event_subscriptions", _load)

    async def all(self) -> Sequence[Subscription]:
        return await self._subscriptions.content()

    async def put(self, subscription: Subscription, *, create: bool, delivered: int, by: Caller) -> None:
        values: Parameters = {
            "name_key": key_of(subscription.name),
            "etag": subscription.etag,
            "data": codec.encode(_row(subscription)),
            "delivered": delivered,
        }

        async def work(transaction: Transaction) -> None:
            row = await transaction.fetch_one(_GET, values)
            if not await transaction.execute(_CREATE if create else _REPLACE, values):
                if create:
                    raise HomeportError(Code.CONFLICT, f"An event subscription '{subscription.name}' exists already.")
                raise _missing(subscription.name)
            await self._subscriptions.changed(transaction)
            entry = change(
                Kind.SUBSCRIPTION_CREATED if create else Kind.SUBSCRIPTION_UPDATED,
                _subject(subscription.name),
                by,
                before=None if row is None else _subscription(*row),
                after=subscription,
            )
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    async def delete(self, name: str, *, by: Caller) -> None:
        key = {"name_key": key_of(name)}

        async def work(transaction: Transaction) -> None:
            row = await transaction.fetch_one(_GET, key)
            if row is None or not await transaction.execute(_DELETE, key):
                raise _missing(name)
            await transaction.execute(_DELETE_LETTERS, key)
            await self._subscriptions.changed(transaction)
            entry = change(Kind.SUBSCRIPTION_DELETED, _subject(name), by, before=_subscription(*row))
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    # ------------------------------------------------------------ delivery

    async def standing(self, name: str) -> Standing:
        row = await self._database.fetch_one(_STANDING, {"name_key": key_of(name)})
        if row is None:
            raise _missing(name)
        delivered, success_at, failure_at, failure, letters = row
        return Standing(
            delivered=delivered,
            dead_letters=letters,
            last_success_at=from_micros(success_at),
            last_failure_at=from_micros(failure_at),
            last_failure=failure or "",
        )

    async def claim(self, name: str, *, owner: str, now: datetime, lease: timedelta) -> int | None:
        values: Parameters = {
            "name_key": key_of(name),
            "owner": owner,
            "now": to_micros(now),
            "until": to_micros(now + lease),
        }
        row = await self._database.write(lambda transaction: transaction.fetch_one(_CLAIM, values))
        return None if row is None else row[0]

    async def advance(self, name: str, *, owner: str, progress: Progress, until: datetime) -> bool:
        values: Parameters = {
            "name_key": key_of(name),
            "owner": owner,
            "delivered": progress.delivered,
            "until": to_micros(until),
            "success_at": to_micros(progress.success_at),
            "failure_at": to_micros(progress.failure_at),
            "failure": progress.failure[:_REASON] or None,
        }
        return await self._database.execute(_ADVANCE, values) > 0

    async def release(self, name: str, *, owner: str) -> None:
        await self._database.execute(_RELEASE, {"name_key": key_of(name), "owner": owner})

    async def replay_from(self, name: str, *, after: int, entry: Entry) -> None:
        async def work(transaction: Transaction) -> None:
            if not await transaction.execute(_REPLAY_FROM, {"name_key": key_of(name), "after": after}):
                raise _missing(name)
            await self._journal.append(transaction, entry)

        await self._database.write(work)

    # ------------------------------------------------------------ what was given up

    async def give_up(self, name: str, letter: DeadLetter) -> None:
        values: Parameters = {
            "name_key": key_of(name),
            "seq": letter.seq,
            "at": to_micros(letter.at),
            "attempts": letter.attempts,
            "reason": letter.reason[:_REASON],
            "kept": _KEPT_LETTERS,
        }

        async def work(transaction: Transaction) -> None:
            await transaction.execute(_GIVE_UP, values)
            await transaction.execute(_TRIM, values)

        await self._database.write(work)

    async def dead_letters(self, name: str, *, after: int, limit: int, only_replayed: bool) -> Sequence[DeadLetter]:
        values: Parameters = {
            "name_key": key_of(name),
            "after": after,
            "limit": limit,
            "replay": int(only_replayed),
        }
        return [
            DeadLetter(seq=seq, at=from_micros(at), attempts=attempts, reason=reason, replay=bool(replay))
            for seq, at, attempts, reason, replay in await self._database.fetch_all(_LETTERS, values)
        ]

    async def forget(self, name: str, seq: int) -> None:
        await self._database.execute(_FORGET, {"name_key": key_of(name), "seq": seq})

    async def replay_letters(self, name: str, *, entry: Entry) -> int:
        async def work(transaction: Transaction) -> int:
            count = await transaction.execute(_REPLAY, {"name_key": key_of(name)})
            await self._journal.append(transaction, entry)
            return count

        return await self._database.write(work)


async def _load(transaction: Transaction) -> Sequence[Subscription]:
    return [_subscription(*row) for row in await transaction.fetch_all(_ALL)]


def _subscription(etag: str, data: str) -> Subscription:
    row = codec.decode(data)
    return Subscription(
        name=row.name,
        url=row.url,
        filter=Filter(types=tuple(row.types), subject_prefix=row.subject_prefix),
        mode=row.mode,
        secret=row.secret,
        enabled=row.enabled,
        ca_certificates=row.ca_certificates,
        max_attempts=row.max_attempts,
        etag=etag,
        created_at=row.created_at,
    )


def _row(subscription: Subscription) -> SubscriptionRow:
    return SubscriptionRow(
        name=subscription.name,
        url=subscription.url,
        types=list(subscription.filter.types),
        subject_prefix=subscription.filter.subject_prefix,
        mode=subscription.mode,
        secret=subscription.secret,
        enabled=subscription.enabled,
        ca_certificates=subscription.ca_certificates,
        max_attempts=subscription.max_attempts,
        created_at=subscription.created_at,
    )


def _subject(name: str) -> str:
    return f"eventSubscriptions/{name}"


def _missing(name: str) -> HomeportError:
    return HomeportError(Code.NOT_FOUND, f"There is no event subscription '{name}'.")
