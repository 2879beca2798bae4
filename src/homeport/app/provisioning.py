"""Puts the provisioning service together; what it shares with the hubs is made in build.py."""

from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from msgspec import Struct

from homeport.app.addresses import Addresses
from homeport.app.certificates import Authorities
from homeport.app.config import Config
from homeport.app.identity import ServiceIdentity
from homeport.app.issuing import Issuing
from homeport.app.journal import JournalParts
from homeport.app.openapi import OpenApiFrontEnd
from homeport.app.ops import Metrics, OperationsFrontEnd
from homeport.app.protection import Protection
from homeport.app.watched_attempts import WatchedAttempts
from homeport.bus import Bus
from homeport.clock import Clock
from homeport.dps import engine as dps
from homeport.dps.administration import (
    AllocationResponder,
    AttemptsResponder,
    CountsResponder,
    ExportResponder,
    FaultHubs,
    FaultsResponder,
    HubsResponder,
    IpFilterResponder,
    PoliciesResponder,
    RegistrationsResponder,
)
from homeport.dps.allocation_service import AllocationService
from homeport.dps.assigner import Assigner
from homeport.dps.enrollments import EnrollmentService
from homeport.dps.faults import FaultedDeviceResponder
from homeport.dps.frontends.admin import (
    AllocationResource,
    AttemptsResource,
    CertificatesResource,
    CountsResource,
    ExportResource,
    FaultsResource,
    HubPart,
    HubsResource,
    IpFilterResource,
    PoliciesResource,
    RegistrationsResource,
)
from homeport.dps.frontends.site import dps_site
from homeport.dps.hubs import HubService
from homeport.dps.joint import JointHubs
from homeport.dps.policies import CurrentPolicies, PolicyService
from homeport.dps.responder import DeviceResponder
from homeport.dps.service_responder import ServiceResponder
from homeport.dps.signing_keys import SigningKeyService
from homeport.dps.what_if import WhatIf
from homeport.errors import HomeportError
from homeport.faults import FaultLab, Place
from homeport.net.sites import Site
from homeport.security.policies import Random
from homeport.store import Stores


class Provisioning(Struct, frozen=True, kw_only=True):
    """The site, and what must run beside it."""

    site: Site
    background: Sequence[Callable[[], Coroutine[Any, Any, None]]]


def provisioning(
    config: Config,
    addresses: Addresses,
    stores: Stores,
    identity: ServiceIdentity,
    assigner: Assigner,
    hub_service: HubService,
    issuing: Issuing,
    metrics: Metrics,
    guard: Protection,
    trusted: Authorities,
    journal: JournalParts,
    *,
    hub_parts: Sequence[HubPart],
    policies: CurrentPolicies,
    lab: FaultLab | None,
    lab_hubs: FaultHubs,
    signing_keys: SigningKeyService,
    joint: JointHubs,
    bus: Bus,
    is_bus_connected: Callable[[], bool] | None,
    clock: Clock,
    random: Random,
) -> Provisioning:
    """Make the provisioning service's site: engine, responders and front-ends over the store."""
    attempts = WatchedAttempts(stores.attempts, metrics.count, journal.refusals.note)
    engine = dps.Engine(
        id_scope=identity.id_scope,
        stores=dps.Stores(
            enrollments=stores.enrollments,
            registrations=stores.registrations,
            challenges=stores.challenges,
            attempts=attempts,
            hubs=stores.linked_hubs,
            certificates=stores.ca_certificates,
        ),
        assigner=assigner,
        bus=bus,
        clock=clock,
        random=random,
        issuer=issuing.issuer,
        patience=config.register_budget,
        time_limit=timedelta(seconds=config.operation_deadline),
        revocation=trusted.revocation,
        clock_shift=None if lab is None else partial(lab.shift, Place.PROVISIONING),
        joint=joint,
    )
    devices = (DeviceResponder if lab is None else partial(FaultedDeviceResponder, lab))(
        engine, clock, random, admission=guard.admission
    )
    enrollments = EnrollmentService(
        enrollments=stores.enrollments,
        registrations=stores.registrations,
        hubs=stores.linked_hubs,
        certificates=stores.ca_certificates,
    )

    async def is_healthy() -> bool:
        try:
            await stores.settings.get("service-identity")
        except HomeportError:
            return False
        return True

    site = dps_site(
        names=addresses.host_names,
        devices=devices,
        service=ServiceResponder(enrollments, clock, random),
        admin=(
            AttemptsResource(AttemptsResponder(attempts)),
            RegistrationsResource(RegistrationsResponder(enrollments)),
            HubsResource(HubsResponder(hub_service), hub_parts),
            CertificatesResource(trusted.responder),
            *issuing.resources,
            AllocationResource(
                AllocationResponder(
                    AllocationService(
                        enrollments=stores.enrollments,
                        registrations=stores.registrations,
                        settings=stores.allocation,
                        hubs=stores.linked_hubs,
                    ),
                    WhatIf(
                        enrollments=stores.enrollments,
                        registrations=stores.registrations,
                        hubs=stores.linked_hubs,
                    ),
                    signing_keys,
                )
            ),
            *journal.resources,
            PoliciesResource(PoliciesResponder(PolicyService(stores.policies, policies, clock, random))),
            CountsResource(CountsResponder(stores.enrollments, stores.registrations, clock)),
            ExportResource(ExportResponder(enrollments)),
            FaultsResource(FaultsResponder(lab, lab_hubs, stores.journal)),
            IpFilterResource(IpFilterResponder(stores.ip_filter, guard.ip_filter.refresh)),
        ),
        policies=policies,
        clock=clock,
        random=random,
        administrators=journal.administrators.find,
        journal=stores.journal,
        source=journal.source,
        http=(OperationsFrontEnd(metrics, is_healthy, lambda: guard.is_shedding, is_bus_connected), OpenApiFrontEnd()),
        public=issuing.http,
        admission=guard.admission,
        screen=guard.screen,
    )
    return Provisioning(site=site, background=(devices.refusals.run,))
