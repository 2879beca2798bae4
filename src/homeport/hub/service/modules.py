"""Modules of devices (contract hub.md 4.2, 4.3)."""

from homeport.hub import translate
from homeport.hub.errors import HubCode, HubError
from homeport.hub.messages import Messages
from homeport.hub.model import DeviceIdentity
from homeport.hub.registry import Registry
from homeport.hub.reply import Reply
from homeport.hub.service.bodies import answer, read
from homeport.wire import hub_service as wire


class ModulesResponder:
    def __init__(self, registry: Registry, messages: Messages) -> None:
        self._registry = registry
        self._messages = messages

    async def list(self, device_id: str) -> Reply:
        modules = await self._registry.modules(translate.check_device_id(device_id))
        counts = await self._messages.counts([module.device_id for module in modules])
        return answer([translate.module_document(module, counts.get(module.device_id, 0)) for module in modules])

    async def get(self, device_id: str, module_id: str) -> Reply:
        return await self._module(await self._registry.get(translate.check_identity_id(device_id, module_id)))

    async def put(self, device_id: str, module_id: str, body: bytes, if_match: str | None) -> Reply:
        """Create without If-Match, update with it. Names that begin with `$` are the hub's own to create."""
        write = translate.read_module(device_id, module_id, read(wire.module_decoder, body))
        if if_match is not None:
            etag = translate.read_etag(if_match)
            return await self._module(await self._registry.update(write, expected_etag=etag))
        if module_id.startswith("$"):
            raise HubError(HubCode.ARGUMENT_INVALID, "A module's id begins with $ only if the hub makes it.")
        return await self._module(await self._registry.create(write))

    async def delete(self, device_id: str, module_id: str, if_match: str | None) -> Reply:
        if if_match is None:
            raise HubError(HubCode.ARGUMENT_INVALID, "Deleting a module needs the header If-Match: an etag, or *.")
        identity = translate.check_identity_id(device_id, module_id)
        await self._registry.delete(identity, expected_etag=translate.read_etag(if_match))
        return Reply(status=204)

    async def _module(self, identity: DeviceIdentity) -> Reply:
        counts = await self._messages.counts([identity.device_id])
        document = translate.module_document(identity, counts.get(identity.device_id, 0))
        return answer(document, {"ETag": document.etag})
