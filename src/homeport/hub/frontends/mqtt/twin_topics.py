"""One device's twin over MQTT: read, reported, and followed (contract hub.md 13.6)."""

import logging
import secrets

import msgspec

from homeport.clock import Clock
from homeport.hub.errors import HubError
from homeport.hub.frontends.mqtt.topics import query_of
from homeport.hub.model import JsonObject
from homeport.hub.reply import as_hub_error, twin_error_body
from homeport.hub.responder import Connected, DeviceResponder
from homeport.hub.twins import Twins
from homeport.net.sites import MqttLink
from homeport.proto.mqtt import RemoteProtocolError
from homeport.security.explain import quoted

MAX_VERSION_DIGITS = 18

_log = logging.getLogger(__name__)


class TwinTopics:
    """Answers what one connection asks of its twin."""

    def __init__(
        self, connected: Connected, responder: DeviceResponder, twins: Twins, link: MqttLink, clock: Clock
    ) -> None:
        self.answers = False
        """Whether the device is subscribed to answers."""
        self._connected = connected
        self._device_id = connected.session.device_id
        self._responder = responder
        self._twins = twins
        self._link = link
        self._clock = clock
        self._changed = self._desired_changed  # one bound method, so that it can be told from another session's

    def follow(self, *, wanted: bool) -> None:
        """Send desired changes from now on, or no more."""
        if wanted:
            self._twins.listen(self._device_id, self._changed)
        else:
            self._twins.forget(self._device_id, self._changed)

    async def get(self, topic: str) -> None:
        rid = query_of(topic).get("$rid", "")
        if not self.answers:
            return
        try:
            status, body = 200, await self._responder.read_twin(self._connected)
        except Exception as fault:
            status, body = self._refusal(fault)
        self._answer(f"$iothub/twin/res/{status}/?$rid={rid}", body)

    async def report(self, topic: str, payload: bytes) -> None:
        query = query_of(topic)
        rid, wanted = query.get("$rid", ""), query.get("$version", "")
        expected = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) <= MAX_VERSION_DIGITS else None
        try:
            version = await self._responder.report(self._connected, payload, expected)
        except Exception as fault:
            status, body = self._refusal(fault)
            suffix = ""
        else:
            status, body, suffix = 204, b"", f"&$version={version}"
        if self.answers:
            self._answer(f"$iothub/twin/res/{status}/?$rid={rid}{suffix}", body)

    def _refusal(self, fault: Exception) -> tuple[int, bytes]:
        if not isinstance(fault, HubError):
            _log.error("a twin operation of device %s failed", quoted(self._device_id), exc_info=fault)
        error = as_hub_error(fault)
        return error.code.status, twin_error_body(error, secrets.token_hex(16), self._clock.now())

    def _desired_changed(self, change: JsonObject, version: int) -> None:
        body = msgspec.json.encode({**change, "$version": version})
        _ = self._link.publish(f"$iothub/twin/PATCH/properties/desired/?$version={version}", body)

    def _answer(self, topic: str, body: bytes) -> None:
        try:
            _ = self._link.publish(topic, body)
        except ValueError:
            raise RemoteProtocolError("a request id leaves no room for it in the answer's topic") from None
