"""The client of a hub's configurations (contract hub.md 11)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from homeport.client._async.http import only, segment
from homeport.client._async.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.hub_configuration_models import Configuration, ConfigurationTest, Settings

_CONFIGURATIONS = "/configurations"


class HubConfigurationsClient(ServiceClient):
    """Says what the devices that a condition targets are to have. Raises ProvisioningServiceError, TransportError."""

    async def configurations(self, *, top: int | None = None) -> list[Configuration]:
        """Return the configurations, at most `top`; a hub has a hundred at most."""
        query = only({"top": None if top is None else str(top)})
        response = await self._session.send("GET", _CONFIGURATIONS, query=query, repeatable=True)
        return decode(response.content, list[Configuration])

    async def get_configuration(self, configuration_id: str) -> Configuration:
        """Return a configuration with its metrics. NotFoundError if there is none."""
        return await self._get(f"{_CONFIGURATIONS}/{segment(configuration_id)}", Configuration)

    async def create_configuration(self, configuration: Configuration) -> Configuration:
        """Make a configuration. ConflictError if its id is taken, BadRequestError for what the hub does not take."""
        return await self._put_configuration(configuration, None)

    async def update_configuration(self, configuration: Configuration, *, force: bool = False) -> Configuration:
        """Change condition, priority, labels or metrics of the version that `configuration` is.

        Its content stays as it was made. With `force` any version is overwritten; otherwise PreconditionFailedError
        if somebody changed it meanwhile.
        """
        return await self._put_configuration(
            configuration, "*" if force or configuration.etag is None else configuration.etag
        )

    async def delete_configuration(self, configuration_id: str, *, etag: str | None = None) -> None:
        """Delete a configuration; devices get what the next one in line says. NotFoundError if there is none."""
        headers = only({"If-Match": None if etag is None else f'"{etag}"'})
        path = f"{_CONFIGURATIONS}/{segment(configuration_id)}"
        await self._session.send("DELETE", path, headers=headers, repeatable=True)

    async def check_configuration_queries(
        self, target_condition: str, metrics: Mapping[str, str] | None = None
    ) -> ConfigurationTest:
        """Say what is wrong with a target condition and with metrics, by name; nothing is stored."""
        document = {"targetCondition": target_condition, "customMetricQueries": dict(metrics or {})}
        response = await self._session.send(
            "POST", f"{_CONFIGURATIONS}/testQueries", body=msgspec.json.encode(document), repeatable=True
        )
        return decode(response.content, ConfigurationTest)

    async def apply_configuration_content(self, device_id: str, modules_content: Mapping[str, Settings]) -> None:
        """Give one Edge device the content of a deployment, once. BadRequestError for a device that is not Edge."""
        await self._session.send(
            "POST",
            f"/devices/{segment(device_id)}/applyConfigurationContent",
            body=msgspec.json.encode({"modulesContent": modules_content}),
            repeatable=True,
        )

    async def _put_configuration(self, configuration: Configuration, etag: str | None) -> Configuration:
        document: dict[str, Any] = {
            "id": configuration.id,
            "schemaVersion": configuration.schema_version,
            "labels": configuration.labels,
            "content": configuration.content,
            "targetCondition": configuration.target_condition,
            "priority": configuration.priority,
            "metrics": {"queries": configuration.metrics.queries},
        }
        quoted = None if etag is None else etag if etag == "*" else f'"{etag}"'
        response = await self._session.send(
            "PUT",
            f"{_CONFIGURATIONS}/{segment(configuration.id)}",
            body=msgspec.json.encode(document),
            headers=only({"If-Match": quoted}),
            repeatable=etag == "*",
        )
        return decode(response.content, Configuration)
