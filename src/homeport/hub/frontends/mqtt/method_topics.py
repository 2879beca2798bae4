"""Direct methods of one device over MQTT (contract hub.md 13.7)."""

from homeport.hub.frontends.mqtt.topics import METHOD_ANSWERS, query_of
from homeport.hub.methods import MethodAnswer, MethodCall, MethodListener, Methods
from homeport.net.sites import MqttLink

_MAX_STATUS_DIGITS = 9


class MethodTopics:
    """Carries calls to one connection, and its answers back."""

    def __init__(self, device_id: str, methods: Methods, link: MqttLink) -> None:
        self._device_id = device_id
        self._methods = methods
        self._link = link
        self._listener: MethodListener | None = None

    def follow(self, *, wanted: bool) -> None:
        """Take calls from now on, or no more."""
        if wanted and self._listener is None:
            self._listener = self._methods.listen(self._device_id, self._call)
        elif not wanted and self._listener is not None:
            self._methods.forget(self._device_id, self._listener)
            self._listener = None

    def answer(self, topic: str, payload: bytes) -> None:
        """Take an answer; one that nobody could make anything of is dropped."""
        status = topic.removeprefix(METHOD_ANSWERS).partition("/")[0]
        digits = status.removeprefix("-")
        if self._listener is None or not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_STATUS_DIGITS):
            return
        self._listener.answer(query_of(topic).get("$rid", ""), MethodAnswer(status=int(status), payload=payload))

    def _call(self, call: MethodCall) -> None:
        # C compares what stands before the request id, so nothing else goes in.
        _ = self._link.publish(f"$iothub/methods/POST/{call.name}/?$rid={call.request_id}", call.payload)
