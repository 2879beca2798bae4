"""Shared access policies: documents <-> model. Keys leave only in answers that are about them."""

from enum import StrEnum
from typing import TypeVar

from msgspec import UNSET, UnsetType

from homeport.dps.enrollments import parse_if_match
from homeport.dps.listing import read
from homeport.dps.model import AccessPolicy
from homeport.dps.policies import Key, PolicyService
from homeport.dps.reply import Reply, success
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller
from homeport.security.policies import DpsRight
from homeport.security.sas import SasError, decode_key, encode_key
from homeport.wire import dps_policies as wire
from homeport.wire import format_time

E = TypeVar("E", bound=StrEnum)


class PoliciesResponder:
    def __init__(self, policies: PolicyService) -> None:
        self._policies = policies

    async def list(self, tracking_id: str) -> Reply:
        return success(200, [_document(policy) for policy in await self._policies.all()], tracking_id)

    async def get(self, name: str, tracking_id: str) -> Reply:
        return success(200, _document(await self._policies.get(name)), tracking_id)

    async def keys(self, name: str, tracking_id: str) -> Reply:
        """Tell the keys."""
        return success(200, _document(await self._policies.get(name), keys=True), tracking_id)

    async def create(self, name: str, body: bytes, by: Caller) -> Reply:
        document = read(wire.policy_creation, body)
        policy = await self._policies.create(
            name,
            _rights(document.rights),
            primary_key=_key(document.primary_key, "primaryKey"),
            secondary_key=_key(document.secondary_key, "secondaryKey"),
            by=by,
        )
        return success(200, _document(policy, keys=True), by.tracking_id)

    async def change(self, name: str, body: bytes, if_match: str | None, by: Caller) -> Reply:
        rights = _rights(read(wire.policy_change, body).rights)
        policy = await self._policies.set_rights(name, rights, if_match=parse_if_match(if_match), by=by)
        return success(200, _document(policy), by.tracking_id)

    async def regenerate(self, name: str, body: bytes, if_match: str | None, by: Caller) -> Reply:
        key = _one_of(Key, read(wire.key_choice, body).key, "key")
        policy = await self._policies.regenerate(name, key, if_match=parse_if_match(if_match), by=by)
        return success(200, _document(policy, keys=True), by.tracking_id)

    async def swap(self, name: str, if_match: str | None, by: Caller) -> Reply:
        policy = await self._policies.swap(name, if_match=parse_if_match(if_match), by=by)
        return success(200, _document(policy, keys=True), by.tracking_id)

    async def delete(self, name: str, if_match: str | None, by: Caller) -> Reply:
        await self._policies.delete(name, if_match=parse_if_match(if_match), by=by)
        return Reply(status=204, body=b"", tracking_id=by.tracking_id)


def _document(policy: AccessPolicy, *, keys: bool = False) -> wire.AccessPolicy:
    return wire.AccessPolicy(
        name=policy.name,
        rights=[right.value for right in DpsRight if right in policy.policy.rights],
        primary_key=encode_key(policy.policy.primary_key) if keys else UNSET,
        secondary_key=encode_key(policy.policy.secondary_key) if keys else UNSET,
        etag=policy.etag,
        created_date_time_utc=format_time(policy.created_at),
        last_updated_date_time_utc=format_time(policy.updated_at),
    )


def _rights(words: list[str]) -> frozenset[DpsRight]:
    return frozenset(_one_of(DpsRight, word, "rights") for word in words)


def _one_of(kind: type[E], word: str, member: str) -> E:
    """Find a value in any letter case."""
    for value in kind:
        if value.value.lower() == word.lower():
            return value
    raise HomeportError(
        Code.INVALID_REQUEST, f"{member}: '{word[:64]}' is none of {', '.join(value.value for value in kind)}."
    )


def _key(text: str | UnsetType | None, member: str) -> bytes | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        return decode_key(text)
    except SasError as error:
        raise HomeportError(Code.INVALID_REQUEST, f"{member}: {error}.") from None
