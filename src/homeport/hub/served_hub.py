"""One hub put together from its parts: registry, twins, methods, queues, jobs, and those who answer for them.

Which hubs there are is `hubs.py`'s business; sockets, sites and certificates are the application's.
"""

import asyncio
from functools import partial

from homeport.bus import Bus
from homeport.clock import Clock
from homeport.faults import FaultLab
from homeport.hub.authentication import Audience
from homeport.hub.configurations import ConfigurationStore, Deployer
from homeport.hub.device_files import DeviceFiles
from homeport.hub.device_side import DeviceSide
from homeport.hub.faults import FaultedResponder, FaultMessages, HubConnections
from homeport.hub.file_ports import FileParts
from homeport.hub.files import Files
from homeport.hub.jobs import JobRunner, JobStore, ScheduledJobs
from homeport.hub.messages import Messages
from homeport.hub.methods import Methods
from homeport.hub.model import FeedbackRecord, Hub
from homeport.hub.notices import FEEDBACK, Notices
from homeport.hub.ports import DeviceStore, EventLog, MessageStore, NoticeStore
from homeport.hub.registry import Registry
from homeport.hub.responder import DeviceResponder
from homeport.hub.service import Service
from homeport.hub.service_side import ServiceSide
from homeport.hub.sessions import Sessions
from homeport.hub.telemetry import TelemetryStream
from homeport.hub.twins import Twins
from homeport.security.policies import Random


class ServedHub:
    """One hub with everything that answers for it."""

    def __init__(
        self,
        hub: Hub,
        *,
        devices: DeviceStore,
        messages: MessageStore,
        jobs: JobStore,
        configurations: ConfigurationStore,
        feedback: NoticeStore[FeedbackRecord],
        files: FileParts,
        log: EventLog,
        bus: Bus,
        clock: Clock,
        random: Random,
        faults: FaultLab | None = None,
    ) -> None:
        """With `faults`, devices meet what the fault lab has for them."""
        self._hub = hub
        self._audience = Audience.of(hub)
        self.devices = devices
        self.sessions = Sessions(hub=hub.name, store=devices, bus=bus, clock=clock)
        self.telemetry = TelemetryStream(hub=hub.name, log=log, bus=bus, clock=clock)
        self.registry = Registry(
            hub=hub.name, store=devices, sessions=self.sessions, bus=bus, clock=clock, random=random
        )
        self.twins = Twins(store=devices, sessions=self.sessions, clock=clock)
        self.methods = Methods()
        self.messages = Messages(hub=hub.name, store=messages, devices=devices, bus=bus, clock=clock, random=random)
        self.job_store = jobs
        self.job_runner = JobRunner(
            hub=hub.name,
            store=jobs,
            registry=self.registry,
            twins=self.twins,
            methods=self.methods,
            clock=clock,
            random=random,
        )
        self.deployer = Deployer(
            hub=hub.name, store=configurations, registry=self.registry, twins=self.twins, bus=bus, clock=clock
        )
        self.feedback = Notices(hub=hub.name, store=feedback, pace=FEEDBACK, clock=clock, random=random)
        self.files = Files(hub.name, files, clock, random)
        self.service = Service.of(
            registry=self.registry,
            twins=self.twins,
            methods=self.methods,
            messages=self.messages,
            sessions=self.sessions,
            jobs=ScheduledJobs(store=jobs, runner=self.job_runner, clock=clock),
            configurations=configurations,
            deployer=self.deployer,
            clock=clock,
            feedback=self.feedback,
            files=self.files,
        )
        self.responder = (DeviceResponder if faults is None else partial(FaultedResponder, faults))(
            hub=hub.name,
            audience=self.audience,
            store=devices,
            sessions=self.sessions,
            telemetry=self.telemetry,
            twins=self.twins,
            clock=clock,
        )
        messages_obeyed = None
        if faults is not None:
            faults.attend(hub.name, HubConnections(self.sessions))
            messages_obeyed = FaultMessages(hub.name, faults, enabled=lambda: self._hub.fault_messages)
        self.device_side = DeviceSide(
            hub=hub.name,
            audience=self.audience,
            responder=self.responder,
            twins=self.twins,
            methods=self.methods,
            messages=self.messages,
            files=DeviceFiles(self.files.uploads),
            clock=clock,
            faults=messages_obeyed,
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

    async def run(self) -> None:
        """Do what is done beside answering, until cancelled; then write what is pending."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.sessions.run())
            tasks.create_task(self.telemetry.run())
            tasks.create_task(self.messages.run())
            tasks.create_task(self.job_runner.run())
            tasks.create_task(self.deployer.run())
            tasks.create_task(self.feedback.run())
            tasks.create_task(self.files.run())
