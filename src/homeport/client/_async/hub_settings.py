"""What administrators set of hubs that a Homeport serves, as a part of `HomeportAdminClient` (`/homeport/hubs/…`)."""

from typing import Any

import msgspec

from homeport.client._async.http import only, segment
from homeport.client._async.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.hub_admin_models import (
    CloudToDeviceChanges,
    CloudToDeviceSettings,
    HubCertificate,
    HubCertificates,
)
from homeport.client.hub_models import FileUpload, FileUploadChanges


class HubSettings(ServiceClient):
    """CA certificates, cloud-to-device messages and files of a hub, by its name.

    Every method raises ProvisioningServiceError or TransportError; NotFoundError for a hub that is served elsewhere.
    With `etag`, only that version is changed.
    """

    async def hub_certificates(self, hub: str) -> list[HubCertificate]:
        """Return the CA certificates of a hub, by name."""
        return (await self._get(_path(hub, "certificates"), HubCertificates)).value

    async def get_hub_certificate(self, hub: str, name: str) -> HubCertificate:
        """Return one. NotFoundError if there is none."""
        return await self._get(_certificate(hub, name), HubCertificate)

    async def upload_hub_certificate(
        self, hub: str, name: str, certificate: str, *, verified: bool | None = None, etag: str | None = None
    ) -> HubCertificate:
        """Upload a root or intermediate: PEM, or Base64 of DER. Without `etag` it is created.

        `verified` takes your word for it that the authority is yours; else have a code made and prove it. With
        `etag` (`*`: any version) the one of that name is replaced; another certificate has to be verified again.
        ConflictError if it exists, BadRequestError if it is no CA certificate.
        """
        properties: dict[str, Any] = {"certificate": certificate}
        if verified is not None:
            properties["isVerified"] = verified
        document = {"properties": properties}
        return await self._write_hub_certificate(
            "PUT", _certificate(hub, name), document, etag, repeatable=etag is not None
        )

    async def generate_hub_verification_code(self, hub: str, name: str, *, etag: str | None = None) -> HubCertificate:
        """Have a code made; a certificate with it as its common name, issued by the authority, proves possession."""
        path = f"{_certificate(hub, name)}/generateVerificationCode"
        return await self._write_hub_certificate("POST", path, None, etag, repeatable=True)

    async def verify_hub_certificate(
        self, hub: str, name: str, certificate: str, *, etag: str | None = None
    ) -> HubCertificate:
        """Prove possession with the certificate for the code. BadRequestError says what is wrong with it."""
        path = f"{_certificate(hub, name)}/verify"
        return await self._write_hub_certificate("POST", path, {"certificate": certificate}, etag, repeatable=False)

    async def delete_hub_certificate(self, hub: str, name: str, *, etag: str | None = None) -> None:
        """Delete one; devices that came in by it are cut off."""
        headers = only({"If-Match": etag})
        await self._session.send("DELETE", _certificate(hub, name), headers=headers, repeatable=True)

    async def cloud_to_device_settings(self, hub: str) -> CloudToDeviceSettings:
        """Return how a hub keeps cloud-to-device messages."""
        return await self._get(_path(hub, "cloudToDevice"), CloudToDeviceSettings)

    async def set_cloud_to_device(
        self, hub: str, changes: CloudToDeviceChanges, *, etag: str | None = None
    ) -> CloudToDeviceSettings:
        """Change it, and return how it is now. BadRequestError says what is out of range."""
        body, headers = msgspec.json.encode(changes), only({"If-Match": etag})
        path = _path(hub, "cloudToDevice")
        response = await self._session.send("PUT", path, body=body, headers=headers, repeatable=True)
        return decode(response.content, CloudToDeviceSettings)

    async def hub_file_upload(self, hub: str, *, writable: bool = False) -> FileUpload:
        """Return where a hub keeps the files that devices upload.

        With `writable` the address in it writes, too: what an import or export of the registry can be given.
        """
        return await self._get(_path(hub, "fileUpload/writable" if writable else "fileUpload"), FileUpload)

    async def set_hub_file_upload(self, hub: str, changes: FileUploadChanges) -> FileUpload:
        """Change it, and return how it is now."""
        body = msgspec.json.encode(changes)
        response = await self._session.send("PUT", _path(hub, "fileUpload"), body=body, repeatable=True)
        return decode(response.content, FileUpload)

    async def _write_hub_certificate(
        self, method: str, path: str, document: dict[str, Any] | None, etag: str | None, *, repeatable: bool
    ) -> HubCertificate:
        body = None if document is None else msgspec.json.encode(document)
        headers = only({"If-Match": etag})
        response = await self._session.send(method, path, body=body, headers=headers, repeatable=repeatable)
        return decode(response.content, HubCertificate)


def _path(hub: str, part: str) -> str:
    return f"/homeport/hubs/{segment(hub)}/{part}"


def _certificate(hub: str, name: str) -> str:
    return f"{_path(hub, 'certificates')}/{segment(name)}"
