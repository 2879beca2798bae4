"""CA certificates as a kind of declared thing (see `kinds`)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from homeport.ascode.documents import JsonObject
from homeport.ascode.existing import Existing
from homeport.client import CaCertificate, RevocationSettings
from homeport.client.aio import HomeportAdminClient
from homeport.security.x509 import CertificateError, parse_certificate

_POLICIES = ("prefer", "require", "off")
_SETTINGS: dict[str, Any] = {"policy": "prefer", "crlUrl": None, "useDistributionPoints": False, "useOcsp": False}


class CaCertificateKind:
    """CA certificates, by name. Declaring one vouches for it, unless `isVerified` is declared false.

    The revocation lists themselves are no declarations: they change every day.
    """

    section = "caCertificates"
    noun = "CA certificate"

    def __init__(self, client: HomeportAdminClient) -> None:
        self._client = client

    def problems(self, name: str, document: Mapping[str, Any]) -> Sequence[str]:
        del name
        allowed = {"certificate", "isVerified", "revocation"}
        found = [f"{member}: there is no such member" for member in document if member not in allowed]
        try:
            parse_certificate(str(document.get("certificate", "")))
        except CertificateError as error:
            found.append(f"certificate: {error}")
        if type(document.get("isVerified", False)) is not bool:
            found.append("isVerified has the wrong type")
        settings = document.get("revocation", {})
        if not isinstance(settings, Mapping):
            return [*found, "revocation has the wrong type"]
        found += [f"revocation.{member}: there is no such member" for member in settings if member not in _SETTINGS]
        if settings.get("policy", "prefer") not in _POLICIES:
            found.append(f"revocation.policy is none of {', '.join(_POLICIES)}")
        for member in ("useDistributionPoints", "useOcsp"):
            if type(settings.get(member, False)) is not bool:
                found.append(f"revocation.{member} has the wrong type")
        if not isinstance(settings.get("crlUrl"), str | None):
            found.append("revocation.crlUrl has the wrong type")
        return found

    def wanted(self, name: str, document: Mapping[str, Any]) -> JsonObject:
        del name
        settings = {**_SETTINGS, **document.get("revocation", {})}
        return {
            "sha256Thumbprint": parse_certificate(document["certificate"]).info.sha256_thumbprint,
            "isVerified": document.get("isVerified", True),
            "revocation": {**settings, "crlUrl": settings["crlUrl"] or None},
        }

    def secret(self, document: Mapping[str, Any]) -> bool:
        del document
        return False

    async def all(self, *, secrets: bool) -> AsyncIterator[Existing]:
        del secrets
        for one in await self._client.ca_certificates():
            yield Existing(name=one.name, etag=one.etag, document=_shown(one))

    async def create(self, name: str, document: JsonObject) -> None:
        await self._put(name, document, None)

    async def update(self, name: str, document: JsonObject, etag: str | None) -> None:
        await self._put(name, document, etag)

    async def delete(self, name: str, etag: str | None) -> None:
        await self._client.delete_ca_certificate(name, etag=etag)

    async def _put(self, name: str, document: JsonObject, etag: str | None) -> None:
        wanted = self.wanted(name, document)
        await self._client.upload_ca_certificate(
            name,
            document["certificate"],
            verified=wanted["isVerified"],
            revocation=msgspec.convert(wanted["revocation"], RevocationSettings),
            etag=etag,
        )


def _shown(one: CaCertificate) -> JsonObject:
    settings = one.revocation
    return {
        "sha256Thumbprint": one.sha256_thumbprint,
        "isVerified": one.is_verified,
        "revocation": {
            "policy": settings.policy,
            "crlUrl": settings.crl_url,
            "useDistributionPoints": settings.use_distribution_points,
            "useOcsp": settings.use_ocsp,
        },
    }
