"""Shared access policies of the provisioning service: who may administer it, and how that changes (dps.md 2.5).

Two keys, so that one can be replaced while everybody uses the other: move the clients to the secondary key,
regenerate the primary one, move them back.
"""

import re
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from enum import StrEnum

from homeport.clock import Clock
from homeport.dps.identifiers import Random, new_etag
from homeport.dps.model import AccessPolicy
from homeport.dps.ports import PolicyStore
from homeport.errors import Code, HomeportError
from homeport.security.callers import Caller
from homeport.security.policies import POLICY_KEY_BYTES, DpsRight, SharedAccessPolicy, default_dps_policies
from homeport.values import replace

MAX_POLICIES = 100
ANY_VERSION = "*"
_NAME = re.compile(r"[A-Za-z0-9\-._]{1,64}", re.ASCII)


class Key(StrEnum):
    """Which of a policy's keys."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


class PolicyService:
    """Lists and changes policies; each change is one edit of the whole set, so that somebody always may administer."""

    def __init__(self, store: PolicyStore, current: "CurrentPolicies", clock: Clock, random: Random) -> None:
        self._store = store
        self._current = current
        self._clock = clock
        self._random = random

    async def all(self) -> Sequence[AccessPolicy]:
        """Return every policy, by name."""
        return await self._store.all()

    async def get(self, name: str) -> AccessPolicy:
        """Raise NOT_FOUND."""
        return find(await self._store.all(), name)

    async def create(
        self,
        name: str,
        rights: Collection[DpsRight],
        *,
        primary_key: bytes | None,
        secondary_key: bytes | None,
        by: Caller,
    ) -> AccessPolicy:
        """Make a policy; keys that are None are made too. Raise POLICY_EXISTS, INVALID_REQUEST or QUOTA_EXCEEDED."""
        if _NAME.fullmatch(name) is None:
            raise HomeportError(Code.INVALID_REQUEST, "A policy's name is 1 to 64 letters, digits, '-', '.' and '_'.")
        now = self._clock.now()
        made = AccessPolicy(
            policy=SharedAccessPolicy(
                name=name,
                primary_key=primary_key or self._random(POLICY_KEY_BYTES),
                secondary_key=secondary_key or self._random(POLICY_KEY_BYTES),
                rights=_checked(rights),
            ),
            etag=new_etag(self._random),
            created_at=now,
            updated_at=now,
        )

        def edit(policies: Sequence[AccessPolicy]) -> Sequence[AccessPolicy]:
            if any(other.name.lower() == name.lower() for other in policies):
                raise HomeportError(Code.POLICY_EXISTS, f"A policy '{name}' exists already.")
            if len(policies) >= MAX_POLICIES:
                raise HomeportError(Code.QUOTA_EXCEEDED, f"There are {MAX_POLICIES} policies already.")
            return [*policies, made]

        await self._edit(edit, by)
        return made

    async def set_rights(
        self, name: str, rights: Collection[DpsRight], *, if_match: str | None, by: Caller
    ) -> AccessPolicy:
        """Raise NOT_FOUND, PRECONDITION_FAILED, LAST_ADMINISTRATOR or INVALID_REQUEST."""
        checked = _checked(rights)
        return await self._change(name, lambda policy: replace(policy, rights=checked), if_match, by)

    async def regenerate(self, name: str, key: Key, *, if_match: str | None, by: Caller) -> AccessPolicy:
        """Replace one key: what it signed is refused from now on. Raise NOT_FOUND or PRECONDITION_FAILED."""
        fresh = self._random(POLICY_KEY_BYTES)
        if key is Key.PRIMARY:
            return await self._change(name, lambda policy: replace(policy, primary_key=fresh), if_match, by)
        return await self._change(name, lambda policy: replace(policy, secondary_key=fresh), if_match, by)

    async def swap(self, name: str, *, if_match: str | None, by: Caller) -> AccessPolicy:
        """Let the keys change places; both stay valid. Raise NOT_FOUND or PRECONDITION_FAILED."""
        return await self._change(
            name,
            lambda policy: replace(policy, primary_key=policy.secondary_key, secondary_key=policy.primary_key),
            if_match,
            by,
        )

    async def delete(self, name: str, *, if_match: str | None, by: Caller) -> None:
        """Raise NOT_FOUND, PRECONDITION_FAILED or LAST_ADMINISTRATOR."""

        def edit(policies: Sequence[AccessPolicy]) -> Sequence[AccessPolicy]:
            gone = _matching(policies, name, if_match)
            return _administered([policy for policy in policies if policy is not gone])

        await self._edit(edit, by)

    async def _change(
        self,
        name: str,
        change: Callable[[SharedAccessPolicy[DpsRight]], SharedAccessPolicy[DpsRight]],
        if_match: str | None,
        by: Caller,
    ) -> AccessPolicy:
        now, etag = self._clock.now(), new_etag(self._random)

        def edit(policies: Sequence[AccessPolicy]) -> Sequence[AccessPolicy]:
            old = _matching(policies, name, if_match)
            new = AccessPolicy(policy=change(old.policy), etag=etag, created_at=old.created_at, updated_at=now)
            return _administered([new if policy is old else policy for policy in policies])

        return find(await self._edit(edit, by), name)

    async def _edit(
        self, edit: Callable[[Sequence[AccessPolicy]], Sequence[AccessPolicy]], by: Caller
    ) -> Sequence[AccessPolicy]:
        changed = await self._store.edit(edit, by=by)
        await self._current.refresh()
        return changed


class CurrentPolicies:
    """The policies as this process judges tokens by; a change by any process is known here within `period` seconds."""

    def __init__(self, store: PolicyStore, clock: Clock, *, period: float = 1.0) -> None:
        self._store = store
        self._clock = clock
        self._period = period
        self._stored: Sequence[AccessPolicy] = ()
        self._policies: tuple[SharedAccessPolicy[DpsRight], ...] = ()
        self._listeners: list[Callable[[], None]] = []

    def __call__(self) -> Sequence[SharedAccessPolicy[DpsRight]]:
        return self._policies

    def when_changed(self, listener: Callable[[], None]) -> None:
        """Call the listener after each change that this process hears of."""
        self._listeners.append(listener)

    async def refresh(self) -> None:
        """Look at the store now; costs one small read if nothing has changed."""
        stored = await self._store.all()
        if stored is self._stored:
            return
        self._stored = stored
        self._policies = tuple(policy.policy for policy in stored)
        for listener in self._listeners:
            listener()

    async def keep_fresh(self) -> None:
        """Look at the store again and again, until cancelled. While it is out of reach, what was known holds."""
        while True:
            await self._clock.sleep(self._period)
            try:
                await self.refresh()
            except HomeportError:
                continue


async def seed_policies(
    store: PolicyStore, policies: Sequence[SharedAccessPolicy[DpsRight]], *, now: datetime, random: Random
) -> None:
    """Store the policies that a service begins with, unless it has some; none given, the hosted service's are made."""
    if await store.all():
        return
    first = [
        AccessPolicy(policy=policy, etag=new_etag(random), created_at=now, updated_at=now)
        for policy in policies or default_dps_policies(random)
    ]
    await store.edit(lambda stored: stored or first)


def find(policies: Sequence[AccessPolicy], name: str) -> AccessPolicy:
    """Return the policy of that name, in any letter case. Raise NOT_FOUND."""
    for policy in policies:
        if policy.name.lower() == name.lower():
            return policy
    raise HomeportError(Code.NOT_FOUND, "There is no shared access policy of that name.")


def administrator(policies: Sequence[SharedAccessPolicy[DpsRight]], preferred: str) -> SharedAccessPolicy[DpsRight]:
    """Choose the policy that this machine's own tools work with: the preferred one, or else the mightiest."""
    return max(
        policies,
        key=lambda policy: (DpsRight.SERVICE_CONFIG in policy.rights, policy.name == preferred, len(policy.rights)),
    )


def _matching(policies: Sequence[AccessPolicy], name: str, if_match: str | None) -> AccessPolicy:
    policy = find(policies, name)
    if if_match not in {None, ANY_VERSION, policy.etag}:
        raise HomeportError(Code.PRECONDITION_FAILED, "Precondition failed: the policy has another etag.")
    return policy


def _administered(policies: Sequence[AccessPolicy]) -> Sequence[AccessPolicy]:
    if not any(DpsRight.SERVICE_CONFIG in policy.policy.rights for policy in policies):
        raise HomeportError(
            Code.LAST_ADMINISTRATOR,
            "No other policy has the right ServiceConfig: nobody could change policies any more.",
        )
    return policies


def _checked(rights: Collection[DpsRight]) -> frozenset[DpsRight]:
    if not rights:
        raise HomeportError(Code.INVALID_REQUEST, "A policy needs at least one right.")
    return frozenset(rights)
