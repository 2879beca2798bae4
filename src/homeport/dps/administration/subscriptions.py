"""Event subscriptions: the webhooks that are told of lifecycle events."""

from datetime import datetime

from msgspec import UNSET, UnsetType

from homeport.clock import Clock
from homeport.dps.events import SubscriptionService, cloud_event
from homeport.dps.events.service import check_secret
from homeport.dps.identifiers import Random
from homeport.dps.journal import Journal
from homeport.dps.model import (
    DEFAULT_MAX_ATTEMPTS,
    TYPE_PREFIX,
    DeadLetter,
    Filter,
    Mode,
    Subscription,
)
from homeport.dps.reply import Reply, success
from homeport.dps.service_responder import Paging, read
from homeport.errors import Code, HomeportError
from homeport.paging import encode_token
from homeport.security.callers import Caller
from homeport.security.webhooks import new_secret
from homeport.wire import dps_journal as wire
from homeport.wire import format_time


class SubscriptionsResponder:
    def __init__(
        self, subscriptions: SubscriptionService, journal: Journal, *, source: str, clock: Clock, random: Random
    ) -> None:
        self._subscriptions = subscriptions
        self._journal = journal
        self._source = source
        self._clock = clock
        self._random = random

    async def list(self, by: Caller) -> Reply:
        found = [await self._document(each) for each in await self._subscriptions.all()]
        return success(200, found, by.tracking_id)

    async def get(self, name: str, by: Caller) -> Reply:
        return success(200, await self._document(await self._subscriptions.get(name)), by.tracking_id)

    async def put(self, name: str, body: bytes, by: Caller) -> Reply:
        """Make or replace; the answer tells the secret if this call set it."""
        document = read(wire.subscription_request, body)
        given = document.secret
        is_new = isinstance(given, str)

        def build(stored: Subscription | None) -> Subscription:
            nonlocal is_new
            if isinstance(given, str):
                secret: str | None = check_secret(given)
            elif given is None:
                secret = None
            else:
                is_new = stored is None
                secret = new_secret(self._random) if stored is None else stored.secret
            authorities = document.ca_certificates
            if isinstance(authorities, UnsetType):
                authorities = None if stored is None else stored.ca_certificates
            attempts = document.max_attempts
            return Subscription(
                name=name if stored is None else stored.name,
                url=document.url,
                filter=Filter(types=tuple(map(_type, document.types)), subject_prefix=document.subject_prefix),
                mode=_mode(document.mode),
                secret=secret,
                enabled=document.enabled,
                ca_certificates=authorities or None,
                max_attempts=DEFAULT_MAX_ATTEMPTS if isinstance(attempts, UnsetType) else attempts,
                etag="",
                created_at=self._clock.now() if stored is None else stored.created_at,
            )

        made = await self._subscriptions.put(name, build, by)
        shown = await self._document(made, secret=made.secret if is_new else None)
        return success(200, shown, by.tracking_id)

    async def delete(self, name: str, by: Caller) -> Reply:
        await self._subscriptions.delete(name, by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)

    async def test(self, name: str, by: Caller) -> Reply:
        delivered, detail = await self._subscriptions.test(name)
        return success(200, wire.Tried(delivered=delivered, detail=detail), by.tracking_id)

    async def replay(self, name: str, body: bytes, by: Caller) -> Reply:
        after = read(wire.replay, body).after if body.strip() else None
        if isinstance(after, int) and after < 0:
            raise HomeportError(Code.INVALID_REQUEST, "after is not a whole number from 0 up.")
        count = await self._subscriptions.replay(name, after if isinstance(after, int) else None, by)
        return success(200, wire.Replayed(events=count), by.tracking_id)

    async def dead_letters(self, name: str, paging: Paging, by: Caller) -> Reply:
        """Answer with a page of what was given up, each with its event as far as the journal has it."""
        query = f"dead letters of {name.lower()}"
        after = paging.after(query) or "0"
        if not (after.isascii() and after.isdecimal() and len(after) < 19):
            raise HomeportError(Code.INVALID_REQUEST, "The continuation token is not one of this server.")
        letters = await self._subscriptions.dead_letters(name, after=int(after), limit=paging.limit)
        documents = [await self._letter(letter) for letter in letters]
        reply = success(200, documents, by.tracking_id)
        if len(letters) < paging.limit:
            return reply
        headers = {"x-ms-continuation": encode_token(str(letters[-1].seq), query)}
        return Reply(status=200, body=reply.body, tracking_id=reply.tracking_id, headers=headers)

    async def _letter(self, letter: DeadLetter) -> wire.DeadLetter:
        found = await self._journal.read(after=letter.seq - 1, limit=1)
        event = cloud_event(found[0], self._source) if found and found[0].seq == letter.seq else UNSET
        return wire.DeadLetter(
            seq=letter.seq,
            given_up_date_time_utc=format_time(letter.at),
            attempts=letter.attempts,
            reason=letter.reason,
            replaying=letter.replay,
            event=event,
        )

    async def _document(self, subscription: Subscription, *, secret: str | None = None) -> wire.Subscription:
        standing, behind = await self._subscriptions.standing(subscription)

        def told(time: datetime | None) -> str | UnsetType:
            return UNSET if time is None else format_time(time)

        return wire.Subscription(
            name=subscription.name,
            url=subscription.url.partition("?")[0],
            types=list(subscription.filter.types),
            subject_prefix=subscription.filter.subject_prefix,
            mode=subscription.mode.value,
            enabled=subscription.enabled,
            signed=subscription.secret is not None,
            max_attempts=subscription.max_attempts,
            etag=subscription.etag,
            created_date_time_utc=format_time(subscription.created_at),
            delivered=standing.delivered,
            behind=behind,
            dead_letters=standing.dead_letters,
            last_success_date_time_utc=told(standing.last_success_at),
            last_failure_date_time_utc=told(standing.last_failure_at),
            last_failure=standing.last_failure or UNSET,
            secret=secret or UNSET,
        )


def _type(text: str) -> str:
    return text if text.startswith((TYPE_PREFIX, "*")) else TYPE_PREFIX + text


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise HomeportError(Code.INVALID_REQUEST, "mode is none of structured, binary.") from None
