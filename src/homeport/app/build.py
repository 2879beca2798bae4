"""Puts the parts together: one function makes everything from a configuration. No globals, no import-time work."""

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from msgspec import Struct

from homeport.app.addresses import Addresses
from homeport.app.certificates import authorities, crl_site
from homeport.app.config import Config
from homeport.app.custom_allocators import custom_allocators
from homeport.app.directory import DataDirectory
from homeport.app.fault_lab import FaultedLinks, LabHubs
from homeport.app.hub_administration import LocalHubAdministration
from homeport.app.hub_event_hubs import LocalEventHubs
from homeport.app.hub_links import HubLinkDirectory
from homeport.app.hub_resources import HubPartsResource
from homeport.app.hub_revocation import HubRevocation
from homeport.app.hub_routing_admin import routing_resources
from homeport.app.hub_stores import hub_stores
from homeport.app.identity import ServiceIdentity, load_or_create
from homeport.app.issuing import make_issuing, open_custody, warn_of_authorities
from homeport.app.journal import journal_parts
from homeport.app.ops import Metrics
from homeport.app.presence import Presence
from homeport.app.processes import processes
from homeport.app.protection import Protection, protection
from homeport.app.provisioning import provisioning
from homeport.app.randomness import PooledRandom
from homeport.clock import Clock, SystemClock
from homeport.dps.administration import EventHubsResponder
from homeport.dps.assigner import Assigner
from homeport.dps.frontends.admin import EventHubsResource
from homeport.dps.hub_health import HubHealthMonitor
from homeport.dps.hubs import HubService, Share
from homeport.dps.policies import CurrentPolicies, seed_policies
from homeport.dps.signing_keys import SigningKeyService
from homeport.errors import Code, HomeportError
from homeport.faults import FaultLab
from homeport.hub.frontends.http_monitor import MonitorFrontEnd
from homeport.hub.frontends.site import hub_site
from homeport.hub.hubs import Hubs
from homeport.hub.registry import Registry
from homeport.hub.served_hub import ServedHub
from homeport.hublinks.revocation_http import HttpRevocationFetcher
from homeport.net.http_client import HttpClient
from homeport.net.sites import Sites
from homeport.security.policies import Random
from homeport.store import Stores, open_stores
from homeport.store.statistics import StatisticsKeeper

FIRST_HUB = "hub1"
FIRST_HUB_DONE = "first-hub"
"""The setting that says so: whoever unlinks the first hub shall not meet it again after a restart."""
_ROUNDS = 3
"""Another process can come first in making the hub, and then again in linking it."""
LEASE = timedelta(seconds=10)


class Parts(Struct, frozen=True, kw_only=True):
    """A server that is complete but listens to nobody yet."""

    addresses: Addresses
    clock: Clock
    identity: ServiceIdentity
    hubs: Hubs
    sites: Sites
    presence: Presence
    protection: Protection
    background: Sequence[Callable[[], Coroutine[Any, Any, None]]]
    """What must run beside the listeners, each until cancelled."""


@contextlib.asynccontextmanager
async def build(
    config: Config,
    directory: DataDirectory,
    *,
    clock: Clock | None = None,
    random: Random | None = None,
) -> AsyncIterator[Parts]:
    """Open the store and make every part; close them at the end.

    Raises DatabaseError or SchemaError if the store cannot be used, DirectoryError for an unusable master key.
    """
    clock, random = clock or SystemClock(), random or PooledRandom()
    custody = open_custody(config, directory, random)
    addresses = Addresses.of(config)
    async with contextlib.AsyncExitStack() as stack:
        # The directory's lock keeps every other server out of its file.
        stores = await stack.enter_async_context(
            open_stores(config.database or directory.database_file, alone=config.database is None)
        )
        identity = await load_or_create(stores.settings, now=clock.now(), random=random)
        await seed_policies(stores.policies, identity.policies, now=clock.now(), random=random)
        policies = CurrentPolicies(stores.policies, clock)
        await policies.refresh()
        joined = await stack.enter_async_context(
            processes(config, stores, id_scope=identity.id_scope, clock=clock, random=random)
        )
        lab = FaultLab(clock, random) if config.fault_lab else None
        metrics = Metrics(is_bus_connected=joined.is_bus_connected)
        fetcher = HttpRevocationFetcher()
        stack.push_async_callback(fetcher.close)
        trusted = authorities(stores, metrics, fetcher, limit=config.max_ca_certificates, clock=clock, random=random)
        storage_client = await stack.enter_async_context(HttpClient())
        hubs = Hubs(
            store=stores.hubs,
            stores=await stack.enter_async_context(
                hub_stores(stores, directory.path / "blobs", storage_client, clock=clock, random=random)
            ),
            revoked=HubRevocation(trusted.revocation, stores.ca_certificates).check,
            bus=joined.bus,
            clock=clock,
            random=random,
            peers=joined.peers,
            is_first=joined.is_first,
            opened=lambda served: opened(served),  # noqa: PLW0108 - defined below, out of what is made until then
            faults=lab,
        )
        sites = Sites(default=addresses.host_names[0])
        links = (HubLinkDirectory if lab is None else partial(FaultedLinks, lab))(
            local=lambda name: _registry(hubs, name),
            # With a fault lab every device goes the long way, on which the lab's outages lie.
            joining=lambda name: None if lab is not None or (hub := hubs.get(name)) is None else hub.joining,
            look_again=lambda: hubs.load(alone=False),
            clock=clock,
        )
        stack.push_async_callback(links.close)
        signing_keys = SigningKeyService(stores.settings, stores.allocation, random)
        allocators, webhooks = custom_allocators(config, signing_keys, clock)
        stack.push_async_callback(webhooks.close)
        health = HubHealthMonitor(
            hubs=stores.linked_hubs, links=links, bus=joined.bus, clock=clock, interval=config.hub_check_interval
        )
        metrics.watch_hubs(health.count)
        guard = await protection(config, stores.ip_filter, metrics.registry, clock=clock, random=random)
        assigner = Assigner(
            registrations=stores.registrations,
            hubs=stores.linked_hubs,
            links=links,
            issued=stores.issued_certificates,
            allocator=allocators,
            bus=joined.bus,
            clock=clock,
            random=random,
            owner=f"{os.getpid()}-{random(8).hex()}",
            lease=LEASE,
        )
        issuing = make_issuing(stores, custody, links, clock=clock, random=random)
        journal = await stack.enter_async_context(
            journal_parts(config, directory, addresses, stores, identity, clock=clock, random=random)
        )
        hub_service = HubService(
            hubs=stores.linked_hubs,
            registrations=stores.registrations,
            administration=LocalHubAdministration(hubs),
            health=health,
            bus=joined.bus,
            clock=clock,
        )
        presence: Presence | None = None

        def opened(served: ServedHub) -> None:
            """Serve a hub that was created or loaded, by its names, with a certificate that has them."""
            monitor = MonitorFrontEnd(
                hub=served.name,
                audience=served.audience,
                telemetry=served.telemetry,
                identity=served.registry.get,
                twin=served.twins.get,
                bus=joined.bus,
                clock=clock,
            )
            sites.add(hub_site(served, clock, http=(monitor,), screen=guard.screen))
            if presence is not None:
                presence.refresh()

        sites.add(
            crl_site(
                addresses.host_names,
                trusted,
                policies,
                guard,
                journal.administrators.find,
                clock=clock,
                random=random,
            )
        )
        service = provisioning(
            config,
            addresses,
            stores,
            identity,
            assigner,
            hub_service,
            issuing,
            metrics,
            guard,
            trusted,
            journal,
            hub_parts=(
                HubPartsResource(hubs, clock),
                EventHubsResource(EventHubsResponder(LocalEventHubs(hubs))),
                *routing_resources(hubs, clock, random),
            ),
            policies=policies,
            signing_keys=signing_keys,
            joint=links,
            lab=lab,
            lab_hubs=LabHubs(hubs, stores.linked_hubs),
            bus=joined.bus,
            clock=clock,
            random=random,
            is_bus_connected=joined.is_bus_connected,
        )
        sites.add(service.site)
        if config.database is None:
            # Nobody else has the file: what a dead predecessor held need not wait for its leases to end.
            await stores.registrations.release()
        await hubs.load(alone=config.database is None)
        await _first_hub(hub_service, hubs, stores, addresses)
        await warn_of_authorities(stores, custody, clock.now())
        presence = Presence(
            directory,
            identity,
            clock,
            host_names=addresses.host_names,
            admin_host=addresses.admin_host,
            hubs=lambda: (served.hub for served in hubs),
            policies=policies,
        )
        policies.when_changed(presence.policies_changed)
        yield Parts(
            addresses=addresses,
            clock=clock,
            identity=identity,
            hubs=hubs,
            sites=sites,
            presence=presence,
            protection=guard,
            background=(
                assigner.run,
                hubs.run,
                presence.keep_fresh,
                issuing.revocations.run,
                policies.keep_fresh,
                health.run,
                *guard.background,
                *service.background,
                *trusted.background,
                *journal.background,
                StatisticsKeeper(stores.database, clock).run,
                *(() if lab is None else (lab.run,)),
            ),
        )


async def _first_hub(service: HubService, hubs: Hubs, stores: Stores, addresses: Addresses) -> None:
    """Make and link the first hub of a new service, once in its life.

    Another process may be doing the same now, and one that died may have done half of it.
    """
    if await stores.settings.get(FIRST_HUB_DONE) is not None:
        return
    for _ in range(_ROUNDS):
        if any(hub.name == FIRST_HUB for hub in await stores.linked_hubs.all()):
            break
        made = hubs.get(FIRST_HUB)
        try:
            await service.create(FIRST_HUB, made.hub.host_names if made else [addresses.first_hub_host], Share())
        except HomeportError as error:
            if error.code is not Code.HUB_EXISTS:
                raise
    await hubs.load(alone=False)
    await stores.settings.put_if_absent(FIRST_HUB_DONE, b"")


def _registry(hubs: Hubs, name: str) -> Registry | None:
    served = hubs.get(name)
    return None if served is None else served.registry
