"""The client of a hub: its registry, ours or Azure's (contract hub.md 3 to 8), and the telemetry of ours."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec

from homeport.client._async.http import only, segment
from homeport.client._async.service_client import ServiceClient
from homeport.client.answers import decode, refusal
from homeport.client.hub_models import (
    BulkDevice,
    BulkDeviceResult,
    Device,
    DeviceAuthentication,
    DeviceCapabilities,
    FileUpload,
    FileUploadChanges,
    JsonObject,
    KeyRegeneration,
    Module,
    PolicyKey,
    PurgeResult,
    RegistryStatistics,
    ServiceStatistics,
    Twin,
)
from homeport.client.hub_registry_requests import device_document, if_match, is_result, module_document
from homeport.client.models import Page
from homeport.client.telemetry import TelemetryCount, TelemetryMessage

T = TypeVar("T")

_ALL = "SELECT * FROM devices"
_FILE_UPLOAD = "/fileUpload"
_TELEMETRY = "/homeport/telemetry"


class HubRegistryClient(ServiceClient):
    """A hub's identities, modules, queries and telemetry, and where its files go.

    Every method raises ProvisioningServiceError or TransportError.
    """

    API_VERSION: ClassVar[str] = "2021-04-12"

    async def get_device(self, device_id: str) -> Device:
        """Return a device's identity. NotFoundError if there is none."""
        return await self._get(f"/devices/{segment(device_id)}", Device)

    async def list_devices(self, *, top: int = 1000) -> list[Device]:
        """Return up to `top` (at most 1000) identities in no particular order; `query_twins` reaches them all."""
        response = await self._session.send("GET", "/devices", query={"top": str(top)}, repeatable=True)
        return decode(response.content, list[Device])

    async def create_device(
        self,
        device_id: str,
        *,
        authentication: DeviceAuthentication | None = None,
        status: str = "enabled",
        status_reason: str | None = None,
        iot_edge: bool = False,
    ) -> Device:
        """Make a device and return it; the hub makes keys if no authentication is given. ConflictError if it exists."""
        device = Device(
            device_id=device_id,
            authentication=authentication,
            status=status,
            status_reason=status_reason,
            capabilities=DeviceCapabilities(iot_edge=iot_edge),
        )
        return await self._put_identity(f"/devices/{segment(device_id)}", device_document(device), {}, Device)

    async def replace_device(self, device: Device, *, force: bool = False) -> Device:
        """Write a device as it is given (`msgspec.structs.replace` makes the changed one) and return it.

        Without authentication the hub makes new keys. PreconditionFailedError if somebody changed it since it was
        read, unless `force`; NotFoundError if there is none.
        """
        headers = if_match(None if force else device.etag)
        return await self._put_identity(
            f"/devices/{segment(device.device_id)}", device_document(device), headers, Device
        )

    async def set_device_status(self, device_id: str, status: str, *, reason: str | None = None) -> Device:
        """Write `enabled` or `disabled` and why, and return the device; a disabled one is cut off at once."""
        device = await self.get_device(device_id)
        return await self.replace_device(msgspec.structs.replace(device, status=status, status_reason=reason))

    async def delete_device(self, device_id: str, *, etag: str | None = None) -> None:
        """Delete a device and its twin; with `etag`, only that version. NotFoundError if there is none."""
        await self._session.send("DELETE", f"/devices/{segment(device_id)}", headers=if_match(etag), repeatable=True)

    async def bulk(self, entries: Sequence[BulkDevice]) -> BulkDeviceResult:
        """Carry out up to 100 entries, each on its own; the result tells which were not."""
        return await self._one_by_one("/devices", msgspec.json.encode(entries), BulkDeviceResult)

    async def regenerate_keys(
        self, devices: Sequence[str], *, key: PolicyKey = PolicyKey.BOTH, modules: Sequence[tuple[str, str]] = ()
    ) -> KeyRegeneration:
        """Make new keys for up to 100 devices and modules (device id and module id), each on its own."""
        owners = [{"id": device_id} for device_id in devices]
        owners += [{"id": device_id, "moduleId": module_id} for device_id, module_id in modules]
        body = msgspec.json.encode({"policyKey": key.value, "devices": owners})
        return await self._one_by_one("/devices/keys/regenerate", body, KeyRegeneration)

    async def purge_messages(self, device_id: str) -> int:
        """Empty a device's queue of cloud-to-device messages; return how many it had."""
        response = await self._session.send("DELETE", f"/devices/{segment(device_id)}/commands", repeatable=True)
        return decode(response.content, PurgeResult).total_messages_purged

    # --- modules ----------------------------------------------------------------------------------------------

    async def modules(self, device_id: str) -> list[Module]:
        """Return the modules of a device. NotFoundError if there is no such device."""
        return await self._get(f"/devices/{segment(device_id)}/modules", list[Module])

    async def get_module(self, device_id: str, module_id: str) -> Module:
        """Return a module. NotFoundError if there is none."""
        return await self._get(_module(device_id, module_id), Module)

    async def create_module(
        self,
        device_id: str,
        module_id: str,
        *,
        authentication: DeviceAuthentication | None = None,
        managed_by: str | None = None,
    ) -> Module:
        """Make a module and return it; like `create_device`."""
        module = Module(device_id=device_id, module_id=module_id, authentication=authentication, managed_by=managed_by)
        return await self._put_identity(_module(device_id, module_id), module_document(module), {}, Module)

    async def replace_module(self, module: Module, *, force: bool = False) -> Module:
        """Write a module as it is given and return it; like `replace_device`."""
        path = _module(module.device_id, module.module_id)
        return await self._put_identity(path, module_document(module), if_match(None if force else module.etag), Module)

    async def delete_module(self, device_id: str, module_id: str, *, etag: str | None = None) -> None:
        """Delete a module and its twin; with `etag`, only that version. NotFoundError if there is none."""
        await self._session.send("DELETE", _module(device_id, module_id), headers=if_match(etag), repeatable=True)

    # --- twins, queries, statistics ---------------------------------------------------------------------------

    async def get_twin(self, device_id: str, *, module_id: str | None = None) -> Twin:
        """Return the twin of a device or module. NotFoundError if there is none."""
        within = "" if module_id is None else f"/modules/{segment(module_id)}"
        return await self._get(f"/twins/{segment(device_id)}{within}", Twin)

    def query_twins(self, query: str = _ALL, *, page_size: int | None = None) -> AsyncIterator[Twin]:
        """Yield the twins that a `SELECT *` query finds; further pages are asked for when they are reached."""
        return self._every("/devices/query", Twin, query=query, page_size=page_size)

    async def page_twins(
        self, query: str = _ALL, *, page_size: int | None = None, continuation: str | None = None
    ) -> Page[Twin]:
        """Return one page; `continuation` is that of the page before, of the same query."""
        return await self._page("/devices/query", Twin, query=query, page_size=page_size, continuation=continuation)

    def query(self, query: str, *, page_size: int | None = None) -> AsyncIterator[JsonObject]:
        """Yield the rows of any query as JSON objects (docs/reference/queries.md); pages as for `query_twins`."""
        return self._every("/devices/query", dict[str, Any], query=query, page_size=page_size)

    async def page_query(
        self, query: str, *, page_size: int | None = None, continuation: str | None = None
    ) -> Page[JsonObject]:
        """Return one page of it."""
        return await self._page(
            "/devices/query", dict[str, Any], query=query, page_size=page_size, continuation=continuation
        )

    async def get_registry_statistics(self) -> RegistryStatistics:
        """Count the devices: all, enabled, disabled."""
        return await self._get("/statistics/devices", RegistryStatistics)

    async def get_service_statistics(self) -> ServiceStatistics:
        """Count the connected devices."""
        return await self._get("/statistics/service", ServiceStatistics)

    # --- files, of a Homeport only ----------------------------------------------------------------------------

    async def file_upload(self) -> FileUpload:
        """Return where the hub keeps the files that devices upload."""
        return await self._get(_FILE_UPLOAD, FileUpload)

    async def set_file_upload(self, changes: FileUploadChanges) -> FileUpload:
        """Change it, and return how it is now."""
        response = await self._session.send("PUT", _FILE_UPLOAD, body=msgspec.json.encode(changes), repeatable=True)
        return decode(response.content, FileUpload)

    # --- telemetry, of a Homeport only ------------------------------------------------------------------------

    async def telemetry(self, device_id: str | None = None, *, limit: int = 100) -> list[TelemetryMessage]:
        """Return up to `limit` (at most 1000) messages of a device, or of all, newest first."""
        query = only({"limit": str(limit), "deviceId": device_id})
        response = await self._session.send("GET", _TELEMETRY, query=query, repeatable=True)
        return decode(response.content, list[TelemetryMessage])

    async def telemetry_count(self, device_id: str) -> int:
        """Count the messages of a device in the hub's log."""
        response = await self._session.send(
            "GET", f"{_TELEMETRY}/count", query={"deviceId": device_id}, repeatable=True
        )
        return decode(response.content, TelemetryCount).count

    async def _put_identity(
        self, path: str, document: Mapping[str, Any], headers: Mapping[str, str], kind: type[T]
    ) -> T:
        response = await self._session.send(
            "PUT",
            path,
            body=msgspec.json.encode(document),
            headers=headers,
            # Keys that the hub makes, and versions, are not to be made twice.
            repeatable=headers.get("If-Match") == "*" and "authentication" in document,
        )
        return decode(response.content, kind)

    async def _one_by_one(self, path: str, body: bytes, kind: type[T]) -> T:
        """Send what is done entry by entry: a 400 with a result says that not all were (contract hub.md 4.6, 4.8)."""
        response = await self._session.send("POST", path, body=body, answers=(400,), repeatable=False)
        if response.status_code == 400 and not is_result(response.content):
            raise refusal(response.status_code, response.headers, response.content)
        return decode(response.content, kind)


def _module(device_id: str, module_id: str) -> str:
    return f"/devices/{segment(device_id)}/modules/{segment(module_id)}"
