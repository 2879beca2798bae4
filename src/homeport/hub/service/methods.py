"""Services call a device's direct methods (contract hub.md 7)."""

from msgspec import Raw

from homeport.hub import translate
from homeport.hub.errors import HubCode, HubError
from homeport.hub.methods import MAX_PAYLOAD_BYTES, Methods
from homeport.hub.model import DeviceStatus
from homeport.hub.registry import Registry
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer, read
from homeport.wire import TooLargeError, WireError, decode
from homeport.wire import hub_service as wire

DEFAULT_RESPONSE_SECONDS = 30
_RESPONSE_SECONDS = range(5, 301)
_CONNECT_SECONDS = range(301)
_MAX_NAME = 100


class MethodsResponder:
    def __init__(self, registry: Registry, methods: Methods) -> None:
        self._registry = registry
        self._methods = methods

    async def call(self, device_id: str, module_id: str | None, body: bytes) -> Reply:
        """Call a method of a device or module and answer with what it said. Refusals have the form of method errors."""
        call = read(wire.method_decoder, body, MAX_PAYLOAD_BYTES + 4096)
        name = call.method_name
        if not name or len(name) > _MAX_NAME or "/" in name or not name.isprintable() or set(name) & set("+#?"):
            raise HubError(HubCode.ARGUMENT_INVALID, f"methodName has 1 to {_MAX_NAME} characters and none of / + # ?")
        payload = bytes(call.payload) or b"null"
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise HubError(HubCode.MESSAGE_TOO_LARGE, f"A payload has at most {MAX_PAYLOAD_BYTES} bytes.")
        response_seconds = _seconds(
            call.response_timeout_in_seconds, "responseTimeoutInSeconds", _RESPONSE_SECONDS, DEFAULT_RESPONSE_SECONDS
        )
        connect_seconds = _seconds(call.connect_timeout_in_seconds, "connectTimeoutInSeconds", _CONNECT_SECONDS, 0)
        identity = await self._registry.get(translate.check_identity_id(device_id, module_id))
        if identity.status is DeviceStatus.DISABLED:
            raise HubError(HubCode.DEVICE_NOT_FOUND, f"Device {device_id} is disabled.")
        answered = await self._methods.call(
            identity.device_id, name, payload, connect_timeout=connect_seconds, response_timeout=response_seconds
        )
        return answer(wire.MethodResult(status=answered.status, payload=_json(answered.payload)))


def _seconds(value: int | None, member: str, allowed: range, default: int) -> int:
    if value is None:
        return default
    if value not in allowed:
        raise HubError(HubCode.ARGUMENT_INVALID, f"{member} is not between {allowed[0]} and {allowed[-1]}.")
    return value


def _json(payload: bytes) -> Raw:
    """Take the device's body as JSON; none is null."""
    if not payload.strip():
        return Raw(b"null")
    try:
        return decode(wire.json_decoder, payload, limit=MAX_PAYLOAD_BYTES)
    except TooLargeError:
        raise HubError(HubCode.BAD_GATEWAY, f"The device answered with more than {MAX_PAYLOAD_BYTES} bytes.") from None
    except WireError:
        raise HubError(HubCode.BAD_GATEWAY, "The device answered with a body that is not JSON.") from None
