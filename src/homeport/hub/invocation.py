"""Calling a direct method for whoever wants it called: services, jobs, digital twins (contract hub.md 7)."""

from homeport.hub.errors import HubCode, HubError
from homeport.hub.identifiers import device_of
from homeport.hub.methods import MAX_PAYLOAD_BYTES, MethodAnswer, MethodCalls
from homeport.hub.model import DeviceStatus, MethodRequest
from homeport.hub.registry import Registry
from homeport.wire import TooLargeError, WireError, decode
from homeport.wire import hub_service as wire

DEFAULT_RESPONSE_SECONDS = 30
_RESPONSE_SECONDS = range(5, 301)
_CONNECT_SECONDS = range(301)
_MAX_NAME = 100


def method_request(
    name: str, payload: bytes, *, response_timeout: int | None, connect_timeout: int | None
) -> MethodRequest:
    """Make a request of what a caller gave. Raises HubError ARGUMENT_INVALID or MESSAGE_TOO_LARGE."""
    if not name or len(name) > _MAX_NAME or "/" in name or not name.isprintable() or set(name) & set("+#?"):
        raise HubError(HubCode.ARGUMENT_INVALID, f"methodName has 1 to {_MAX_NAME} characters and none of / + # ?")
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise HubError(HubCode.MESSAGE_TOO_LARGE, f"A payload has at most {MAX_PAYLOAD_BYTES} bytes.")
    return MethodRequest(
        name=name,
        payload=payload or b"null",
        response_timeout=_seconds(
            response_timeout, "responseTimeoutInSeconds", _RESPONSE_SECONDS, DEFAULT_RESPONSE_SECONDS
        ),
        connect_timeout=_seconds(connect_timeout, "connectTimeoutInSeconds", _CONNECT_SECONDS, 0),
    )


async def invoke(registry: Registry, methods: MethodCalls, identity_id: str, request: MethodRequest) -> MethodAnswer:
    """Call a device or module and return its answer, whose payload is JSON.

    Raises HubError as `MethodCalls.call` does, DEVICE_NOT_FOUND or MODULE_NOT_FOUND (DEVICE_NOT_FOUND also of a
    disabled device), BAD_GATEWAY for an answer that is no JSON or too large.
    """
    identity = await registry.get(identity_id)
    if identity.status is DeviceStatus.DISABLED:
        raise HubError(HubCode.DEVICE_NOT_FOUND, f"Device {device_of(identity_id)} is disabled.")
    answer = await methods.call(
        identity_id,
        request.name,
        request.payload,
        connect_timeout=request.connect_timeout,
        response_timeout=request.response_timeout,
    )
    return MethodAnswer(status=answer.status, payload=_json(answer.payload))


def _seconds(value: int | None, member: str, allowed: range, default: int) -> int:
    if value is None:
        return default
    if value not in allowed:
        raise HubError(HubCode.ARGUMENT_INVALID, f"{member} is not between {allowed[0]} and {allowed[-1]}.")
    return value


def _json(payload: bytes) -> bytes:
    """Take the device's body as JSON; none is null."""
    if not payload.strip():
        return b"null"
    try:
        return bytes(decode(wire.json_decoder, payload, limit=MAX_PAYLOAD_BYTES))
    except TooLargeError:
        raise HubError(HubCode.BAD_GATEWAY, f"The device answered with more than {MAX_PAYLOAD_BYTES} bytes.") from None
    except WireError:
        raise HubError(HubCode.BAD_GATEWAY, "The device answered with a body that is not JSON.") from None
