"""Device identities (contract hub.md 4)."""

from homeport.hub import translate
from homeport.hub.errors import HubCode, HubError
from homeport.hub.messages import Messages
from homeport.hub.model import DeviceIdentity
from homeport.hub.registry import MAX_LISTED, Registry
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer, read
from homeport.wire import hub_service as wire


class DevicesResponder:
    def __init__(self, registry: Registry, messages: Messages) -> None:
        self._registry = registry
        self._messages = messages

    async def get(self, device_id: str) -> Reply:
        identity = await self._registry.get(translate.check_device_id(device_id))
        return await self._device(identity)

    async def put(self, device_id: str, body: bytes, if_match: str | None) -> Reply:
        """Create without If-Match, update with it (contract hub.md 4.4)."""
        translate.check_device_id(device_id)
        write = translate.read_identity(device_id, read(wire.device_decoder, body))
        if if_match is None:
            identity = await self._registry.create(write)
        else:
            identity = await self._registry.update(write, expected_etag=translate.read_etag(if_match))
        return await self._device(identity)

    async def delete(self, device_id: str, if_match: str | None) -> Reply:
        if if_match is None:
            raise HubError(HubCode.ARGUMENT_INVALID, "Deleting a device needs the header If-Match: an etag, or *.")
        translate.check_device_id(device_id)
        await self._registry.delete(device_id, expected_etag=translate.read_etag(if_match))
        return Reply(status=204)

    async def list(self, top: str | None) -> Reply:
        limit = int(top) if top and top.isascii() and top.isdigit() and len(top) <= 4 else MAX_LISTED
        identities = await self._registry.list(limit if 1 <= limit <= MAX_LISTED else MAX_LISTED)
        counts = await self._messages.counts([identity.device_id for identity in identities])
        return answer(
            [translate.device_document(identity, counts.get(identity.device_id, 0)) for identity in identities]
        )

    async def purge(self, device_id: str) -> Reply:
        """Empty the device's queue of cloud-to-device messages (contract hub.md 4.3)."""
        identity = await self._registry.get(translate.check_device_id(device_id))
        count = await self._messages.purge(identity.device_id)
        return answer(wire.PurgeResult(device_id=identity.device_id, total_messages_purged=count))

    async def _device(self, identity: DeviceIdentity) -> Reply:
        counts = await self._messages.counts([identity.device_id])
        document = translate.device_document(identity, counts.get(identity.device_id, 0))
        return answer(document, {"ETag": document.etag})
