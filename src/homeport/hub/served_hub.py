"""One hub put together from its parts: registry, twins, methods, queues, jobs, and those who answer for them.

Which hubs there are is `hubs.py`'s business; sockets, sites and certificates are the application's.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from homeport.bus import Bus
from homeport.clock import Clock
from homeport.faults import FaultLab
from homeport.hub.authentication import Audience
from homeport.hub.authorities import HubAuthorities, RevocationCheck
from homeport.hub.ca_certificates import HubCaCertificates
from homeport.hub.configurations import Deployer
from homeport.hub.desired import DesiredChanges
from homeport.hub.device_files import DeviceFiles
from homeport.hub.device_side import DeviceSide
from homeport.hub.event_streams import EventStreams
from homeport.hub.faults import FaultedResponder, FaultMessages
from homeport.hub.files import Files
from homeport.hub.hub_stores import HubStores
from homeport.hub.importing import Importer
from homeport.hub.jobs import JobRunner, ScheduledJobs
from homeport.hub.joining import Joining
from homeport.hub.messages import Messages
from homeport.hub.methods import Methods
from homeport.hub.methods_elsewhere import MethodsElsewhere
from homeport.hub.model import Hub
from homeport.hub.notices import Notices, feedback_pace
from homeport.hub.queue_settings import HubQueues
from homeport.hub.registry import Registry
from homeport.hub.responder import DeviceResponder
from homeport.hub.routing import HubRouting
from homeport.hub.service import Service
from homeport.hub.service.configurations import ConfigurationsResponder
from homeport.hub.service_side import ServiceSide
from homeport.hub.sessions import Sessions
from homeport.hub.sessions_elsewhere import SessionsElsewhere
from homeport.hub.transfers import TransferContainer, TransferRunner, Transfers
from homeport.hub.twins import Twins
from homeport.peers import Peers
from homeport.security.policies import Random


class ServedHub:
    """One hub with everything that answers for it."""

    def __init__(
        self,
        hub: Hub,
        *,
        stores: HubStores,
        revoked: RevocationCheck,
        bus: Bus,
        peers: Peers,
        is_first: Callable[[], bool],
        clock: Clock,
        random: Random,
        faults: FaultLab | None = None,
    ) -> None:
        """`is_first` tells whether this process does what only one of several should."""
        """With `faults`, devices meet what the fault lab has for them."""
        self._hub = hub
        self._audience = Audience.of(hub)
        self.devices = stores.devices
        self.authorities = HubAuthorities(hub=hub.name, store=stores.authorities, revoked=revoked, bus=bus, clock=clock)
        self.ca_certificates = HubCaCertificates(
            hub=hub.name, store=stores.authorities, bus=bus, clock=clock, random=random
        )
        self.streams = EventStreams(
            hub=lambda: self._hub, store=stores.streams, log=stores.log, bus=bus, peers=peers, clock=clock
        )
        self.telemetry = self.streams.built_in
        self.routing = HubRouting(
            hub=hub.name,
            parts=stores.routing,
            streams=self.streams,
            devices=stores.devices,
            clock=clock,
            random=random,
        )
        telling = self.routing.happenings
        self.sessions = Sessions(
            hub=hub.name,
            store=stores.devices,
            telling=telling,
            bus=bus,
            peers=peers,
            clock=clock,
            trust=self.authorities.trust,
        )
        self.sessions_elsewhere = SessionsElsewhere(
            hub=hub.name,
            sessions=self.sessions,
            store=stores.devices,
            telling=telling,
            bus=bus,
            peers=peers,
            clock=clock,
        )
        self.registry = Registry(
            hub=hub.name,
            store=stores.devices,
            sessions=self.sessions,
            telling=telling,
            bus=bus,
            clock=clock,
            random=random,
        )
        self.desired = DesiredChanges(hub=hub.name, store=stores.devices, bus=bus, peers=peers, clock=clock)
        self.joining = Joining(hub=hub.name, registry=self.registry, store=stores.devices, telling=telling, bus=bus)
        self.twins = Twins(
            hub=hub.name,
            store=stores.devices,
            sessions=self.sessions,
            desired=self.desired,
            telling=telling,
            bus=bus,
            clock=clock,
        )
        self.twins.watch(self.routing.device_messages.forget)
        self.methods = Methods()
        self.calls = MethodsElsewhere(hub=hub.name, here=self.methods, peers=peers)
        self.queues = HubQueues(stores.queues, random)
        self.messages = Messages(
            hub=hub.name,
            store=stores.messages,
            devices=stores.devices,
            settings=stores.queues,
            bus=bus,
            clock=clock,
            random=random,
        )
        self.job_store = stores.jobs
        self.job_runner = JobRunner(
            hub=hub.name,
            store=stores.jobs,
            registry=self.registry,
            twins=self.twins,
            methods=self.calls,
            messages=self.messages,
            telling=telling,
            clock=clock,
            random=random,
        )
        self.deployer = Deployer(
            hub=hub.name,
            store=stores.configurations,
            registry=self.registry,
            twins=self.twins,
            bus=bus,
            clock=clock,
            is_mine=is_first,
        )
        self.feedback = Notices(
            hub=hub.name, store=stores.feedback, pace=feedback_pace(stores.queues), clock=clock, random=random
        )
        self.files = Files(hub.name, stores.files, clock, random)
        importer = Importer(self.registry, self.twins)
        configurations_responder = ConfigurationsResponder(stores.configurations, self.deployer, self.registry, clock)
        self.transfer_store = stores.transfers
        self.transfer_runner = TransferRunner(
            hub=hub.name,
            store=stores.transfers,
            open_container=self._open_container,
            registry=self.registry,
            importer=importer,
            configurations=stores.configurations,
            configuration_writer=configurations_responder,
            clock=clock,
            random=random,
        )
        self.service = Service.of(
            registry=self.registry,
            twins=self.twins,
            methods=self.calls,
            messages=self.messages,
            sessions=self.sessions_elsewhere,
            jobs=ScheduledJobs(store=stores.jobs, runner=self.job_runner, clock=clock),
            configurations=configurations_responder,
            importer=importer,
            transfers=Transfers(
                store=stores.transfers,
                open_container=self._open_container,
                runner=self.transfer_runner,
                clock=clock,
                random=random,
            ),
            clock=clock,
            random=random,
            feedback=self.feedback,
            files=self.files,
        )
        self.responder = (DeviceResponder if faults is None else partial(FaultedResponder, faults))(
            hub=hub.name,
            audience=self.audience,
            authorities=self.authorities,
            store=stores.devices,
            sessions=self.sessions,
            send=self.routing.device_messages.send,
            twins=self.twins,
            clock=clock,
        )
        obeyed = None if faults is None else FaultMessages(hub.name, faults, enabled=lambda: self._hub.fault_messages)
        self.device_side = DeviceSide(
            hub=hub.name,
            audience=self.audience,
            responder=self.responder,
            twins=self.twins,
            methods=self.methods,
            messages=self.messages,
            files=DeviceFiles(self.files.uploads),
            subscriptions=stores.subscriptions,
            clock=clock,
            faults=obeyed,
        )
        self.service_side = ServiceSide(
            hub=hub.name,
            messages=self.messages,
            feedback=self.feedback,
            file_notifications=self.files.notifications,
            clock=clock,
        )

    @property
    def hub(self) -> Hub:
        """Name, host names and policies as they are now."""
        return self._hub

    @property
    def name(self) -> str:
        return self._hub.name

    def audience(self) -> Audience:
        """Return what tokens for this hub are judged by, as it is now."""
        return self._audience

    def update(self, hub: Hub) -> None:
        """Take over changed host names and policies."""
        if hub != self._hub:
            self._hub = hub
            self._audience = Audience.of(hub)

    async def _open_container(self, address: str) -> TransferContainer:
        """Open a container for an import or export. Raises StorageFault."""
        return self.files.transfer_container(address, self._hub.host_names, await self.files.uploads.settings())

    async def run(self) -> None:
        """Do what is done beside answering, until cancelled; then write what is pending."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.sessions.run())
            tasks.create_task(self.sessions_elsewhere.run())
            tasks.create_task(self.desired.run())
            tasks.create_task(self.streams.run())
            tasks.create_task(self.authorities.run(self.sessions.authorities_changed))
            tasks.create_task(self.routing.run())
            tasks.create_task(self.messages.run())
            tasks.create_task(self.job_runner.run())
            tasks.create_task(self.transfer_runner.run())
            tasks.create_task(self.deployer.run())
            tasks.create_task(self.feedback.run())
            tasks.create_task(self.files.run())
