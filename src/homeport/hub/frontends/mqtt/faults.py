"""What fault injection messages do to a device's MQTT connection (contract hub.md 28.2 to 28.4)."""

from homeport.clock import Clock
from homeport.hub.faults import FaultMessage, FaultMessages, FaultType, Transport
from homeport.hub.responder import Caller
from homeport.hub.telemetry import PropertyBag
from homeport.net.sites import MqttLink

MAX_WAITING = 64
"""Faults under way on one connection; further messages are telemetry."""


class ConnectionFaults:
    """The faults that one connection has asked for; they end with it."""

    def __init__(self, caller: Caller, messages: FaultMessages, link: MqttLink, clock: Clock) -> None:
        self._caller = caller
        self._messages = messages
        self._link = link
        self._clock = clock
        self._waiting = 0

    def take(self, bag: PropertyBag) -> bool:
        """Set a fault going if a message asks for one: it is not acknowledged then."""
        fault = self._messages.read(bag.properties, Transport.MQTT)
        if fault is None or self._waiting >= MAX_WAITING:
            return False
        self._waiting += 1
        self._link.run(self._break(fault))
        return True

    async def _break(self, fault: FaultMessage) -> None:
        await self._clock.sleep(fault.delay)
        self._messages.note(self._caller, fault)
        if fault.type is FaultType.KILL_TCP:
            self._link.abort()
        else:
            self._link.close()
