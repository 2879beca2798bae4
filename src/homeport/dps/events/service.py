"""The administrator's questions about event subscriptions: make, change, test, list, replay."""

import re
from collections.abc import Callable, Sequence

from homeport.clock import Clock
from homeport.dps.events.cloud_event import make_event
from homeport.dps.events.ports import SubscriptionStore, Webhook
from homeport.dps.events.post import Delivered, handshake, post
from homeport.dps.identifiers import Random, new_etag
from homeport.dps.journal import Journal
from homeport.dps.model import DeadLetter, Entry, Kind, Standing, Subscription
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller
from homeport.security.webhooks import SECRET_PREFIX, is_callable, is_secret
from homeport.security.x509 import CertificateError, check_authorities
from homeport.values import replace
from homeport.wire import format_time

MAX_SUBSCRIPTIONS = 64
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9\-_.]{0,62}[A-Za-z0-9])?")
_MAX_FILTERS = 64
_MAX_ATTEMPTS = 1000


class SubscriptionService:
    """Answers administrators. `origin` is the name that webhooks are asked to accept; `changed` wakes the delivery."""

    def __init__(
        self,
        *,
        subscriptions: SubscriptionStore,
        journal: Journal,
        webhook: Webhook,
        origin: str,
        source: str,
        changed: Callable[[], None],
        clock: Clock,
        random: Random,
    ) -> None:
        self._subscriptions = subscriptions
        self._journal = journal
        self._webhook = webhook
        self._origin = origin
        self._source = source
        self._changed = changed
        self._clock = clock
        self._random = random

    async def all(self) -> Sequence[Subscription]:
        """Return every subscription in name order."""
        return await self._subscriptions.all()

    async def get(self, name: str) -> Subscription:
        """Raise NOT_FOUND."""
        for subscription in await self._subscriptions.all():
            if subscription.name.lower() == name.lower():
                return subscription
        raise HomeportError(Code.NOT_FOUND, "There is no event subscription of that name.")

    async def standing(self, subscription: Subscription) -> tuple[Standing, int]:
        """Return how the delivery stands, and how many entries of the journal it is behind."""
        standing = await self._subscriptions.standing(subscription.name)
        return standing, max(0, await self._journal.last() - standing.delivered)

    async def put(self, name: str, build: Callable[[Subscription | None], Subscription], by: Caller) -> Subscription:
        """Make or replace a subscription; `build` makes it of the stored one. The webhook must agree to it first.

        A new one is told of what happens from now on. Raise INVALID_REQUEST.
        """
        known = [each for each in await self._subscriptions.all() if each.name.lower() == name.lower()]
        stored = known[0] if known else None
        wanted = replace(build(stored), etag=new_etag(self._random))
        if stored is None and len(await self._subscriptions.all()) >= MAX_SUBSCRIPTIONS:
            raise HomeportError(Code.INVALID_REQUEST, f"There are {MAX_SUBSCRIPTIONS} event subscriptions already.")
        _check(wanted)
        if wanted.enabled and (stored is None or stored.url != wanted.url or not stored.enabled):
            problem = await handshake(self._webhook, wanted, self._origin)
            if problem is not None:
                raise HomeportError(Code.INVALID_REQUEST, f"The webhook does not agree: {problem}.")
        await self._subscriptions.put(wanted, create=stored is None, delivered=await self._journal.last(), by=by)
        self._changed()
        return wanted

    async def delete(self, name: str, by: Caller) -> None:
        """Raise NOT_FOUND."""
        await self._subscriptions.delete(name, by=by)

    async def test(self, name: str) -> tuple[bool, str]:
        """Send an event of the type `io.homeport.eventSubscription.test` now, once; return whether it was taken."""
        subscription = await self.get(name)
        now = self._clock.now()
        event = make_event(
            f"test-{self._random(8).hex()}",
            self._source,
            "eventSubscription.test",
            f"eventSubscriptions/{subscription.name}",
            format_time(now),
            {"text": "Homeport can reach this webhook."},
        )
        result = await post(self._webhook, subscription, event, seconds=int(now.timestamp()))
        match result:
            case Delivered():
                return True, "the webhook took the event"
            case _:
                return False, result.reason

    async def dead_letters(self, name: str, *, after: int, limit: int) -> Sequence[DeadLetter]:
        """Return what was given up, in the order of the entries. Raise NOT_FOUND."""
        subscription = await self.get(name)
        return await self._subscriptions.dead_letters(subscription.name, after=after, limit=limit, only_replayed=False)

    async def replay(self, name: str, after: int | None, by: Caller) -> int:
        """Tell of everything behind the entry `after` once more, or (None) of what was given up. Raise NOT_FOUND.

        Returns how many letters, or at most how many events, are in line again.
        """
        subscription = await self.get(name)

        def entry(**data: int) -> Entry:
            subject = f"eventSubscriptions/{subscription.name}"
            return Entry(kind=Kind.SUBSCRIPTION_REPLAYED, subject=subject, by=by, data=data)

        if after is None:
            count = await self._subscriptions.replay_letters(subscription.name, entry=entry())
        else:
            last = await self._journal.last()
            after = min(after, last)
            count = last - after
            await self._subscriptions.replay_from(subscription.name, after=after, entry=entry(after=after))
        self._changed()
        return count


def check_secret(text: str) -> str:
    """Return the secret: `whsec_` and the Base64 of 24 to 64 bytes. Raises HomeportError INVALID_REQUEST."""
    if not is_secret(text):
        raise HomeportError(
            Code.INVALID_REQUEST, f"secret is not '{SECRET_PREFIX}' followed by the Base64 of 24 to 64 bytes."
        )
    return text


def _check(subscription: Subscription) -> None:
    if _NAME.fullmatch(subscription.name) is None:
        raise HomeportError(
            Code.INVALID_REQUEST, "A subscription's name is 1 to 64 letters, digits or any of - _ . (not at the ends)."
        )
    if not is_callable(subscription.url):
        raise HomeportError(Code.INVALID_REQUEST, "url is not an https address, nor an http one on the loopback.")
    named = (*subscription.filter.types, subscription.filter.subject_prefix)
    if len(named) > _MAX_FILTERS or any(len(text) > 256 for text in named):
        raise HomeportError(Code.INVALID_REQUEST, f"types are at most {_MAX_FILTERS}, each of at most 256 characters.")
    if not 1 <= subscription.max_attempts <= _MAX_ATTEMPTS:
        raise HomeportError(Code.INVALID_REQUEST, f"maxAttempts is not between 1 and {_MAX_ATTEMPTS}.")
    if subscription.ca_certificates is not None:
        try:
            check_authorities(subscription.ca_certificates)
        except CertificateError as error:
            raise HomeportError(Code.INVALID_REQUEST, f"caCertificates: {error}.") from None
