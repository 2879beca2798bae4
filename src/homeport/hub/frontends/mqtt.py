"""Devices over MQTT: user names and topics to the device's operations, and back (contract hub.md 13)."""

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

import msgspec

from homeport.clock import Clock
from homeport.hub.authentication import Audience, Refused
from homeport.hub.errors import HubError
from homeport.hub.methods import MethodAnswer, MethodCall, MethodListener, Methods
from homeport.hub.model import JsonObject, format_time
from homeport.hub.reply import as_hub_error
from homeport.hub.responder import Connected, DeviceClaim, DeviceResponder
from homeport.hub.telemetry import EMPTY_BAG, PropertyBag, parse_bag
from homeport.hub.twins import Twins
from homeport.net.sites import MqttLink, MqttSession
from homeport.net.stream import Peer
from homeport.proto.mqtt import SUBSCRIPTION_REFUSED, Connect, Publish, RemoteProtocolError, ReturnCode, Will
from homeport.security.explain import quoted

TWIN_ANSWERS = "$iothub/twin/res/#"
DESIRED_CHANGES = "$iothub/twin/PATCH/properties/desired/#"
METHOD_CALLS = "$iothub/methods/POST/#"

_TWIN_GET = "$iothub/twin/GET/"
_TWIN_REPORT = "$iothub/twin/PATCH/properties/reported/"
_METHOD_ANSWERS = "$iothub/methods/res/"

MAX_BAGS = 16
"""Parsed property bags kept per connection: most devices use a few, again and again."""
MAX_KEPT = 1_000_000
"""Devices whose subscriptions are kept for their next connection; the longest unused go first."""
MAX_VERSION_DIGITS = 18
_MAX_STATUS_DIGITS = 9

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserName:
    """What a device says of itself in CONNECT."""

    host: str
    client_id: str
    model_id: str | None = None

    @classmethod
    def parse(cls, text: str, client_id: str) -> "UserName | None":
        """Read a user name of any SDK. Ids stand raw in it, so the client id says how many segments they have."""
        host, *rest = text.split("/", client_id.count("/") + 2)
        ids = client_id.count("/") + 1
        if len(rest) < ids:
            return None
        parameters = rest[ids] if len(rest) > ids else ""
        return cls(host=host, client_id="/".join(rest[:ids]), model_id=_parameters(parameters).get("model-id") or None)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The subscriptions a device left behind (clean session 0), for as long as it is the same device."""

    generation_id: str
    filters: frozenset[str]


class DeviceFrontEnd:
    """Accepts the MQTT connections of one hub's devices."""

    def __init__(
        self,
        *,
        hub: str,
        audience: Callable[[], Audience],
        responder: DeviceResponder,
        twins: Twins,
        methods: Methods,
        clock: Clock,
    ) -> None:
        self._hub = hub
        self._audience = audience
        self._responder = responder
        self._twins = twins
        self._methods = methods
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def owns(self, connect: Connect) -> bool:
        """Tell whether the user name begins with one of the hub's host names."""
        host = (connect.user_name or "").partition("/")[0].partition(":")[0].rstrip(".").lower()
        return any(host == name.rstrip(".").lower() for name in self._audience().hosts)

    async def connect(self, connect: Connect, peer: Peer, link: MqttLink) -> MqttSession | int:
        """Let a device in, or answer the code that makes its SDK do the right thing (contract hub.md 13.2)."""
        if not connect.client_id or len(connect.client_id) > 2 * 128 + 1:
            return ReturnCode.IDENTIFIER_REJECTED
        name = UserName.parse(connect.user_name or "", connect.client_id)
        if name is None or name.client_id != connect.client_id:
            return self._refuse(connect, peer, "client id and user name do not name the same device")
        if "/" in connect.client_id:
            return self._refuse(connect, peer, "this server has no modules yet")
        prefix = f"devices/{connect.client_id}/messages/events"
        if connect.will is not None and _bag_of(connect.will.topic, prefix) is None:
            return self._refuse(connect, peer, f"its will is for {quoted(connect.will.topic)}, no topic of its own")
        claim = DeviceClaim(
            device_id=connect.client_id,
            token=connect.password.decode("utf-8", "replace") if connect.password else None,
            chain=peer.chain,
            model_id=name.model_id,
            remote=peer.remote.host,
            transport="mqtt" if peer.transport == "tls" else "mqtt-ws",
        )
        connected = await self._responder.connect(claim, link.close)
        if isinstance(connected, Refused):
            return ReturnCode.NOT_AUTHORIZED
        return _Session(self, connected, connect, link, prefix)

    def recall(self, connected: Connected, *, clean: bool) -> frozenset[str] | None:
        """Return the subscriptions kept for this device, None if there is no such state; a clean start drops them."""
        session = connected.session
        kept = self._kept.pop(session.device_id, None)
        if clean or kept is None or kept.generation_id != session.generation_id:
            return None
        return kept.filters

    def keep(self, connected: Connected, filters: frozenset[str]) -> None:
        """Remember the subscriptions of a device; last used, last forgotten."""
        session = connected.session
        self._kept.pop(session.device_id, None)
        if len(self._kept) >= MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[session.device_id] = _Kept(session.generation_id, filters)

    @property
    def responder(self) -> DeviceResponder:
        return self._responder

    @property
    def twins(self) -> Twins:
        return self._twins

    @property
    def methods(self) -> Methods:
        return self._methods

    def error_body(self, error: HubError) -> bytes:
        """Write a refusal of a twin operation; Node looks for `errorCode` and nothing else (contract hub.md 13.6)."""
        return msgspec.json.encode(
            {
                "errorCode": error.code.number,
                "trackingId": secrets.token_hex(16),
                "message": error.message,
                "timestampUtc": format_time(self._clock.now()),
            }
        )

    def _refuse(self, connect: Connect, peer: Peer, why: str) -> int:
        _log.info("hub %s: client %s at %s refused: %s", self._hub, quoted(connect.client_id), peer.remote.host, why)
        return ReturnCode.NOT_AUTHORIZED


class _Session:
    """One device's connection."""

    def __init__(
        self, front_end: DeviceFrontEnd, connected: Connected, connect: Connect, link: MqttLink, prefix: str
    ) -> None:
        self._front_end = front_end
        self._responder = front_end.responder
        self._connected = connected
        self._device_id = connected.session.device_id
        self._link = link
        self._prefix = prefix
        self._bags: dict[str, PropertyBag] = {}
        self._will: Will | None = connect.will
        self._clean = connect.clean_session
        self._grantable = frozenset(
            {f"devices/{self._device_id}/messages/devicebound/#", TWIN_ANSWERS, DESIRED_CHANGES, METHOD_CALLS}
        )
        kept = front_end.recall(connected, clean=self._clean)
        self._session_present = kept is not None
        self._filters: set[str] = set(kept or ())
        self._methods: MethodListener | None = None
        self._changed = self._desired_changed  # one bound method, so that it can be told from another session's
        if not self._clean:
            front_end.keep(connected, frozenset(self._filters))
        self._listen()

    @property
    def session_present(self) -> bool:
        return self._session_present

    @property
    def expires_at(self) -> datetime | None:
        return self._connected.session.expires_at

    async def publish(self, message: Publish, ack: Callable[[], None]) -> None:
        topic = message.topic
        text = _bag_of(topic, self._prefix)
        if text is not None:
            bag = self._bag(text)
            if message.retain or message.dup:
                bag = _marked(bag, message)
            try:
                await self._responder.send(self._connected, message.payload, bag)
            except HubError as error:
                raise RemoteProtocolError(f"telemetry of {quoted(self._device_id)}: {error.message}") from None
            ack()
        elif topic.startswith(_TWIN_GET):
            await self._answer_twin_get(topic)
        elif topic.startswith(_TWIN_REPORT):
            await self._answer_report(topic, message.payload)
        elif topic.startswith(_METHOD_ANSWERS):
            self._take_method_answer(topic, message.payload)
        else:
            raise RemoteProtocolError(f"{quoted(topic)} is no topic that {quoted(self._device_id)} may publish to")

    async def subscribe(self, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        granted = [min(qos, 1) if name in self._grantable else SUBSCRIPTION_REFUSED for name, qos in filters]
        self._filters.update(name for name, _ in filters if name in self._grantable)
        self._remember()
        return granted

    def subscribed(self) -> None:
        self._listen()

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        self._filters.difference_update(filters)
        self._remember()
        self._listen()

    async def closed(self, *, orderly: bool) -> None:
        self._filters.clear()
        self._listen()
        try:
            if self._will is not None and not orderly:
                await self._send_will(self._will)
        finally:
            await self._responder.leave(self._connected)

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
        bag = parse_bag(_bag_of(will.topic, self._prefix) or "")
        properties = {**bag.properties, "iothub-MessageType": "Will"}
        if will.retain:
            properties["mqtt-retain"] = "true"
        marked = PropertyBag(system=bag.system, properties=properties, size=bag.size)
        try:
            await self._responder.send(self._connected, will.payload, marked)
        except HubError as error:
            _log.info("will of device %s was not kept: %s", quoted(self._device_id), error.message)

    # ------------------------------------------------------------ twin

    async def _answer_twin_get(self, topic: str) -> None:
        rid = _query(topic).get("$rid", "")
        if TWIN_ANSWERS not in self._filters:
            return
        try:
            status, body = 200, await self._responder.read_twin(self._connected)
        except Exception as fault:
            status, body = self._refusal(fault)
        self._answer(f"$iothub/twin/res/{status}/?$rid={rid}", body)

    async def _answer_report(self, topic: str, payload: bytes) -> None:
        query = _query(topic)
        rid, wanted = query.get("$rid", ""), query.get("$version", "")
        expected = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) <= MAX_VERSION_DIGITS else None
        try:
            version = await self._responder.report(self._connected, payload, expected)
        except Exception as fault:
            status, body = self._refusal(fault)
            suffix = ""
        else:
            status, body, suffix = 204, b"", f"&$version={version}"
        if TWIN_ANSWERS in self._filters:
            self._answer(f"$iothub/twin/res/{status}/?$rid={rid}{suffix}", body)

    def _refusal(self, fault: Exception) -> tuple[int, bytes]:
        if not isinstance(fault, HubError):
            _log.error("a twin operation of device %s failed", quoted(self._device_id), exc_info=fault)
        error = as_hub_error(fault)
        return error.code.status, self._front_end.error_body(error)

    def _listen(self) -> None:
        """Follow desired changes, and take calls, exactly while the device is subscribed to them."""
        methods = self._front_end.methods
        if METHOD_CALLS not in self._filters:
            if self._methods is not None:
                methods.forget(self._device_id, self._methods)
                self._methods = None
        elif self._methods is None:
            self._methods = methods.listen(self._device_id, self._call_method)
        twins = self._front_end.twins
        if DESIRED_CHANGES in self._filters:
            twins.listen(self._device_id, self._changed)
        else:
            twins.forget(self._device_id, self._changed)

    def _desired_changed(self, change: JsonObject, version: int) -> None:
        body = msgspec.json.encode({**change, "$version": version})
        self._publish(f"$iothub/twin/PATCH/properties/desired/?$version={version}", body)

    # ------------------------------------------------------------ direct methods

    def _call_method(self, call: MethodCall) -> None:
        # C compares what stands before the request id, so nothing else goes in (contract hub.md 13.7).
        self._publish(f"$iothub/methods/POST/{call.name}/?$rid={call.request_id}", call.payload)

    def _take_method_answer(self, topic: str, payload: bytes) -> None:
        status = topic.removeprefix(_METHOD_ANSWERS).partition("/")[0]
        digits = status.removeprefix("-")
        if self._methods is None or not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_STATUS_DIGITS):
            return  # nobody could make anything of it
        answer = MethodAnswer(status=int(status), payload=payload)
        self._methods.answer(_query(topic).get("$rid", ""), answer)

    # ------------------------------------------------------------ what is sent

    def _answer(self, topic: str, body: bytes) -> None:
        try:
            self._publish(topic, body)
        except ValueError:
            raise RemoteProtocolError("a request id leaves no room for it in the answer's topic") from None

    def _publish(self, topic: str, body: bytes) -> None:
        _ = self._link.publish(topic, body)

    def _remember(self) -> None:
        if not self._clean:
            self._front_end.keep(self._connected, frozenset(self._filters))


def _bag_of(topic: str, prefix: str) -> str | None:
    """Return the property bag of a telemetry topic, None for another topic."""
    if not topic.startswith(prefix):
        return None
    rest = topic[len(prefix) :]
    if not rest:
        return ""
    return rest[1:] if rest[0] == "/" else None


def _marked(bag: PropertyBag, message: Publish) -> PropertyBag:
    """Hand the packet's flags on as properties (contract hub.md 13.4)."""
    flags = {"mqtt-retain": message.retain, "mqtt-dup": message.dup}
    properties = {**bag.properties, **{name: "true" for name, flag in flags.items() if flag}}
    return PropertyBag(system=bag.system, properties=properties, size=bag.size)


def _parameters(text: str) -> dict[str, str]:
    """Read the parameters of a user name; older clients leave out the `?` and part them with slashes."""
    marked = text.startswith("?")
    parameters: dict[str, str] = {}
    for item in text.removeprefix("?").replace("&" if marked else "/", "&").split("&"):
        name, _, value = item.partition("=")
        parameters.setdefault(unquote(name), unquote(value))
    return parameters


def _query(topic: str) -> dict[str, str]:
    """Read the query of a twin topic; values are echoed, so they stay as they came."""
    fields: dict[str, str] = {}
    for item in topic.partition("?")[2].split("&"):
        name, _, value = item.partition("=")
        fields.setdefault(name, value)
    return fields
