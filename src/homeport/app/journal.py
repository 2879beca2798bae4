"""Puts together what stands on the journal: the audit, events and their subscriptions, administrators."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from msgspec import Struct

from homeport.app.addresses import Addresses
from homeport.app.config import Config
from homeport.app.directory import DataDirectory
from homeport.app.identity import ServiceIdentity
from homeport.clock import Clock
from homeport.dps.administration import AdministratorsResponder, AuditResponder, SubscriptionsResponder
from homeport.dps.administrators import AdministratorService
from homeport.dps.events import EventDelivery, SubscriptionService, Tools
from homeport.dps.frontends.admin import AdministratorsResource, AdminResource, AuditResource, SubscriptionsResource
from homeport.dps.journal import WINDOW, Journal, Refusals, pruned
from homeport.hublinks.event_webhook import HttpWebhook
from homeport.security.callers import token_digest
from homeport.security.policies import Random
from homeport.store import Stores

_log = logging.getLogger(__name__)

_PRUNE_EVERY = 3600.0


class JournalParts(Struct, frozen=True, kw_only=True):
    """What the provisioning service's site takes of it."""

    source: str
    """Of the events (CloudEvents 3.1)."""
    administrators: AdministratorService
    refusals: Refusals
    resources: Sequence[AdminResource]
    background: Sequence[Callable[[], Coroutine[Any, Any, None]]]


@asynccontextmanager
async def journal_parts(
    config: Config,
    directory: DataDirectory,
    addresses: Addresses,
    stores: Stores,
    identity: ServiceIdentity,
    *,
    clock: Clock,
    random: Random,
) -> AsyncIterator[JournalParts]:
    """Make the parts; the connections to webhooks are closed at the end."""
    source = f"urn:homeport:{identity.id_scope}"
    webhook = HttpWebhook()
    delivery = EventDelivery(
        Tools(
            journal=stores.journal,
            subscriptions=stores.subscriptions,
            webhook=webhook,
            source=source,
            clock=clock,
            random=random,
            owner=f"{os.getpid()}-{random(8).hex()}",
        )
    )
    administrators = AdministratorService(
        administrators=stores.administrators,
        clock=clock,
        random=random,
        first_owner=token_digest(directory.portal_token()),
    )
    subscriptions = SubscriptionService(
        subscriptions=stores.subscriptions,
        journal=stores.journal,
        webhook=webhook,
        origin=addresses.host_names[0],
        source=source,
        changed=delivery.wake,
        clock=clock,
        random=random,
    )
    keeper = JournalKeeper(stores.journal, clock, retention_days=config.audit_retention_days)
    try:
        yield JournalParts(
            source=source,
            administrators=administrators,
            refusals=keeper.refusals,
            resources=(
                AuditResource(AuditResponder(stores.journal)),
                AdministratorsResource(AdministratorsResponder(administrators)),
                SubscriptionsResource(
                    SubscriptionsResponder(subscriptions, stores.journal, source=source, clock=clock, random=random)
                ),
            ),
            background=(delivery.run, keeper.run),
        )
    finally:
        await webhook.close()


class JournalKeeper:
    """Writes what was refused, a window at a time, and drops what is older than the retention."""

    def __init__(self, journal: Journal, clock: Clock, *, retention_days: int) -> None:
        self.refusals = Refusals()
        self._journal = journal
        self._clock = clock
        self._retention = timedelta(days=retention_days)

    async def run(self) -> None:
        """Go on until cancelled; what was gathered by then is written."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write_refusals())
                if self._retention:
                    tasks.create_task(self._drop_old())
        finally:
            await self._write()

    async def _write_refusals(self) -> None:
        while True:
            await asyncio.sleep(WINDOW.total_seconds())
            await self._write()

    async def _write(self) -> None:
        if entries := self.refusals.take():
            try:
                await self._journal.record(entries)
            except Exception:
                _log.exception("%d entries about refusals were lost", len(entries))

    async def _drop_old(self) -> None:
        while True:
            try:
                before = self._clock.now() - self._retention
                while count := await self._journal.prune(before=before, up_to=await self._journal.last(), note=pruned):
                    _log.info("%d entries of the audit were older than the retention and are dropped", count)
            except Exception:
                _log.exception("old entries of the audit could not be dropped")
            await asyncio.sleep(_PRUNE_EVERY)
