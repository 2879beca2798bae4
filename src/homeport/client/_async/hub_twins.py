"""The client of what a hub passes on to devices: twins written, methods and commands called (hub.md 6, 7, 12)."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from homeport.client._async.http import only, segment
from homeport.client._async.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.hub_models import JsonObject, MethodResult, Twin

RESPONSE_SECONDS = 30
_MARGIN = 15.0
"""Seconds that an answer may take beyond the times given to the device."""


class HubTwinsClient(ServiceClient):
    """Writes twins and calls methods. Every method raises ProvisioningServiceError or TransportError."""

    async def update_twin(
        self,
        device_id: str,
        *,
        module_id: str | None = None,
        tags: Mapping[str, Any] | None = None,
        desired: Mapping[str, Any] | None = None,
        etag: str | None = None,
    ) -> Twin:
        """Merge into tags and desired properties and return the twin; None as a value removes a member.

        With `etag` only that version: PreconditionFailedError for another.
        """
        return await self._write_twin("PATCH", device_id, module_id, tags, desired, etag)

    async def replace_twin(
        self,
        device_id: str,
        *,
        module_id: str | None = None,
        tags: Mapping[str, Any],
        desired: Mapping[str, Any],
        etag: str | None = None,
    ) -> Twin:
        """Replace tags and desired properties as a whole and return the twin; `etag` as for `update_twin`."""
        return await self._write_twin("PUT", device_id, module_id, tags, desired, etag)

    async def call_method(
        self,
        device_id: str,
        method: str,
        payload: Any = None,
        *,
        module_id: str | None = None,
        response_timeout: int = RESPONSE_SECONDS,
        connect_timeout: int = 0,
    ) -> MethodResult:
        """Call a direct method and return what the device answered; times are in seconds, 5 to 300 and 0 to 300.

        NotFoundError also for a device that is not connected; ProvisioningServiceError with the status 504 when it
        does not answer. A call whose answer was lost is not repeated.
        """
        document = {
            "methodName": method,
            "payload": payload,
            "responseTimeoutInSeconds": response_timeout,
            "connectTimeoutInSeconds": connect_timeout,
        }
        response = await self._session.send(
            "POST",
            f"{_twin(device_id, module_id)}/methods",
            body=msgspec.json.encode(document),
            seconds=response_timeout + connect_timeout + _MARGIN,
            repeatable=False,
        )
        return decode(response.content, MethodResult)

    # --- digital twins ----------------------------------------------------------------------------------------

    async def get_digital_twin(self, device_id: str) -> JsonObject:
        """Return a device's digital twin: `$metadata` with its model, properties, components."""
        response = await self._session.send("GET", f"/digitaltwins/{segment(device_id)}", repeatable=True)
        return decode(response.content, dict[str, Any])

    async def update_digital_twin(
        self, device_id: str, patch: Sequence[Mapping[str, Any]], *, etag: str | None = None
    ) -> None:
        """Write properties by a JSON patch (RFC 6902: `op`, `path`, `value`)."""
        await self._session.send(
            "PATCH",
            f"/digitaltwins/{segment(device_id)}",
            body=msgspec.json.encode(list(patch)),
            headers=only({"If-Match": None if etag is None else f'"{etag}"'}),
            repeatable=True,
        )

    async def call_command(
        self,
        device_id: str,
        command: str,
        payload: Any = None,
        *,
        component: str | None = None,
        response_timeout: int = RESPONSE_SECONDS,
        connect_timeout: int = 0,
    ) -> MethodResult:
        """Call a command of a device, or of one of its components; like `call_method`."""
        within = "" if component is None else f"/components/{segment(component)}"
        response = await self._session.send(
            "POST",
            f"/digitaltwins/{segment(device_id)}{within}/commands/{segment(command)}",
            body=msgspec.json.encode(payload),
            query={
                "responseTimeoutInSeconds": str(response_timeout),
                "connectTimeoutInSeconds": str(connect_timeout),
            },
            seconds=response_timeout + connect_timeout + _MARGIN,
            repeatable=False,
        )
        status = response.headers.get("x-ms-command-statuscode", "")
        answered = decode(response.content, Any) if response.content else None
        return MethodResult(status=int(status) if status.lstrip("-").isdecimal() else 200, payload=answered)

    async def _write_twin(
        self,
        method: str,
        device_id: str,
        module_id: str | None,
        tags: Mapping[str, Any] | None,
        desired: Mapping[str, Any] | None,
        etag: str | None,
    ) -> Twin:
        document: dict[str, Any] = {}
        if tags is not None:
            document["tags"] = tags
        if desired is not None:
            document["properties"] = {"desired": desired}
        response = await self._session.send(
            method,
            _twin(device_id, module_id),
            body=msgspec.json.encode(document),
            headers=only({"If-Match": None if etag is None else f'"{etag}"'}),
            repeatable=etag is None,
        )
        return decode(response.content, Twin)


def _twin(device_id: str, module_id: str | None) -> str:
    within = "" if module_id is None else f"/modules/{segment(module_id)}"
    return f"/twins/{segment(device_id)}{within}"
