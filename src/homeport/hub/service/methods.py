"""Services call a device's direct methods (contract hub.md 7)."""

from msgspec import Raw

from homeport.hub import translate
from homeport.hub.invocation import invoke, method_request
from homeport.hub.methods import MAX_PAYLOAD_BYTES, MethodCalls
from homeport.hub.registry import Registry
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer, read
from homeport.wire import hub_service as wire


class MethodsResponder:
    def __init__(self, registry: Registry, methods: MethodCalls) -> None:
        self._registry = registry
        self._methods = methods

    async def call(self, device_id: str, module_id: str | None, body: bytes) -> Reply:
        """Call a method of a device or module and answer with what it said. Refusals have the form of method errors."""
        call = read(wire.method_decoder, body, MAX_PAYLOAD_BYTES + 4096)
        request = method_request(
            call.method_name,
            bytes(call.payload),
            response_timeout=call.response_timeout_in_seconds,
            connect_timeout=call.connect_timeout_in_seconds,
        )
        identity = translate.check_identity_id(device_id, module_id)
        answered = await invoke(self._registry, self._methods, identity, request)
        return answer(wire.MethodResult(status=answered.status, payload=Raw(answered.payload)))
