"""Shared access policies as a kind of declared thing (see `kinds`)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from homeport.ascode.documents import JsonObject
from homeport.ascode.existing import Existing
from homeport.client.aio import HomeportAdminClient
from homeport.security.policies import DpsRight

_KEYS = ("primaryKey", "secondaryKey")


class PolicyKind:
    """Shared access policies, by name.

    Keys may be brought when one is made; afterwards they are rotated, not declared, and only rights are compared.
    """

    section = "policies"
    noun = "policy"

    def __init__(self, client: HomeportAdminClient) -> None:
        self._client = client

    def problems(self, name: str, document: Mapping[str, Any]) -> Sequence[str]:
        del name
        found = [f"{member}: there is no such member" for member in document if member not in {"rights", *_KEYS}]
        rights = document.get("rights")
        known = {right.value for right in DpsRight}
        if not isinstance(rights, list) or not rights or not all(right in known for right in rights):
            found.append(f"rights is no list of {', '.join(sorted(known))}")
        found += [f"{key} has the wrong type" for key in _KEYS if not isinstance(document.get(key, ""), str)]
        return found

    def wanted(self, name: str, document: Mapping[str, Any]) -> JsonObject:
        del name
        return {"rights": sorted(set(document["rights"]))}

    def secret(self, document: Mapping[str, Any]) -> bool:
        del document
        return False

    async def all(self, *, secrets: bool) -> AsyncIterator[Existing]:
        del secrets
        for policy in await self._client.policies():
            yield Existing(name=policy.name, etag=policy.etag, document={"rights": sorted(policy.rights)})

    async def create(self, name: str, document: JsonObject) -> None:
        await self._client.create_policy(
            name,
            self.wanted(name, document)["rights"],
            primary_key=document.get("primaryKey"),
            secondary_key=document.get("secondaryKey"),
        )

    async def update(self, name: str, document: JsonObject, etag: str | None) -> None:
        await self._client.set_policy_rights(name, self.wanted(name, document)["rights"], etag=etag)

    async def delete(self, name: str, etag: str | None) -> None:
        await self._client.delete_policy(name, etag=etag)
