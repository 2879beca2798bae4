"""The administrator's calls to one hub, transport-neutral: documents in, Reply out; a module for each noun.

Who may call is decided before; paths and methods are known to the front-ends. Refusals are HubError.
"""

from msgspec import Struct

from homeport.clock import Clock
from homeport.hub.files import Files
from homeport.hub.importing import Importer
from homeport.hub.jobs import ScheduledJobs
from homeport.hub.messages import Messages
from homeport.hub.methods import MethodCalls
from homeport.hub.model import FeedbackRecord, FileNotification
from homeport.hub.notice_documents import feedback_document, file_document
from homeport.hub.notices import Feedback
from homeport.hub.registry import Registry
from homeport.hub.service.bulk import BulkResponder
from homeport.hub.service.configurations import ConfigurationsResponder
from homeport.hub.service.devices import DevicesResponder
from homeport.hub.service.digital_twins import DigitalTwinsResponder
from homeport.hub.service.file_settings import FileSettingsResponder
from homeport.hub.service.jobs import JobsResponder
from homeport.hub.service.keys import KeysResponder
from homeport.hub.service.methods import MethodsResponder
from homeport.hub.service.modules import ModulesResponder
from homeport.hub.service.notices import NoticesResponder
from homeport.hub.service.queries import QueriesResponder
from homeport.hub.service.statistics import StatisticsResponder
from homeport.hub.service.transfers import TransfersResponder
from homeport.hub.service.twins import TwinsResponder
from homeport.hub.sessions_elsewhere import SessionsElsewhere
from homeport.hub.transfers import Transfers
from homeport.hub.twins import Twins
from homeport.security.policies import Random

__all__ = ["Service"]


class Service(Struct, frozen=True, kw_only=True):
    """Everything that services may ask of one hub."""

    devices: DevicesResponder
    modules: ModulesResponder
    bulk: BulkResponder
    keys: KeysResponder
    twins: TwinsResponder
    methods: MethodsResponder
    digital_twins: DigitalTwinsResponder
    queries: QueriesResponder
    jobs: JobsResponder
    configurations: ConfigurationsResponder
    transfers: TransfersResponder
    statistics: StatisticsResponder
    feedback: NoticesResponder[FeedbackRecord]
    file_notifications: NoticesResponder[FileNotification]
    file_settings: FileSettingsResponder

    @classmethod
    def of(
        cls,
        *,
        registry: Registry,
        twins: Twins,
        methods: MethodCalls,
        messages: Messages,
        sessions: SessionsElsewhere,
        jobs: ScheduledJobs,
        configurations: ConfigurationsResponder,
        importer: Importer,
        transfers: Transfers,
        clock: Clock,
        random: Random,
        feedback: Feedback,
        files: Files,
    ) -> "Service":
        return cls(
            devices=DevicesResponder(registry, messages),
            modules=ModulesResponder(registry, messages),
            bulk=BulkResponder(importer),
            keys=KeysResponder(registry),
            twins=TwinsResponder(twins, messages),
            methods=MethodsResponder(registry, methods),
            digital_twins=DigitalTwinsResponder(registry, twins, methods),
            queries=QueriesResponder(registry, messages, jobs),
            jobs=JobsResponder(jobs, clock),
            configurations=configurations,
            transfers=TransfersResponder(transfers, random),
            statistics=StatisticsResponder(registry, sessions),
            feedback=NoticesResponder(feedback, feedback_document),
            file_notifications=NoticesResponder(files.notifications, file_document),
            file_settings=FileSettingsResponder(files.uploads, files.storage, files.clock),
        )
