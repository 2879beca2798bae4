"""What the device front-ends of one hub are given: everything a device can ask of it."""

from collections.abc import Callable

from msgspec import Struct

from homeport.clock import Clock
from homeport.hub.authentication import Audience
from homeport.hub.device_files import DeviceFiles
from homeport.hub.faults.messages import FaultMessages
from homeport.hub.messages import Messages
from homeport.hub.methods import Methods
from homeport.hub.ports import MqttSubscriptionStore
from homeport.hub.responder import DeviceResponder
from homeport.hub.twins import Twins


class DeviceSide(Struct, frozen=True, kw_only=True):
    """One hub as its devices see it. `audience` is asked at each connection, since names and policies may change."""

    hub: str
    audience: Callable[[], Audience]
    responder: DeviceResponder
    twins: Twins
    methods: Methods
    messages: Messages
    files: DeviceFiles
    subscriptions: MqttSubscriptionStore
    clock: Clock
    faults: FaultMessages | None = None
    """Without it, devices' fault injection messages are ordinary telemetry."""
