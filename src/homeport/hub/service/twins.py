"""Twins as services read and write them (contract hub.md 6)."""

from homeport.hub import translate
from homeport.hub.etags import twin_version
from homeport.hub.messages import Messages
from homeport.hub.model import Device
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer, read
from homeport.hub.twins import Twins
from homeport.wire import hub_service as wire


class TwinsResponder:
    def __init__(self, twins: Twins, messages: Messages) -> None:
        self._twins = twins
        self._messages = messages

    async def get(self, device_id: str, module_id: str | None = None) -> Reply:
        return await self._answer(await self._twins.get(translate.check_identity_id(device_id, module_id)))

    async def patch(self, device_id: str, module_id: str | None, body: bytes, if_match: str | None) -> Reply:
        identity = translate.check_identity_id(device_id, module_id)
        twin = translate.read_twin(read(wire.twin_decoder, body))
        version = twin_version(if_match)
        return await self._answer(
            await self._twins.patch(identity, tags=twin.tags, desired=twin.desired, expected_version=version)
        )

    async def put(self, device_id: str, module_id: str | None, body: bytes, if_match: str | None) -> Reply:
        identity = translate.check_identity_id(device_id, module_id)
        twin = translate.read_twin(read(wire.twin_decoder, body))
        version = twin_version(if_match)
        return await self._answer(
            await self._twins.replace(identity, tags=twin.tags, desired=twin.desired, expected_version=version)
        )

    async def _answer(self, device: Device) -> Reply:
        device_id = device.identity.device_id
        counts = await self._messages.counts([device_id])
        document = translate.twin_document(device, counts.get(device_id, 0))
        return answer(document, {"ETag": f'"{device.twin.etag}"'})
