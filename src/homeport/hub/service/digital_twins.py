"""Digital twins: read, patched, and commanded (contract hub.md 12)."""

import uuid
from urllib.parse import quote

from msgspec import UNSET

from homeport.hub import translate
from homeport.hub.digital_twin import Operation, Step, digital_twin, patched
from homeport.hub.errors import HubCode, HubError
from homeport.hub.etags import twin_version
from homeport.hub.invocation import invoke, method_request
from homeport.hub.methods import MAX_PAYLOAD_BYTES, MethodCalls
from homeport.hub.model import Device
from homeport.hub.registry import ROUNDS, Registry, stale
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer, read
from homeport.hub.twin_patch import difference
from homeport.hub.twins import Twins
from homeport.security.explain import quoted
from homeport.wire import hub_digital_twins as wire
from homeport.wire import hub_service

MAX_STEPS = 100
_DEEPEST = 2


class DigitalTwinsResponder:
    def __init__(self, registry: Registry, twins: Twins, methods: MethodCalls) -> None:
        self._registry = registry
        self._twins = twins
        self._methods = methods

    async def get(self, device_id: str) -> Reply:
        device = await self._twins.get(translate.check_device_id(device_id))
        return answer(digital_twin(device), {"ETag": f'"{device.twin.etag}"'})

    async def patch(self, device_id: str, body: bytes, if_match: str | None) -> Reply:
        """Write desired properties by a JSON patch; the device is told of what differs."""
        translate.check_device_id(device_id)
        steps = _read_steps(body)
        expected = twin_version(if_match)
        device = await self._write(device_id, steps, expected)
        return Reply(
            status=202, headers={"ETag": f'"{device.twin.etag}"', "Location": f"/digitaltwins/{quote(device_id)}"}
        )

    async def command(
        self,
        device_id: str,
        component: str | None,
        name: str,
        body: bytes,
        *,
        connect_timeout: str | None,
        response_timeout: str | None,
    ) -> Reply:
        """Call a command and answer with what the device said; its status is in a header."""
        payload = bytes(read(hub_service.json_decoder, body, MAX_PAYLOAD_BYTES)) if body.strip() else b"null"
        request = method_request(
            name if component is None else f"{component}*{name}",
            payload,
            connect_timeout=_seconds(connect_timeout, "connectTimeoutInSeconds"),
            response_timeout=_seconds(response_timeout, "responseTimeoutInSeconds"),
        )
        said = await invoke(self._registry, self._methods, translate.check_device_id(device_id), request)
        headers = {"x-ms-command-statuscode": str(said.status), "x-ms-request-id": str(uuid.uuid4())}
        return Reply(status=200, body=said.payload, headers=headers)

    async def _write(self, device_id: str, steps: list[Step], expected: int | None) -> Device:
        for _ in range(ROUNDS):
            device = await self._twins.get(device_id)
            if expected not in (None, device.twin.version):
                break
            patch = difference(device.twin.desired.content, patched(device, steps))
            if not patch:
                return device
            try:
                return await self._twins.patch(
                    device_id, tags=None, desired=patch, expected_version=device.twin.version
                )
            except HubError as error:
                if error.code is not HubCode.PRECONDITION_FAILED:
                    raise
        raise stale(device_id)


def _read_steps(body: bytes) -> list[Step]:
    try:
        steps = read(wire.patch_decoder, body)
    except HubError as error:
        if error.code is HubCode.ARGUMENT_INVALID:
            raise HubError(HubCode.INVALID_JSON_PATCH, error.message) from None
        raise
    if not 1 <= len(steps) <= MAX_STEPS:
        raise HubError(HubCode.INVALID_JSON_PATCH, f"A patch has 1 to {MAX_STEPS} operations.")
    return [_read_step(step) for step in steps]


def _read_step(step: wire.PatchStep) -> Step:
    try:
        operation = Operation(step.op)
    except ValueError:
        raise HubError(
            HubCode.INVALID_DIGITAL_TWIN_PATCH, f"op is add, replace or remove, not {quoted(step.op)}."
        ) from None
    if operation is not Operation.REMOVE and (step.value is UNSET or step.value is None):
        raise HubError(HubCode.INVALID_DIGITAL_TWIN_PATCH, f"{step.op} needs a value; to take one away is remove.")
    first, *names = step.path.split("/")
    if first or not 1 <= len(names) <= _DEEPEST or any(not name or name.startswith(("$", "__")) for name in names):
        raise HubError(HubCode.INVALID_PATCH_PATH, f"{quoted(step.path)} is neither /property nor /component/property.")
    return Step(operation=operation, path=tuple(names), value=None if step.value is UNSET else step.value)


def _seconds(text: str | None, member: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise HubError(HubCode.ARGUMENT_INVALID, f"{member} is a number of seconds.")
    return int(text)
