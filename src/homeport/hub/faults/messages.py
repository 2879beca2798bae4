"""Messages by which devices break their own connections, as the SDKs' suites send them (contract hub.md 28).

What a fault does to a connection is the front-ends' knowledge.
"""

import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from homeport.faults import FaultLab
from homeport.hub.errors import HubCode
from homeport.hub.responder import Caller
from homeport.security.explain import quoted

MAX_SECONDS: Final = 86_400.0
"""Longer delays and durations are cut down to this: nobody waits for a test that long."""
MAX_REASON: Final = 256

_TYPE: Final = "aziothub_faultoperationtype"
_REASON: Final = "aziothub_faultoperationclosereason"
_DELAY: Final = "aziothub_faultoperationdelayinsecs"
_DURATION: Final = "aziothub_faultoperationdurationinsecs"


class FaultType(StrEnum):
    """What breaks (28.2)."""

    KILL_TCP = "KillTcp"
    SHUT_DOWN_MQTT = "ShutDownMqtt"
    SHUT_DOWN_AMQP = "ShutDownAmqp"
    KILL_CONNECTION = "KillAmqpConnection"
    KILL_SESSION = "KillAmqpSession"
    KILL_CBS_REQUEST_LINK = "KillAmqpCBSLinkReq"
    KILL_CBS_RESPONSE_LINK = "KillAmqpCBSLinkResp"
    KILL_EVENT_LINK = "KillAmqpD2CLink"
    KILL_BOUND_LINK = "KillAmqpC2DLink"
    KILL_TWIN_REQUEST_LINK = "KillAmqpTwinLinkReq"
    KILL_TWIN_RESPONSE_LINK = "KillAmqpTwinLinkResp"
    KILL_METHOD_REQUEST_LINK = "KillAmqpMethodReqLink"
    KILL_METHOD_RESPONSE_LINK = "KillAmqpMethodRespLink"
    THROTTLE = "InvokeThrottling"
    EXCEED_QUOTA = "InvokeMaxMessageQuota"
    FAIL_AUTHORIZATION = "InvokeAuthError"


class Transport(StrEnum):
    """Which of the types mean something."""

    MQTT = "mqtt"
    AMQP = "amqp"
    HTTPS = "https"


REFUSALS: Final = {
    FaultType.THROTTLE: HubCode.THROTTLED,
    FaultType.EXCEED_QUOTA: HubCode.QUOTA_EXCEEDED,
    FaultType.FAIL_AUTHORIZATION: HubCode.UNAUTHORIZED_ACCESS,
}
"""The three that refuse messages where that can be told, and how; MQTT cannot tell it (28.4)."""

_KNOWN: Final = {
    Transport.MQTT: frozenset({*REFUSALS, FaultType.KILL_TCP, FaultType.SHUT_DOWN_MQTT}),
    Transport.AMQP: frozenset(FaultType) - {FaultType.SHUT_DOWN_MQTT},
    Transport.HTTPS: frozenset(REFUSALS),
}
_TYPES: Final = {each.value.lower(): each for each in FaultType}


class FaultMessage(Struct, frozen=True, kw_only=True):
    """What a message asks for; times in seconds from its receipt, and from the fault's beginning."""

    type: FaultType
    reason: str
    """The description of an error, where there is one."""
    delay: float
    duration: float


def read_fault(properties: Mapping[str, str | None], transport: Transport) -> FaultMessage | None:
    """Read the application properties of a message; None if it is no fault message, or means nothing here (28.1).

    Names and types are compared in any letter case; what is no number counts as 0.
    """
    wanted: dict[str, str] = {}
    for name, value in properties.items():
        lower = name.lower()
        if lower.startswith("aziothub_fault"):
            wanted.setdefault(lower, value or "")
    kind = _TYPES.get(wanted.get(_TYPE, "").strip().lower())
    if kind is None or kind not in _KNOWN[transport]:
        return None
    return FaultMessage(
        type=kind,
        reason=wanted.get(_REASON, "").strip()[:MAX_REASON] or f"Fault injection: {kind}",
        delay=_seconds(wanted.get(_DELAY, "")),
        duration=_seconds(wanted.get(_DURATION, "")),
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text[:64])
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), MAX_SECONDS) if math.isfinite(seconds) else 0.0


class FaultMessages:
    """Obeys such messages at one hub while its switch is on; there is none of these in a server without the lab."""

    def __init__(self, hub: str, lab: FaultLab, *, enabled: Callable[[], bool]) -> None:
        self._hub = hub
        self._lab = lab
        self._enabled = enabled

    def read(self, properties: Mapping[str, str | None], transport: Transport) -> FaultMessage | None:
        """Return what a message asks for; None if it is to be taken as ordinary telemetry."""
        return read_fault(properties, transport) if properties and self._enabled() else None

    def note(self, caller: Caller, fault: FaultMessage) -> None:
        """Take note of a fault that begins now."""
        lasts = f" for {fault.duration:g} s" if fault.type in REFUSALS and caller.transport.startswith("amqp") else ""
        detail = f"{fault.type}{lasts} ({quoted(fault.reason)})"
        self._lab.note_message(caller.device_id, self._hub, caller.transport, detail)
