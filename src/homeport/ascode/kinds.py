"""The kinds of things that can be declared: how each is read from a service, compared and written."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from homeport.ascode.authorities import CaCertificateKind
from homeport.ascode.documents import JsonObject, canonical, declares_keys, unknown_members
from homeport.ascode.existing import Existing
from homeport.ascode.policies import PolicyKind
from homeport.client import EnrollmentGroup, IndividualEnrollment, LinkedHub
from homeport.client.aio import HomeportAdminClient, ProvisioningServiceClient

_PAGE = 1000


class Kind(Protocol):
    """What a section of a file holds. The asynchronous methods raise ClientError."""

    @property
    def section(self) -> str:
        """The section's name in files."""
        ...

    @property
    def noun(self) -> str:
        """What one of them is called in messages."""
        ...

    def problems(self, name: str, document: Mapping[str, Any]) -> Sequence[str]:
        """Say what is wrong with a declared document; nothing of its secrets."""
        ...

    def wanted(self, name: str, document: Mapping[str, Any]) -> JsonObject:
        """Return a declared document as it is compared."""
        ...

    def all(self, *, secrets: bool) -> AsyncIterator[Existing]:
        """Yield everything the service has; with its secrets only where they are needed, for that takes more rights."""
        ...

    def secret(self, document: Mapping[str, Any]) -> bool:
        """Tell whether this declared document has secrets that must be compared."""
        ...

    async def create(self, name: str, document: JsonObject) -> None: ...

    async def update(self, name: str, document: JsonObject, etag: str | None) -> None:
        """Replace exactly the version with this etag."""
        ...

    async def delete(self, name: str, etag: str | None) -> None: ...


class EnrollmentKind:
    """Individual enrollments, by registration id."""

    section = "enrollments"
    noun = "enrollment"

    def __init__(self, client: ProvisioningServiceClient, admin: HomeportAdminClient) -> None:
        self._client = client
        self._admin = admin

    def problems(self, name: str, document: Mapping[str, Any]) -> Sequence[str]:
        return _problems(IndividualEnrollment, "registrationId", name, document)

    def wanted(self, name: str, document: Mapping[str, Any]) -> JsonObject:
        del name
        return _without(canonical(document), "registrationId")

    def secret(self, document: Mapping[str, Any]) -> bool:
        return declares_keys(document)

    async def all(self, *, secrets: bool) -> AsyncIterator[Existing]:
        listed = (
            self._admin.export_individual_enrollments(page_size=_PAGE)
            if secrets
            else self._client.query_individual_enrollments(page_size=_PAGE)
        )
        async for each in listed:
            document = _without(_compared(each), "registrationId")
            yield Existing(name=each.registration_id, etag=each.etag, document=document)

    async def create(self, name: str, document: JsonObject) -> None:
        await self._client.create_or_update_individual_enrollment(_individual(name, document))

    async def update(self, name: str, document: JsonObject, etag: str | None) -> None:
        await self._client.create_or_update_individual_enrollment(_individual(name, document), etag=etag)

    async def delete(self, name: str, etag: str | None) -> None:
        await self._client.delete_individual_enrollment(name, etag=etag)


class GroupKind:
    """Enrollment groups, by group id."""

    section = "enrollmentGroups"
    noun = "enrollment group"

    def __init__(self, client: ProvisioningServiceClient, admin: HomeportAdminClient) -> None:
        self._client = client
        self._admin = admin

    def problems(self, name: str, document: Mapping[str, Any]) -> Sequence[str]:
        return _problems(EnrollmentGroup, "enrollmentGroupId", name, document)

    def wanted(self, name: str, document: Mapping[str, Any]) -> JsonObject:
        del name
        return _without(canonical(document), "enrollmentGroupId")

    def secret(self, document: Mapping[str, Any]) -> bool:
        return declares_keys(document)

    async def all(self, *, secrets: bool) -> AsyncIterator[Existing]:
        listed = (
            self._admin.export_enrollment_groups(page_size=_PAGE)
            if secrets
            else self._client.query_enrollment_groups(page_size=_PAGE)
        )
        async for each in listed:
            document = _without(_compared(each), "enrollmentGroupId")
            yield Existing(name=each.enrollment_group_id, etag=each.etag, document=document)

    async def create(self, name: str, document: JsonObject) -> None:
        await self._client.create_or_update_enrollment_group(_group(name, document))

    async def update(self, name: str, document: JsonObject, etag: str | None) -> None:
        await self._client.create_or_update_enrollment_group(_group(name, document), etag=etag)

    async def delete(self, name: str, etag: str | None) -> None:
        await self._client.delete_enrollment_group(name, etag=etag)


class HubKind:
    """Linked hubs, by name: served here (`hostNames`) or elsewhere (`connectionString`).

    Where a hub lives is told when it is made; afterwards its share of the devices can change.
    """

    section = "hubs"
    noun = "hub"

    _SHARE = ("allocationWeight", "applyAllocationPolicy", "draining", "maxDevices", "region")
    _MADE_WITH = ("hostNames", "connectionString", "caCertificates")

    def __init__(self, client: HomeportAdminClient) -> None:
        self._client = client

    def problems(self, name: str, document: Mapping[str, Any]) -> Sequence[str]:
        del name
        found = [f"{member}: there is no such member" for member in document if member not in self._members()]
        if ("hostNames" in document) == ("connectionString" in document):
            found.append("give either hostNames, for a hub of this server, or the connectionString of one elsewhere")
        hosts = document.get("hostNames", [])
        if not isinstance(hosts, list) or not all(isinstance(host, str) for host in hosts):
            found.append("hostNames is not a list of names")
        kinds = {
            "allocationWeight": int,
            "applyAllocationPolicy": bool,
            "draining": bool,
            "maxDevices": int,
            "region": str,
            "connectionString": str,
        }
        for member, kind in kinds.items():
            if member in document and type(document[member]) is not kind:
                found.append(f"{member} has the wrong type")
        return found

    def wanted(self, name: str, document: Mapping[str, Any]) -> JsonObject:
        del name
        return {
            "allocationWeight": document.get("allocationWeight", 1),
            "applyAllocationPolicy": document.get("applyAllocationPolicy", True),
            "draining": document.get("draining", False),
            "maxDevices": document.get("maxDevices", 0),
            "region": document.get("region", ""),
            "local": "hostNames" in document,
        }

    def secret(self, document: Mapping[str, Any]) -> bool:
        del document
        return False  # a connection string is never told, so there is nothing to compare with

    async def all(self, *, secrets: bool) -> AsyncIterator[Existing]:
        del secrets
        for hub in await self._client.hubs():
            yield Existing(name=hub.name, document=self._shown(hub))

    async def create(self, name: str, document: JsonObject) -> None:
        weight = document.get("allocationWeight", 1)
        if "hostNames" in document:
            await self._client.create_hub(name, host_names=document["hostNames"], allocation_weight=weight)
        else:
            await self._client.link_hub(
                name,
                connection_string=document["connectionString"],
                allocation_weight=weight,
                ca_certificates=document.get("caCertificates"),
            )
        if any(member in document for member in self._SHARE if member != "allocationWeight"):
            await self.update(name, document, None)

    async def update(self, name: str, document: JsonObject, etag: str | None) -> None:
        del etag
        wanted = self.wanted(name, document)
        await self._client.update_hub(
            name,
            allocation_weight=wanted["allocationWeight"],
            apply_allocation_policy=wanted["applyAllocationPolicy"],
            draining=wanted["draining"],
            max_devices=wanted["maxDevices"],
            region=wanted["region"],
        )

    async def delete(self, name: str, etag: str | None) -> None:
        del etag
        await self._client.unlink_hub(name)

    def _members(self) -> tuple[str, ...]:
        return (*self._SHARE, *self._MADE_WITH)

    def _shown(self, hub: LinkedHub) -> JsonObject:
        return {
            "allocationWeight": hub.allocation_weight,
            "applyAllocationPolicy": hub.apply_allocation_policy,
            "draining": hub.draining,
            "maxDevices": hub.max_devices or 0,
            "region": hub.region or "",
            "local": hub.local,
        }


def _problems(
    model: type[IndividualEnrollment | EnrollmentGroup], id_member: str, name: str, document: Mapping[str, Any]
) -> list[str]:
    given = {**document, id_member: name}
    if str(document.get(id_member, name)).lower() != name.lower():
        return [f"{id_member} is another name than the one it stands under"]
    try:
        understood = msgspec.convert(given, model)
    except msgspec.ValidationError as error:
        return [str(error)]
    unknown = unknown_members(given, msgspec.to_builtins(understood))
    return [f"{path}: there is no such member" for path in unknown]


def _individual(name: str, document: JsonObject) -> IndividualEnrollment:
    return msgspec.convert({**document, "registrationId": name}, IndividualEnrollment)


def _group(name: str, document: JsonObject) -> EnrollmentGroup:
    return msgspec.convert({**document, "enrollmentGroupId": name}, EnrollmentGroup)


def _compared(enrollment: IndividualEnrollment | EnrollmentGroup) -> JsonObject:
    document: JsonObject = msgspec.to_builtins(enrollment)
    return canonical(document)


def _without(document: JsonObject, member: str) -> JsonObject:
    return {name: value for name, value in document.items() if name != member}


_KINDS = (PolicyKind, HubKind, CaCertificateKind, GroupKind, EnrollmentKind)
SECTIONS = tuple(kind.section for kind in _KINDS)
"""In the order in which things need each other."""


def kinds_of(service: ProvisioningServiceClient, admin: HomeportAdminClient) -> Sequence[Kind]:
    """Return every kind, over one service's clients."""
    return (
        PolicyKind(admin),
        HubKind(admin),
        CaCertificateKind(admin),
        GroupKind(service, admin),
        EnrollmentKind(service, admin),
    )
