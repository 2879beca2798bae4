"""The journal in SQL: entries are written with what they tell of, and chained right behind it, in batches.

An entry is as durable as the change it was written with. Its link in the chain follows within `_PATIENCE`: whichever
process comes first holds the head's row, so that many processes make one chain. Entries of one device are chained in
their order: who changes something has seen what came before it, so its entry's number is the larger one.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from homeport.clock import Clock
from homeport.dps.model import Entry, Recorded, Wanted, document_of, raw_document_of
from homeport.paging import Page
from homeport.security.chain import (
    GENESIS,
    Broken,
    Head,
    SigningKey,
    Verifier,
    canonical,
    is_signed,
    link,
)
from homeport.store.database import Database, DatabaseError, Parameters, Transaction
from homeport.store.journal_rows import COLUMNS, conditions_of, head_of, plainly_canonical, recorded_of, unlike
from homeport.store.rows import key_of, to_micros
from homeport.store.settings import SettingsStore
from homeport.wire import format_time

_log = logging.getLogger(__name__)

KEY_SETTING = "audit-key"
_BATCH = 500
_PATIENCE = 0.1
"""Seconds an entry may wait for others before it is chained with them: each batch costs a commit and a signature."""
_READ = 500
PRUNED_AT_ONCE = 5000
"""So that nobody waits long for the writer."""

_ADD = "INSERT INTO journal_pending (at, kind, subject_key, data) VALUES (:at, :kind, :subject_key, :data)"
_ANY_PENDING = "SELECT 1 FROM journal_pending LIMIT 1"
_PENDING = "SELECT id, at, kind, subject_key, data FROM journal_pending ORDER BY id LIMIT :limit"
# By id, not up to one: another process's entry with a smaller id may have been committed meanwhile.
_DROP_PENDING = "DELETE FROM journal_pending WHERE id = :id"

_FOUND_HEAD = """
    INSERT INTO journal_head (id, seq, hash, anchor_seq, anchor_hash, signature)
    VALUES (1, 0, :genesis, 0, :genesis, :signature) ON CONFLICT (id) DO NOTHING"""
_HEAD = "SELECT seq, hash, anchor_seq, anchor_hash, signature FROM journal_head WHERE id = 1"
_LOCKED_HEAD = f"{_HEAD} /*postgres FOR UPDATE*/"
_SET_HEAD = """
    UPDATE journal_head SET seq = :seq, hash = :hash, anchor_seq = :anchor_seq, anchor_hash = :anchor_hash,
    signature = :signature WHERE id = 1"""
_CHAIN = """
    INSERT INTO journal (seq, at, kind, subject_key, data, hash)
    VALUES (:seq, :at, :kind, :subject_key, :data, :hash)"""

_AFTER = f"SELECT {COLUMNS} FROM journal WHERE seq > :after ORDER BY seq LIMIT :limit"
_HASH = "SELECT hash FROM journal WHERE seq = :seq"
_FIRST_SINCE = "SELECT seq FROM journal WHERE at >= :since ORDER BY at, seq LIMIT 1"
_PRUNE = "DELETE FROM journal WHERE seq <= :last"
_NUMBER = 18


class SignedHead(Struct, frozen=True, kw_only=True):
    """A head and who vouches for it."""

    head: Head
    signature: bytes
    public_key: bytes

    @property
    def is_genuine(self) -> bool:
        return is_signed(self.head, self.signature, self.public_key)


class SqlJournal:
    """The journal of one Homeport. `append` is called inside the transaction of what is told."""

    def __init__(self, database: Database, settings: SettingsStore, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._key: SigningKey | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sealing: asyncio.Future[tuple[int, SigningKey]] | None = None
        self._grown: list[Callable[[], None]] = []
        self._seen = Head()

    # ------------------------------------------------------------ writing

    async def append(self, transaction: Transaction, entry: Entry) -> None:
        """Write the entry, in the transaction that makes it true."""
        await transaction.execute(_ADD, self._row(entry))
        self._chain_soon()

    async def record(self, entries: Sequence[Entry]) -> None:
        """Write entries that tell of no other write."""
        rows = [self._row(entry) for entry in entries]
        await self._database.write(lambda transaction: transaction.execute_many(_ADD, rows))
        self._chain_soon()

    def on_growth(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call the listener when this process has chained something; returns how to stop that."""
        self._grown.append(listener)
        return lambda: self._grown.remove(listener)

    async def flush(self) -> None:
        """Chain everything that was written before, by whichever process."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._sealing is not None or await self._database.fetch_one(_ANY_PENDING) is not None:
            sealing = self._sealing or self._seal()
            await asyncio.wait((sealing,))
            sealing.result()

    async def close(self) -> None:
        """Chain what can be chained; after an error the next process does."""
        try:
            await self.flush()
        except DatabaseError as error:
            _log.warning("entries of the journal wait to be chained: %s", error)

    def _row(self, entry: Entry) -> Parameters:
        now = self._clock.now()
        at = format_time(now)
        subject, data = entry.subject, plainly_canonical(raw_document_of(entry, at))
        if data is None:
            document = document_of(entry, at)
            subject, data = document["subject"], canonical(document)
        return {
            "at": to_micros(now),
            "kind": entry.kind.value,
            "subject_key": key_of(subject),
            "data": data.decode(),
        }

    def _chain_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._sealing is None:
            try:
                self._sealing = self._seal()
            except Exception as error:  # a closed database refuses at once: the next process chains what is left
                _log.warning("entries of the journal wait to be chained: %s", error)
        else:
            self._chain_soon()

    def _seal(self) -> asyncio.Future[tuple[int, SigningKey]]:
        sealing = self._sealing = self._database.start(self._chain)
        sealing.add_done_callback(self._sealed)
        return sealing

    def _sealed(self, future: asyncio.Future[tuple[int, SigningKey]]) -> None:
        self._sealing = None
        if future.cancelled():
            return
        if (error := future.exception()) is not None:
            _log.error("entries of the journal wait to be chained: %s", error)
            return
        count, self._key = future.result()
        if count == _BATCH:
            self._begin()
        if count:
            for listener in self._grown:
                listener()

    async def _chain(self, transaction: Transaction) -> tuple[int, SigningKey]:
        """Take what is pending into the chain; returns how many entries that were."""
        head, key = await self._locked_head(transaction)
        rows = await transaction.fetch_all(_PENDING, {"limit": _BATCH})
        if not rows:
            return 0, key
        seq, previous = head.seq, head.hash
        chained: list[Parameters] = []
        for _, at, kind, subject_key, data in rows:
            seq += 1
            previous = link(previous, seq, data.encode())
            values = {"seq": seq, "at": at, "kind": kind, "subject_key": subject_key, "data": data, "hash": previous}
            chained.append(values)
        await transaction.execute_many(_CHAIN, chained)
        await transaction.execute_many(_DROP_PENDING, [{"id": row[0]} for row in rows])
        grown = Head(seq=seq, hash=previous, anchor_seq=head.anchor_seq, anchor_hash=head.anchor_hash)
        await self._set_head(transaction, grown, key)
        return len(rows), key

    async def _locked_head(self, transaction: Transaction) -> tuple[Head, SigningKey]:
        """Return the head, which nobody else moves until this transaction ends."""
        key = await self._signing_key(transaction)
        row = await transaction.fetch_one(_LOCKED_HEAD)
        if row is None:
            await transaction.execute(_FOUND_HEAD, {"genesis": GENESIS, "signature": key.sign(Head())})
            row = await transaction.fetch_one(_LOCKED_HEAD)
        assert row is not None
        return head_of(row), key

    async def _signing_key(self, transaction: Transaction) -> SigningKey:
        if self._key is None:
            secret = await self._settings.put_if_absent_in(transaction, KEY_SETTING, SigningKey.new_secret())
            # Not kept before this has been read from what is committed: the transaction may yet be undone.
            return SigningKey(secret)
        return self._key

    async def _set_head(self, transaction: Transaction, head: Head, key: SigningKey) -> None:
        values: Parameters = {
            "seq": head.seq,
            "hash": head.hash,
            "anchor_seq": head.anchor_seq,
            "anchor_hash": head.anchor_hash,
            "signature": key.sign(head),
        }
        await transaction.execute(_SET_HEAD, values)

    # ------------------------------------------------------------ reading

    async def head(self) -> SignedHead:
        """Return the chain's end, everything included that was written before."""
        await self.flush()
        row = await self._database.fetch_one(_HEAD)
        if row is None:
            await self._database.write(self._locked_head)
            row = await self._database.fetch_one(_HEAD)
        if self._key is None and (secret := await self._settings.get(KEY_SETTING)) is not None:
            self._key = SigningKey(secret)
        assert row is not None
        assert self._key is not None
        return SignedHead(head=head_of(row), signature=bytes(row[4]), public_key=self._key.public_key)

    async def last(self) -> int:
        """Return the number of the last entry that is chained."""
        row = await self._database.fetch_one(_HEAD)
        return 0 if row is None else row[0]

    async def read(self, *, after: int, limit: int) -> Sequence[Recorded]:
        """Return what is chained behind this number, in order."""
        rows = await self._database.fetch_all(_AFTER, {"after": after, "limit": limit})
        return [recorded_of(row) for row in rows]

    async def page(self, wanted: Wanted, *, after: str | None, limit: int, newest_first: bool = True) -> Page[Recorded]:
        """Return entries that are wanted, everything included that was written before."""
        await self.flush()
        conditions, values = conditions_of(wanted)
        if after is not None:
            conditions.append("seq < :after" if newest_first else "seq > :after")
            values["after"] = int(after) if after.isdecimal() and len(after) <= _NUMBER else 0
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = "DESC" if newest_first else "ASC"
        # Only fragments of this module are joined; what was asked for goes in as parameters.
        sql = f"SELECT {COLUMNS} FROM journal{where} ORDER BY seq {order} LIMIT :limit"
        rows = await self._database.fetch_all(sql, {**values, "limit": limit + 1})
        return Page(
            items=[recorded_of(row) for row in rows[:limit]],
            after=str(rows[limit - 1][0]) if len(rows) > limit else None,
        )

    async def catch_up(self) -> None:
        """Chain what a process that died, or another one's end, left behind."""
        if self._sealing is None and await self._database.fetch_one(_ANY_PENDING) is not None:
            await self.flush()

    # ------------------------------------------------------------ proof and retention

    async def verify(self, *, last: int | None = None) -> tuple[Broken | None, int, SignedHead]:
        """Follow the chain, or its `last` entries; returns what is broken, how many were read, and the head.

        What is appended meanwhile is not looked at.
        """
        signed = await self.head()
        head = signed.head
        if not signed.is_genuine:
            return Broken(seq=0, reason="the head is not signed by this service's key"), 0, signed
        seq, previous = head.anchor_seq, head.anchor_hash
        if last is not None and head.seq - last > seq:
            seq = head.seq - last
            row = await self._database.fetch_one(_HASH, {"seq": seq})
            if row is None:
                return Broken(seq=seq, reason=f"entry {seq} is missing"), 0, signed
            previous = bytes(row[0])
        verifier, count = Verifier(seq=seq, previous=previous), 0
        while verifier.seq < head.seq:
            rows = await self._database.fetch_all(_AFTER, {"after": verifier.seq, "limit": _READ})
            rows = [row for row in rows if row[0] <= head.seq]
            for row in rows:
                if (broken := verifier.feed(row[0], row[4].encode(), bytes(row[5])) or unlike(row)) is not None:
                    return broken, count, signed
                count += 1
            if not rows:
                break
            await asyncio.sleep(0)
        if (broken := verifier.finish(head)) is not None:
            return broken, count, signed
        beyond = await self._database.fetch_one("SELECT max(seq) FROM journal")
        early = await self._database.fetch_one("SELECT min(seq) FROM journal")
        if early is not None and early[0] is not None and early[0] <= head.anchor_seq:
            return Broken(seq=early[0], reason="it stands before the beginning of the chain"), count, signed
        if beyond is not None and (beyond[0] or 0) > (await self.last()):
            return Broken(seq=beyond[0], reason="it stands behind the head"), count, signed
        if (broken := await self._compare_with_seen(head)) is not None:
            return broken, count, signed
        self._seen = head
        return None, count, signed

    async def _compare_with_seen(self, head: Head) -> Broken | None:
        """Compare with the head that this process saw last: a database that was set back has lost entries."""
        seen = self._seen
        if head.seq < seen.seq:
            return Broken(seq=head.seq + 1, reason=f"this server has seen entries up to {seen.seq}; they are missing")
        if seen.seq > head.anchor_seq:
            row = await self._database.fetch_one(_HASH, {"seq": seen.seq})
            if row is None or bytes(row[0]) != seen.hash:
                return Broken(seq=seen.seq, reason="it is not the entry that this server has seen")
        return None

    async def prune(self, *, before: datetime, up_to: int, note: Callable[[int, bytes, int], Entry]) -> int:
        """Drop up to `PRUNED_AT_ONCE` entries older than `before`, none behind the number `up_to`; returns how many.

        The chain then begins behind the last one dropped, which the head names; `note` makes the entry that tells
        so of that one's number, its hash, and how many went.
        """
        await self.flush()

        async def work(transaction: Transaction) -> int:
            head, key = await self._locked_head(transaction)
            row = await transaction.fetch_one(_FIRST_SINCE, {"since": to_micros(before)})
            # The last entry always stays.
            first_kept = head.seq if row is None else row[0]
            last = min(first_kept - 1, up_to, head.seq - 1, head.anchor_seq + PRUNED_AT_ONCE)
            if last <= head.anchor_seq:
                return 0
            found = await transaction.fetch_one(_HASH, {"seq": last})
            if found is None:
                raise LookupError(f"entry {last} of the journal is missing")  # not to be hidden by a new beginning
            dropped = await transaction.execute(_PRUNE, {"last": last})
            anchored = Head(seq=head.seq, hash=head.hash, anchor_seq=last, anchor_hash=bytes(found[0]))
            await self._set_head(transaction, anchored, key)
            await transaction.execute(_ADD, self._row(note(last, bytes(found[0]), dropped)))
            return dropped

        dropped = await self._database.write(work)
        if dropped:
            self._chain_soon()
        return dropped
