"""Enrollments and groups out of a provisioning service, complete enough to be written to another one.

Azure's service tells symmetric keys by a call of their own and certificates never (contract dps.md 8.4): those must
come from the operator's files. Homeport exports both.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from msgspec import Struct

from homeport.ascode.bulk import Item, name_of, plain
from homeport.client import (
    AttestationMechanism,
    ClientError,
    EnrollmentGroup,
    IndividualEnrollment,
    UnauthorizedError,
)
from homeport.client.aio import HomeportAdminClient, ProvisioningServiceClient
from homeport.client.models import X509CertificateWithInfo
from homeport.security.x509 import CertificateError, parse_certificate, parse_der

T = TypeVar("T", IndividualEnrollment, EnrollmentGroup)

_PAGE = 100
_AT_ONCE = 16
_MAX_CERTIFICATE_BYTES = 64 * 1024
_DER = b"\x30"
_CERTIFICATE_FILES = frozenset({".pem", ".cer", ".crt", ".der"})


class Incomplete(Struct, frozen=True, kw_only=True):
    """One that cannot be taken along, and what is missing."""

    name: str
    reason: str


class Source(Protocol):
    """Where enrollments come from. A `survey` may leave out what takes a call for each. Raises ClientError."""

    def groups(self, *, survey: bool = False) -> AsyncIterator[EnrollmentGroup | Incomplete]: ...

    def individuals(self, *, survey: bool = False) -> AsyncIterator[IndividualEnrollment | Incomplete]: ...


class HomeportSource:
    """A Homeport: its export has everything."""

    def __init__(self, admin: HomeportAdminClient) -> None:
        self._admin = admin

    async def groups(self, *, survey: bool = False) -> AsyncIterator[EnrollmentGroup | Incomplete]:
        del survey
        async for each in self._admin.export_enrollment_groups():
            yield each

    async def individuals(self, *, survey: bool = False) -> AsyncIterator[IndividualEnrollment | Incomplete]:
        del survey
        async for each in self._admin.export_individual_enrollments():
            yield each


class PublicApiSource:
    """Any provisioning service through its public API: Azure's.

    `certificates` are texts (PEM or Base64) by SHA-256 thumbprint in lower case. With `new_keys` symmetric keys are
    not read, and the service they go to generates others: for when the policy may not read them, or they shall not be
    shared.
    """

    def __init__(
        self, client: ProvisioningServiceClient, *, certificates: Mapping[str, str], new_keys: bool = False
    ) -> None:
        self._client = client
        self._certificates = certificates
        self._new_keys = new_keys

    async def groups(self, *, survey: bool = False) -> AsyncIterator[EnrollmentGroup | Incomplete]:
        continuation = None
        while True:
            page = await self._client.page_enrollment_groups(page_size=_PAGE, continuation=continuation)
            for each in await self._completed(page.items, survey=survey):
                yield each
            continuation = page.continuation
            if continuation is None:
                return

    async def individuals(self, *, survey: bool = False) -> AsyncIterator[IndividualEnrollment | Incomplete]:
        continuation = None
        while True:
            page = await self._client.page_individual_enrollments(page_size=_PAGE, continuation=continuation)
            for each in await self._completed(page.items, survey=survey):
                yield each
            continuation = page.continuation
            if continuation is None:
                return

    async def _completed(self, items: Iterable[T], *, survey: bool) -> list[T | Incomplete]:
        """Complete a page's items, some at once, in their order."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(item: T) -> T | Incomplete:
            async with room:
                return await self._complete(item, survey=survey)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
        return [task.result() for task in tasks]

    async def _complete(self, item: T, *, survey: bool) -> T | Incomplete:
        attestation = item.attestation
        if attestation.type == "symmetricKey" and not (self._new_keys or survey):
            try:
                item.attestation = await self._mechanism(item)
            except UnauthorizedError:
                return Incomplete(name=name_of(item), reason="this policy may not read its keys (EnrollmentWrite)")
            except ClientError as error:
                return Incomplete(name=name_of(item), reason=f"its keys cannot be read: {error}")
        missing = self._put_certificates_in(attestation)
        if missing:
            reason = f"no file has its certificate with the SHA-256 thumbprint {', '.join(missing)}"
            return Incomplete(name=name_of(item), reason=reason)
        return item

    async def _mechanism(self, item: IndividualEnrollment | EnrollmentGroup) -> AttestationMechanism:
        if isinstance(item, IndividualEnrollment):
            return await self._client.get_individual_attestation_mechanism(item.registration_id)
        return await self._client.get_group_attestation_mechanism(item.enrollment_group_id)

    def _put_certificates_in(self, attestation: AttestationMechanism) -> list[str]:
        """Replace what is shown of certificates by the certificates; return the thumbprints of missing ones."""
        x509 = attestation.x509
        certificates = x509 and (x509.client_certificates or x509.signing_certificates)
        if not certificates:
            return []
        primary, secondary = _thumbprint(certificates.primary), _thumbprint(certificates.secondary)
        wanted = [thumbprint for thumbprint in (primary, secondary) if thumbprint]
        missing = sorted({thumbprint for thumbprint in wanted if thumbprint not in self._certificates})
        if missing:
            return missing
        certificates.primary = self._slot(primary)
        # A lone primary is shown in both places.
        certificates.secondary = None if secondary == primary else self._slot(secondary)
        return []

    def _slot(self, thumbprint: str | None) -> X509CertificateWithInfo | None:
        return None if thumbprint is None else X509CertificateWithInfo(certificate=self._certificates[thumbprint])


def read_certificates(folder: Path) -> dict[str, str]:
    """Return the certificates in a folder's PEM and DER files, as Base64 by SHA-256 thumbprint; others are left out."""
    found: dict[str, str] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() not in _CERTIFICATE_FILES or file.stat().st_size > _MAX_CERTIFICATE_BYTES:
            continue
        data = file.read_bytes()
        try:
            certificate = parse_der(data) if data.startswith(_DER) else parse_certificate(data)
        except CertificateError:
            continue
        found[certificate.info.sha256_thumbprint.lower()] = base64.b64encode(certificate.der).decode("ascii")
    return found


def adapted(item: Item, hubs: Mapping[str, str]) -> Item:
    """Return the item as it is written elsewhere: hub host names replaced, nothing of what its service made."""
    new = plain(item)
    names = {old.lower(): name for old, name in hubs.items()}
    if new.iot_hubs is not None:
        new.iot_hubs = [names.get(host.lower(), host) for host in new.iot_hubs]
    if new.iot_hub_host_name is not None:
        new.iot_hub_host_name = names.get(new.iot_hub_host_name.lower(), new.iot_hub_host_name)
    return new


def _thumbprint(slot: X509CertificateWithInfo | None) -> str | None:
    return None if slot is None or slot.info is None else slot.info.sha256_thumbprint.lower()
