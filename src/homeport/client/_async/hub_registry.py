"""The client of a hub: its registry, ours or Azure's (contract hub.md 3 to 8), and the telemetry of ours."""

from collections.abc import AsyncIterator
from typing import ClassVar

import msgspec

from homeport.client._async.http import only, segment
from homeport.client._async.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.hub_models import (
    Device,
    FileUpload,
    FileUploadChanges,
    RegistryStatistics,
    ServiceStatistics,
    Twin,
)
from homeport.client.models import Page
from homeport.client.telemetry import HEARTBEATS_MISSED, EventReader, HubEvent, TelemetryCount, TelemetryMessage

_ALL = "SELECT * FROM devices"
_FILE_UPLOAD = "/fileUpload"
_TELEMETRY = "/homeport/telemetry"


class HubRegistryClient(ServiceClient):
    """Reads a hub's devices and telemetry, removes devices, and says where files go.

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

    async def delete_device(self, device_id: str, *, etag: str | None = None) -> None:
        """Delete a device and its twin; with `etag`, only that version. NotFoundError if there is none."""
        headers = {"If-Match": "*" if etag is None else f'"{etag}"'}
        await self._session.send("DELETE", f"/devices/{segment(device_id)}", headers=headers, repeatable=True)

    async def get_twin(self, device_id: str) -> Twin:
        """Return a device's twin. NotFoundError if there is none."""
        return await self._get(f"/twins/{segment(device_id)}", Twin)

    def query_twins(self, query: str = _ALL, *, page_size: int | None = None) -> AsyncIterator[Twin]:
        """Yield the twins that a `SELECT *` query finds; further pages are asked for when they are reached."""
        return self._every("/devices/query", Twin, query=query, page_size=page_size)

    async def page_twins(
        self, query: str = _ALL, *, page_size: int | None = None, continuation: str | None = None
    ) -> Page[Twin]:
        """Return one page; `continuation` is that of the page before, of the same query."""
        return await self._page("/devices/query", Twin, query=query, page_size=page_size, continuation=continuation)

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

    async def telemetry_stream(
        self, device_id: str | None = None, *, replay: int = 0, telemetry: bool = True, connections: bool = True
    ) -> AsyncIterator[HubEvent]:
        """Yield messages and connection changes of a device, or of all, as they happen.

        Up to `replay` (at most 256) past messages come first, oldest first, without a gap to what follows. The
        stream ends when the hub ends it, after an hour at the latest; ask again. NotFoundError for an unknown
        device.
        """
        events = ",".join(kind for kind, wanted in (("telemetry", telemetry), ("connection", connections)) if wanted)
        query = only({"deviceId": device_id, "replay": str(replay), "events": events})
        reader = EventReader()
        async for line in self._session.lines(f"{_TELEMETRY}/stream", query=query, silence=HEARTBEATS_MISSED):
            event = reader.feed(line)
            if event is not None:
                yield event
