"""What the fault lab does at a hub: devices' own fault injection messages, and what administrators inject."""

from homeport.hub.faults.messages import FaultMessage, FaultMessages, FaultType, Transport, read_fault
from homeport.hub.faults.responder import FaultedResponder
from homeport.hub.faults.sessions import HubConnections

__all__ = [
    "FaultMessage",
    "FaultMessages",
    "FaultType",
    "FaultedResponder",
    "HubConnections",
    "Transport",
    "read_fault",
]
