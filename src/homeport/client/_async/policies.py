"""The administrator's client of shared access policies (`/homeport/policies`)."""

from collections.abc import Sequence
from typing import Any

import msgspec

from homeport.client._async.http import only, segment
from homeport.client._async.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.policy_models import AccessPolicy

_POLICIES = "/homeport/policies"


class PolicyClient(ServiceClient):
    """Who may administer. Every method raises ProvisioningServiceError or TransportError."""

    async def policies(self) -> list[AccessPolicy]:
        """Return every policy, by name, without keys."""
        return await self._get(_POLICIES, list[AccessPolicy])

    async def policy(self, name: str) -> AccessPolicy:
        """Return a policy without keys. NotFoundError if there is none."""
        return await self._get(f"{_POLICIES}/{segment(name)}", AccessPolicy)

    async def policy_keys(self, name: str) -> AccessPolicy:
        """Return a policy with its keys. NotFoundError if there is none."""
        return await self._post_policy(name, "keys", None, None)

    async def create_policy(
        self, name: str, rights: Sequence[str], *, primary_key: str | None = None, secondary_key: str | None = None
    ) -> AccessPolicy:
        """Make a policy and return it with its keys; those that are None are made. ConflictError if it exists."""
        document = {"rights": list(rights), **only({"primaryKey": primary_key, "secondaryKey": secondary_key})}
        return await self._write_policy("PUT", f"{_POLICIES}/{segment(name)}", document, None, repeatable=False)

    async def set_policy_rights(self, name: str, rights: Sequence[str], *, etag: str | None = None) -> AccessPolicy:
        """Change what a policy allows. ConflictError if nobody would be left to administer."""
        path = f"{_POLICIES}/{segment(name)}"
        return await self._write_policy("PATCH", path, {"rights": list(rights)}, etag, repeatable=etag is None)

    async def regenerate_policy_key(self, name: str, key: str, *, etag: str | None = None) -> AccessPolicy:
        """Replace the `primary` or the `secondary` key; what the old one signed is refused from now on."""
        return await self._post_policy(name, "regenerate", {"key": key}, etag)

    async def swap_policy_keys(self, name: str, *, etag: str | None = None) -> AccessPolicy:
        """Let a policy's keys change places; both stay valid."""
        return await self._post_policy(name, "swap", None, etag)

    async def delete_policy(self, name: str, *, etag: str | None = None) -> None:
        """Delete a policy. ConflictError if nobody would be left to administer, NotFoundError if there is none."""
        path = f"{_POLICIES}/{segment(name)}"
        await self._session.send("DELETE", path, headers=only({"If-Match": etag}), repeatable=True)

    async def _post_policy(
        self, name: str, call: str, document: dict[str, Any] | None, etag: str | None
    ) -> AccessPolicy:
        path = f"{_POLICIES}/{segment(name)}/{call}"
        return await self._write_policy("POST", path, document, etag, repeatable=call == "keys")

    async def _write_policy(
        self, method: str, path: str, document: dict[str, Any] | None, etag: str | None, *, repeatable: bool
    ) -> AccessPolicy:
        response = await self._session.send(
            method,
            path,
            body=None if document is None else msgspec.json.encode(document),
            headers=only({"If-Match": etag}),
            repeatable=repeatable,
        )
        return decode(response.content, AccessPolicy)
