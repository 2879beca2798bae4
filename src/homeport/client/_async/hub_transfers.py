"""The client of imports and exports: a hub's registry from and to blob containers (contract hub.md 10)."""

from typing import Any

import msgspec

from homeport.client._async.http import segment
from homeport.client._async.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.hub_transfer_models import TransferJob

_JOBS = "/jobs"


class HubTransfersClient(ServiceClient):
    """Exports a hub's devices into a blob, and imports them from one; a hub does one at a time.

    Containers are given by addresses that carry a signature (SAS): for an import the first must allow to read and
    list, the second, where errors are written, to write and delete; for an export it must allow to write and delete.
    Every method raises ProvisioningServiceError (BadRequestError for a container that cannot be used, UnauthorizedError
    with the status 403 while another one runs) or TransportError.
    """

    async def export_devices(
        self,
        container_url: str,
        *,
        blob_name: str | None = None,
        exclude_keys: bool = False,
        include_configurations: bool = False,
    ) -> TransferJob:
        """Write every device and module, a JSON document a line, into a blob (`devices.txt`)."""
        return await self._create(
            {
                "type": "export",
                "outputBlobContainerUri": container_url,
                "outputBlobName": blob_name,
                "excludeKeysInExport": exclude_keys,
                "includeConfigurations": include_configurations,
            }
        )

    async def import_devices(
        self,
        container_url: str,
        *,
        errors_container_url: str | None = None,
        blob_name: str | None = None,
        include_configurations: bool = False,
    ) -> TransferJob:
        """Carry out each line of a blob (`devices.txt`) on its own; what failed is in `importErrors.log`."""
        return await self._create(
            {
                "type": "import",
                "inputBlobContainerUri": container_url,
                "inputBlobName": blob_name,
                "outputBlobContainerUri": errors_container_url or container_url,
                "includeConfigurations": include_configurations,
            }
        )

    async def transfer_jobs(self) -> list[TransferJob]:
        """Return the imports and exports that the hub remembers."""
        return await self._get(_JOBS, list[TransferJob])

    async def get_transfer_job(self, job_id: str) -> TransferJob:
        """Return an import or export as it stands. NotFoundError if there is none."""
        return await self._get(f"{_JOBS}/{segment(job_id)}", TransferJob)

    async def cancel_transfer_job(self, job_id: str) -> None:
        """Stop an import or export; what it has done stays done."""
        await self._session.send("DELETE", f"{_JOBS}/{segment(job_id)}", repeatable=True)

    async def _create(self, document: dict[str, Any]) -> TransferJob:
        given = {name: value for name, value in document.items() if value is not None}
        response = await self._session.send(
            "POST", f"{_JOBS}/create", body=msgspec.json.encode(given), repeatable=False
        )
        return decode(response.content, TransferJob)
