"""What one hub keeps things in: a store for each of its nouns. Who opens them is on the roof."""

from collections.abc import Callable

from msgspec import Struct

from homeport.hub.authorities import AuthorityStore
from homeport.hub.configurations import ConfigurationStore
from homeport.hub.file_ports import FileParts
from homeport.hub.jobs import JobStore
from homeport.hub.model import FeedbackRecord
from homeport.hub.ports import (
    DeviceStore,
    EventStreamStore,
    MessageStore,
    MqttSubscriptionStore,
    NoticeStore,
    OpenEventLog,
)
from homeport.hub.queue_settings import QueueSettingsStore
from homeport.hub.routing import RoutingParts
from homeport.hub.transfers import TransferStore


class HubStores(Struct, frozen=True, kw_only=True):
    devices: DeviceStore
    messages: MessageStore
    feedback: NoticeStore[FeedbackRecord]
    queues: QueueSettingsStore
    subscriptions: MqttSubscriptionStore
    jobs: JobStore
    transfers: TransferStore
    configurations: ConfigurationStore
    authorities: AuthorityStore
    streams: EventStreamStore
    log: OpenEventLog
    routing: RoutingParts
    files: FileParts


OpenHubStores = Callable[[str], HubStores]
"""Opens the stores of the hub with this name."""
