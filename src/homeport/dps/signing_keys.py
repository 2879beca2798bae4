"""The keys that webhook requests are signed with: made at first use, read and rotated by the operator.

There are two, and requests are signed with both: a receiver who knows either can check while the other is replaced.
"""

import base64
import json
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from homeport.dps.identifiers import Random
from homeport.dps.ports import AllocationSettingsStore
from homeport.security.callers import Caller
from homeport.values import hiding

_NAME = "webhook-signing-keys"
_KEY_BYTES = 32


class Settings(Protocol):
    """The part of the settings store that is needed here."""

    async def get(self, name: str) -> bytes | None: ...

    async def put_if_absent(self, name: str, value: bytes) -> bytes:
        """Store the value unless there is one; return the one that stands."""
        ...


@hiding("primary", "secondary")
class SigningKeys(Struct, frozen=True, kw_only=True):
    """What receivers may hold. A rotation makes the primary the secondary, and a new primary."""

    primary: bytes
    secondary: bytes

    @property
    def all(self) -> Sequence[bytes]:
        return (self.primary, self.secondary)


class SigningKeyService:
    """Keeps the keys in the settings, so that all processes sign alike."""

    def __init__(self, settings: Settings, store: AllocationSettingsStore, random: Random) -> None:
        self._settings = settings
        self._store = store
        self._random = random

    async def get(self) -> SigningKeys:
        """Return the keys; the first call of a service's life makes them."""
        stored = await self._settings.get(_NAME)
        if stored is None:
            stored = await self._settings.put_if_absent(_NAME, _encode(self._new(self._random(_KEY_BYTES))))
        return _decode(stored)

    async def rotate(self, *, by: Caller) -> SigningKeys:
        """Make a new primary key; the old one stays valid as the secondary until the next rotation."""
        keys = self._new((await self.get()).primary)
        await self._store.put_signing_keys(_NAME, _encode(keys), by=by)
        return keys

    def _new(self, secondary: bytes) -> SigningKeys:
        return SigningKeys(primary=self._random(_KEY_BYTES), secondary=secondary)


def _encode(keys: SigningKeys) -> bytes:
    return json.dumps([base64.b64encode(key).decode("ascii") for key in keys.all]).encode()


def _decode(stored: bytes) -> SigningKeys:
    primary, secondary = (base64.b64decode(key) for key in json.loads(stored))
    return SigningKeys(primary=primary, secondary=secondary)
