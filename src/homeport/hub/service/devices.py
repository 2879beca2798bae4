"""Device identities (contract hub.md 4)."""

from homeport.hub import translate
from homeport.hub.errors import HubCode, HubError
from homeport.hub.registry import MAX_LISTED, Registry
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer, read
from homeport.wire import hub_service as wire


class DevicesResponder:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def get(self, device_id: str) -> Reply:
        identity = await self._registry.get(translate.check_device_id(device_id))
        return _device(translate.device_document(identity))

    async def put(self, device_id: str, body: bytes, if_match: str | None) -> Reply:
        """Create without If-Match, update with it (contract hub.md 4.4)."""
        translate.check_device_id(device_id)
        write = translate.read_identity(device_id, read(wire.device_decoder, body))
        if if_match is None:
            identity = await self._registry.create(write)
        else:
            identity = await self._registry.update(write, expected_etag=translate.read_etag(if_match))
        return _device(translate.device_document(identity))

    async def delete(self, device_id: str, if_match: str | None) -> Reply:
        if if_match is None:
            raise HubError(HubCode.ARGUMENT_INVALID, "Deleting a device needs the header If-Match: an etag, or *.")
        translate.check_device_id(device_id)
        await self._registry.delete(device_id, expected_etag=translate.read_etag(if_match))
        return Reply(status=204)

    async def list(self, top: str | None) -> Reply:
        limit = int(top) if top and top.isascii() and top.isdigit() and len(top) <= 4 else MAX_LISTED
        identities = await self._registry.list(limit if 1 <= limit <= MAX_LISTED else MAX_LISTED)
        return answer([translate.device_document(identity) for identity in identities])


def _device(document: wire.Device) -> Reply:
    return answer(document, {"ETag": document.etag})
