"""One device's MQTT connection: its telemetry, its will, and what its subscriptions bring (contract hub.md 13)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from homeport.hub.device_side import DeviceSide
from homeport.hub.errors import HubError
from homeport.hub.frontends.mqtt.deliveries import Deliveries
from homeport.hub.frontends.mqtt.faults import ConnectionFaults
from homeport.hub.frontends.mqtt.kept import KeptSubscriptions
from homeport.hub.frontends.mqtt.method_topics import MethodTopics
from homeport.hub.frontends.mqtt.topics import (
    DESIRED_CHANGES,
    METHOD_ANSWERS,
    METHOD_CALLS,
    TWIN_ANSWERS,
    TWIN_GET,
    TWIN_REPORT,
    bag_of,
)
from homeport.hub.frontends.mqtt.twin_topics import TwinTopics
from homeport.hub.identifiers import module_of, path_of
from homeport.hub.responder import Connected
from homeport.hub.telemetry import EMPTY_BAG, PropertyBag, parse_bag
from homeport.net.sites import MqttLink, UnacknowledgedError
from homeport.proto.mqtt import SUBSCRIPTION_REFUSED, Connect, Publish, RemoteProtocolError, Will
from homeport.security.explain import quoted

MAX_BAGS = 16
"""Parsed property bags kept per connection: most devices use a few, again and again."""

_log = logging.getLogger(__name__)


class DeviceSession:
    """One device's connection."""

    def __init__(
        self,
        side: DeviceSide,
        kept: KeptSubscriptions,
        known: Mapping[str, int] | None,
        connected: Connected,
        connect: Connect,
        link: MqttLink,
        prefix: str,
    ) -> None:
        """`known` is what an earlier connection has left in `kept`.

        `prefix` is the topic of the device's telemetry, without a bag.
        """
        device_id = connected.session.device_id
        self._responder = side.responder
        self._kept = kept
        self._connected = connected
        self._device_id = device_id
        self._prefix = prefix
        self._bags: dict[str, PropertyBag] = {}
        self._will: Will | None = connect.will
        self._twin = TwinTopics(connected, side.responder, side.twins, link, side.clock)
        self._methods = MethodTopics(device_id, side.methods, link)
        base = "/".join(path_of(device_id))
        bound = f"{base}/messages/devicebound/"
        self._bound = f"{bound}#"
        self._deliveries = Deliveries(device_id, bound, side.messages, link)
        self._grantable = frozenset({self._bound, TWIN_ANSWERS, DESIRED_CHANGES, METHOD_CALLS})
        if module_of(device_id) is not None:
            # Inputs are an Edge hub's to send; subscribing to them is part of how module clients connect.
            self._grantable |= {f"{base}/inputs/#", f"{base}/#"}
        self._faults = (
            None if side.faults is None else ConnectionFaults(connected.caller, side.faults, link, side.clock)
        )
        self._session_present = known is not None
        self._filters: dict[str, int] = dict(known or {})
        self._follow()

    @property
    def session_present(self) -> bool:
        return self._session_present

    @property
    def expires_at(self) -> datetime | None:
        return self._connected.session.expires_at

    async def publish(self, message: Publish, ack: Callable[[], None]) -> None:
        topic = message.topic
        text = bag_of(topic, self._prefix)
        if text is not None:
            bag = self._bag(text)
            if message.retain or message.dup:
                bag = _marked(bag, message)
            try:
                await self._responder.send(self._connected.caller, message.payload, bag)
            except HubError as error:
                raise RemoteProtocolError(f"telemetry of {quoted(self._device_id)}: {error.message}") from None
            if self._faults is not None and self._faults.take(bag):
                raise UnacknowledgedError
            ack()
        elif topic.startswith(TWIN_GET):
            await self._twin.get(topic)
        elif topic.startswith(TWIN_REPORT):
            await self._twin.report(topic, message.payload)
        elif topic.startswith(METHOD_ANSWERS):
            self._methods.answer(topic, message.payload)
        else:
            raise RemoteProtocolError(f"{quoted(topic)} is no topic that {quoted(self._device_id)} may publish to")

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        granted = [min(qos, 1) if name in self._grantable else SUBSCRIPTION_REFUSED for name, qos in filters]
        self._filters.update({name: min(qos, 1) for name, qos in filters if name in self._grantable})
        await self._kept.keep(self._filters)
        return granted

    def subscribed(self) -> None:
        self._follow()

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        for name in filters:
            self._filters.pop(name, None)
        await self._kept.keep(self._filters)
        self._follow()

    async def closed(self, *, orderly: bool) -> None:
        self._filters.clear()
        self._follow()
        try:
            await self._deliveries.close()
            if self._will is not None and not orderly:
                await self._send_will(self._will)
        finally:
            await self._responder.leave(self._connected)

    def _follow(self) -> None:
        """Send exactly what the device is subscribed to."""
        self._twin.answers = TWIN_ANSWERS in self._filters
        self._twin.follow(wanted=DESIRED_CHANGES in self._filters)
        self._methods.follow(wanted=METHOD_CALLS in self._filters)
        qos = self._filters.get(self._bound)
        if qos is None:
            self._deliveries.stop()
        else:
            self._deliveries.start(qos)

    # ------------------------------------------------------------ telemetry

    def _bag(self, text: str) -> PropertyBag:
        if not text:
            return EMPTY_BAG
        bag = self._bags.get(text)
        if bag is None:
            bag = parse_bag(text)
            if len(self._bags) >= MAX_BAGS:
                self._bags.clear()  # names of messages change with each one: such bags never repeat
            self._bags[text] = bag
        return bag

    async def _send_will(self, will: Will) -> None:
        bag = parse_bag(bag_of(will.topic, self._prefix) or "")
        properties = {**bag.properties, "iothub-MessageType": "Will"}
        if will.retain:
            properties["mqtt-retain"] = "true"
        marked = PropertyBag(system=bag.system, properties=properties, size=bag.size)
        try:
            await self._responder.send(self._connected.caller, will.payload, marked)
        except HubError as error:
            _log.info("will of device %s was not kept: %s", quoted(self._device_id), error.message)


def _marked(bag: PropertyBag, message: Publish) -> PropertyBag:
    """Hand the packet's flags on as properties (contract hub.md 13.4)."""
    flags = {"mqtt-retain": message.retain, "mqtt-dup": message.dup}
    properties = {**bag.properties, **{name: "true" for name, flag in flags.items() if flag}}
    return PropertyBag(system=bag.system, properties=properties, size=bag.size)
