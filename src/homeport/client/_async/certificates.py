"""Administration of certificate authorities, as a part of `HomeportAdminClient` (`/homeport/certificates`)."""

from typing import Any

import msgspec

from homeport.client._async.http import only, segment
from homeport.client._async.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.certificate_models import CaCertificate, ExpiryReport, RevocationSettings

_CERTIFICATES = "/homeport/certificates"


class CertificateCalls(ServiceClient):
    """The certificate authorities that devices' chains may end at.

    Every method raises ProvisioningServiceError or TransportError. With `etag`, only that version is changed.
    """

    async def ca_certificates(self) -> list[CaCertificate]:
        """Return every CA certificate, by name."""
        return await self._get(_CERTIFICATES, list[CaCertificate])

    async def get_ca_certificate(self, name: str) -> CaCertificate:
        """Return one. NotFoundError if there is none."""
        return await self._get(_path(name), CaCertificate)

    async def upload_ca_certificate(
        self,
        name: str,
        certificate: str,
        *,
        verified: bool | None = None,
        revocation: str | RevocationSettings | None = None,
        etag: str | None = None,
    ) -> CaCertificate:
        """Upload a root or intermediate: PEM, or Base64 of DER. Without `etag` it is created.

        `verified` takes your word for it that the authority is yours, or a TPM maker's that you trust; else have a
        code made and prove it. `revocation` is the policy (`require`, `prefer` or `off`), or all settings. With
        `etag` (`*`: any version) the one of that name is replaced, and what is None stays as it is, except that
        another certificate has to be verified again. ConflictError if it exists, BadRequestError if it is no CA
        certificate.
        """
        document: dict[str, Any] = {"certificate": certificate}
        if verified is not None:
            document["isVerified"] = verified
        if revocation is not None:
            document["revocation"] = {"policy": revocation} if isinstance(revocation, str) else revocation
        return await self._write_certificate("PUT", _path(name), document, etag, repeatable=etag is not None)

    async def set_ca_certificate_verified(
        self, name: str, verified: bool = True, *, etag: str | None = None
    ) -> CaCertificate:
        """Take the administrator's word in place of a proof, or take it back."""
        return await self._write_certificate("PATCH", _path(name), {"isVerified": verified}, etag, repeatable=True)

    async def set_revocation(
        self,
        name: str,
        *,
        policy: str | None = None,
        crl_url: str | None = None,
        use_distribution_points: bool | None = None,
        use_ocsp: bool | None = None,
        etag: str | None = None,
    ) -> CaCertificate:
        """Change what is asked about the certificates below an authority; None leaves a value as it is.

        An empty `crl_url` removes the address.
        """
        settings = {
            "policy": policy,
            "crlUrl": crl_url,
            "useDistributionPoints": use_distribution_points,
            "useOcsp": use_ocsp,
        }
        document = {"revocation": {name: value for name, value in settings.items() if value is not None}}
        return await self._write_certificate("PATCH", _path(name), document, etag, repeatable=True)

    async def generate_verification_code(self, name: str, *, etag: str | None = None) -> CaCertificate:
        """Have a code made; a certificate with it as its common name, issued by the authority, proves possession."""
        path = f"{_path(name)}/generateVerificationCode"
        return await self._write_certificate("POST", path, None, etag, repeatable=True)

    async def verify_ca_certificate(self, name: str, certificate: str, *, etag: str | None = None) -> CaCertificate:
        """Prove possession with the certificate for the code. BadRequestError says what is wrong with it."""
        document = {"certificate": certificate}
        return await self._write_certificate("POST", f"{_path(name)}/verify", document, etag, repeatable=False)

    async def delete_ca_certificate(self, name: str, *, etag: str | None = None) -> None:
        """Delete one. ConflictError, with the names, if enrollments refer to it."""
        headers = only({"If-Match": etag})
        await self._session.send("DELETE", _path(name), headers=headers, repeatable=True)

    async def upload_crl(self, name: str, crl: bytes) -> CaCertificate:
        """Upload an authority's revocation list, PEM or DER; it counts at once. BadRequestError if it is refused."""
        headers = {"Content-Type": "application/pkix-crl"}
        response = await self._session.send("PUT", f"{_path(name)}/crl", body=crl, headers=headers, repeatable=True)
        return decode(response.content, CaCertificate)

    async def delete_crl(self, name: str) -> None:
        """Forget an authority's revocation list. NotFoundError if there is none."""
        await self._session.send("DELETE", f"{_path(name)}/crl", repeatable=True)

    async def expiring_certificates(self, *, days: int = 60) -> ExpiryReport:
        """Return the certificates of authorities, groups and devices that end within so many days, at most 60."""
        response = await self._session.send("GET", "/homeport/expiring", query={"days": str(days)}, repeatable=True)
        return decode(response.content, ExpiryReport)

    async def _write_certificate(
        self, method: str, path: str, document: dict[str, Any] | None, etag: str | None, *, repeatable: bool
    ) -> CaCertificate:
        body = None if document is None else msgspec.json.encode(document)
        headers = only({"If-Match": etag})
        response = await self._session.send(method, path, body=body, headers=headers, repeatable=repeatable)
        return decode(response.content, CaCertificate)


def _path(name: str) -> str:
    return f"{_CERTIFICATES}/{segment(name)}"
