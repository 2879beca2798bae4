"""A provisioning service over a database in memory, with hubs that can be told to fail."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from homeport.app.issuing import Issuing, make_issuing
from homeport.bus import LocalBus
from homeport.custody import Custody, MasterKeys
from homeport.dps.administration import (
    AllocationResponder,
    AttemptsResponder,
    CertificatesResponder,
    CountsResponder,
    ExportResponder,
    HubsResponder,
    RegistrationsResponder,
)
from homeport.dps.allocation_service import AllocationService
from homeport.dps.assigner import Assigner
from homeport.dps.ca_certificates import CaCertificateService
from homeport.dps.engine import Engine, Stores
from homeport.dps.enrollments import EnrollmentService
from homeport.dps.expiry import ExpiryWatch
from homeport.dps.frontends.admin import (
    AdminResource,
    AllocationResource,
    AttemptsResource,
    CertificatesResource,
    CountsResource,
    ExportResource,
    HubsResource,
    RegistrationsResource,
)
from homeport.dps.hub_health import HubHealthMonitor
from homeport.dps.hubs import HubService
from homeport.dps.model import (
    Attestation,
    CallContext,
    CustomAllocation,
    DeviceClaim,
    DeviceSpec,
    EnrollmentGroup,
    HubDevice,
    IndividualEnrollment,
    LinkedHub,
    SasEvidence,
    SymmetricKeyAttestation,
    ThumbprintCredential,
    TwinContent,
    TwinWrite,
)
from homeport.dps.responder import DeviceResponder
from homeport.dps.revocation import CrlKeeper, CrlShelf, Responders, Revocation
from homeport.dps.service_responder import ServiceResponder
from homeport.dps.signing_keys import SigningKeyService
from homeport.dps.what_if import WhatIf
from homeport.security import sas
from homeport.security.revocation import RevocationError
from homeport.store.stores import Stores as Database
from homeport.store.stores import open_stores
from homeport.values import replace

SCOPE = "0ne00111111"
EPOCH = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)
GROUP_KEY = bytes(range(64))
KEY = bytes(range(32))
MASTER_KEY = base64.b64encode(bytes(range(32, 64))).decode()
OTHER_KEY = bytes(range(100, 132))
MAX_CA_CERTIFICATES = 5


class PowerCut(BaseException):
    """The process dies here."""


@dataclass
class ManualClock:
    """A clock that is moved by hand; sleeping takes real, but little, time."""

    time: datetime = EPOCH

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def advance(self, **span: float) -> None:
        self.time += timedelta(**span)


@dataclass
class FakeHub:
    """A hub's registry in memory. `trouble` is asked before (and, told so, after) every call and may raise."""

    devices: dict[str, HubDevice] = field(default_factory=dict)
    specs: dict[str, DeviceSpec] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda _: None
    after: Callable[[str], None] = lambda _: None
    delay: float = 0.0

    async def provision(self, spec: DeviceSpec) -> None:
        await self._enter("provision")
        known = self.devices.get(spec.device_id)
        twin = spec.twin
        if known is not None:
            if spec.twin_write is TwinWrite.IF_CREATED:
                twin = known.twin
            elif twin.reported is None:
                twin = replace(twin, reported=known.twin.reported)
        edge = spec.iot_edge if spec.iot_edge is not None else bool(known and known.iot_edge)
        self.devices[spec.device_id] = HubDevice(
            device_id=spec.device_id, iot_edge=edge, twin=replace(twin, reported=twin.reported or {})
        )
        self.specs[spec.device_id] = spec
        self.after("provision")

    async def read(self, device_id: str) -> HubDevice | None:
        await self._enter("read")
        self.after("read")
        return self.devices.get(device_id)

    async def remove(self, device_id: str) -> None:
        await self._enter("remove")
        self.devices.pop(device_id, None)
        self.after("remove")

    async def withdraw(self, device_id: str, thumbprint: str) -> None:
        await self._enter("withdraw")
        spec = self.specs.get(device_id)
        if spec is not None and isinstance(spec.credential, ThumbprintCredential):
            named = (spec.credential.primary, spec.credential.secondary)
            left = [each for each in named if each != thumbprint] or ["none"]
            credential = ThumbprintCredential(primary=left[0], secondary=left[-1])
            self.specs[device_id] = replace(spec, credential=credential)
        self.after("withdraw")

    async def check(self) -> None:
        await self._enter("check")

    async def _enter(self, call: str) -> None:
        self.calls.append(call)
        if self.delay:
            await asyncio.sleep(self.delay)
        else:
            await asyncio.sleep(0)
        self.before(call)


class FakeLinks:
    """The hubs by host name."""

    def __init__(self) -> None:
        self.hubs: dict[str, FakeHub] = {}

    def link(self, hub: LinkedHub) -> FakeHub:
        return self.hubs.setdefault(hub.host_name.lower(), FakeHub())


@dataclass
class FakeFetcher:
    """What certificate authorities offer over HTTP, by address; what is missing is out of reach."""

    documents: dict[str, bytes] = field(default_factory=dict)
    responder: Callable[[bytes], bytes] | None = None
    asked: list[str] = field(default_factory=list)

    async def get(self, url: str, *, limit: int, seconds: float) -> bytes:
        self.asked.append(url)
        await asyncio.sleep(0)
        if url not in self.documents:
            raise RevocationError(f"{url} cannot be reached")
        assert len(self.documents[url]) <= limit
        assert seconds > 0
        return self.documents[url]

    async def post(self, url: str, body: bytes, content_type: str, *, limit: int, seconds: float) -> bytes:
        self.asked.append(url)
        assert content_type == "application/ocsp-request"
        if self.responder is None:
            raise RevocationError(f"{url} cannot be reached")
        data = self.responder(body)
        assert len(data) <= limit
        assert seconds > 0
        await asyncio.sleep(0)
        return data


@dataclass
class FakeAllocator:
    """Custom allocation that is told what to answer: a body, or something to raise."""

    answer: bytes | Exception = b"{}"
    asked: list[tuple[CustomAllocation, bytes, str]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    delay: float = 0.0

    async def ask(self, definition: CustomAllocation, request: bytes, *, question_id: str) -> bytes:
        self.asked.append((definition, request, question_id))
        await asyncio.sleep(self.delay)
        self.before()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass
class World:
    """One process of the service. `restart` makes the next one, over the same database and hubs."""

    database: Database
    links: FakeLinks
    allocator: FakeAllocator
    clock: ManualClock
    bus: LocalBus
    assigner: Assigner
    engine: Engine
    responder: DeviceResponder
    service: ServiceResponder
    admin: Sequence[AdminResource]
    enrollments: EnrollmentService
    hubs: HubService
    certificates: CaCertificateService
    keeper: CrlKeeper
    expiry: ExpiryWatch
    fetcher: FakeFetcher
    issuing: Issuing

    def hub(self, host: str) -> FakeHub:
        return self.links.hubs.setdefault(host.lower(), FakeHub())

    async def link_hub(self, name: str, *, weight: int = 1, **options: Any) -> str:
        host = f"{name}.example"
        hub = LinkedHub(name=name, host_name=host, allocation_weight=weight, created_at=self.clock.now(), **options)
        await self.database.linked_hubs.put(hub, create=True)
        return host

    async def enroll(self, registration_id: str, attestation: Attestation | None = None, **options: Any) -> None:
        await self.database.enrollments.create_individual(individual(registration_id, attestation, **options))

    async def enroll_group(self, group_id: str, attestation: Attestation | None = None, **options: Any) -> None:
        await self.database.enrollments.create_group(group(group_id, attestation, **options))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        """Keep the assigner running meanwhile."""
        task = asyncio.get_running_loop().create_task(self.assigner.run())
        await asyncio.sleep(0)
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, PowerCut, BaseExceptionGroup):
                await task


def process(
    database: Database,
    links: FakeLinks,
    clock: ManualClock,
    *,
    patience: float = 2.0,
    lease: timedelta = timedelta(seconds=10),
    poll: float = 0.02,
    allocator: FakeAllocator | None = None,
) -> World:
    """Build a process of the service."""
    bus = LocalBus()
    custody = Custody(MasterKeys.of_text(MASTER_KEY), random=secrets.token_bytes)
    issuing = make_issuing(database, custody, links, clock=clock, random=secrets.token_bytes)
    allocator = allocator or FakeAllocator()
    assigner = Assigner(
        registrations=database.registrations,
        hubs=database.linked_hubs,
        links=links,
        issued=database.issued_certificates,
        allocator=allocator,
        bus=bus,
        clock=clock,
        random=secrets.token_bytes,
        owner=secrets.token_hex(4),
        poll=poll,
        lease=lease,
    )
    fetcher = FakeFetcher()
    shelf = CrlShelf(database.crls, clock)
    keeper = CrlKeeper(database.ca_certificates, shelf, fetcher, clock)
    certificates = CaCertificateService(
        certificates=database.ca_certificates,
        enrollments=database.enrollments,
        shelf=shelf,
        keeper=keeper,
        clock=clock,
        random=secrets.token_bytes,
        limit=MAX_CA_CERTIFICATES,
    )
    expiry = ExpiryWatch(database.ca_certificates, database.enrollments, clock)
    engine = Engine(
        id_scope=SCOPE,
        stores=Stores(
            enrollments=database.enrollments,
            registrations=database.registrations,
            challenges=database.challenges,
            attempts=database.attempts,
            hubs=database.linked_hubs,
            certificates=database.ca_certificates,
        ),
        assigner=assigner,
        bus=bus,
        clock=clock,
        random=secrets.token_bytes,
        issuer=issuing.issuer,
        patience=patience,
        revocation=Revocation(shelf, Responders(fetcher, clock, secrets.token_bytes, deadline=1.0), keeper, clock),
    )
    enrollments = EnrollmentService(
        enrollments=database.enrollments,
        registrations=database.registrations,
        hubs=database.linked_hubs,
        certificates=database.ca_certificates,
    )
    hubs = HubService(
        hubs=database.linked_hubs,
        registrations=database.registrations,
        administration=None,
        health=HubHealthMonitor(hubs=database.linked_hubs, links=links, bus=bus, clock=clock),
        bus=bus,
        clock=clock,
    )
    allocation = AllocationResponder(
        AllocationService(
            enrollments=database.enrollments,
            registrations=database.registrations,
            settings=database.allocation,
            hubs=database.linked_hubs,
        ),
        WhatIf(enrollments=database.enrollments, registrations=database.registrations, hubs=database.linked_hubs),
        SigningKeyService(database.settings, database.allocation, secrets.token_bytes),
    )
    return World(
        database=database,
        links=links,
        allocator=allocator,
        clock=clock,
        bus=bus,
        assigner=assigner,
        engine=engine,
        responder=DeviceResponder(engine, clock, secrets.token_bytes),
        service=ServiceResponder(enrollments, clock, secrets.token_bytes),
        admin=(
            AttemptsResource(AttemptsResponder(database.attempts)),
            RegistrationsResource(RegistrationsResponder(enrollments)),
            HubsResource(HubsResponder(hubs)),
            CertificatesResource(CertificatesResponder(certificates, expiry, clock)),
            *issuing.resources,
            CountsResource(CountsResponder(database.enrollments, database.registrations, clock)),
            AllocationResource(allocation),
            ExportResource(ExportResponder(enrollments)),
        ),
        enrollments=enrollments,
        hubs=hubs,
        certificates=certificates,
        keeper=keeper,
        expiry=expiry,
        fetcher=fetcher,
        issuing=issuing,
    )


@asynccontextmanager
async def new_world(hubs: Sequence[str] = ("alpha",), **options: Any) -> AsyncIterator[World]:
    """A fresh service whose assigner runs."""
    async with open_stores(":memory:") as database:
        world = process(database, FakeLinks(), ManualClock(), **options)
        for name in hubs:
            await world.link_hub(name)
        async with world.running():
            yield world


# ---------------------------------------------------------------- devices and enrollments


def symmetric(primary: bytes = KEY, secondary: bytes = OTHER_KEY) -> SymmetricKeyAttestation:
    return SymmetricKeyAttestation(primary_key=primary, secondary_key=secondary)


def individual(registration_id: str, attestation: Attestation | None = None, **options: Any) -> IndividualEnrollment:
    return replace(
        IndividualEnrollment(
            registration_id=registration_id,
            attestation=attestation or symmetric(),
            etag=secrets.token_hex(4),
            created_at=EPOCH,
            updated_at=EPOCH,
        ),
        **options,
    )


def group(group_id: str, attestation: Attestation | None = None, **options: Any) -> EnrollmentGroup:
    return replace(
        EnrollmentGroup(
            group_id=group_id,
            attestation=attestation or symmetric(GROUP_KEY, OTHER_KEY),
            etag=secrets.token_hex(4),
            created_at=EPOCH,
            updated_at=EPOCH,
        ),
        **options,
    )


def claim(registration_id: str, *, scope: str = SCOPE, api_version: str = "2019-03-31") -> DeviceClaim:
    return DeviceClaim(id_scope=scope, registration_id=registration_id, api_version=api_version)


def token(
    registration_id: str, key: bytes = KEY, *, now: datetime = EPOCH, life: int = 3600, scope: str = SCOPE
) -> str:
    resource = sas.encode_resource(f"{scope}/registrations/{registration_id}")
    return sas.sign(resource, key, int(now.timestamp()) + life, "registration")


def evidence(registration_id: str, key: bytes = KEY, **options: Any) -> SasEvidence:
    return SasEvidence(token=token(registration_id, key, **options))


def context(tracking_id: str | None = None) -> CallContext:
    return CallContext(tracking_id=tracking_id or secrets.token_hex(8), transport="https", remote_address="192.0.2.1")


def twin(**desired: object) -> dict[str, object]:
    return {"tags": {"site": "north"}, "properties": {"desired": desired}}


def reported(hub: FakeHub, device_id: str, **properties: object) -> None:
    """Let the device report."""
    device = hub.devices[device_id]
    hub.devices[device_id] = replace(
        device, twin=TwinContent(tags=device.twin.tags, desired=device.twin.desired, reported=properties)
    )
