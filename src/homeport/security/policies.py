"""Shared access policies: named keys, the rights they carry, and the judgement of a token against them.

Which right a call needs is the front-ends' knowledge, not this module's.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

from homeport.security.explain import quoted
from homeport.security.sas import (
    CLOCK_SKEW,
    SasToken,
    encode_key,
    explain_expiry,
    is_expired,
    verify_signature,
)
from homeport.values import hiding

POLICY_KEY_BYTES = 32

Random = Callable[[int], bytes]
"""Returns that many unpredictable bytes, as `secrets.token_bytes` does."""


class DpsRight(StrEnum):
    """What a policy of the provisioning service may allow (contract dps.md 2.5); independent flags."""

    SERVICE_CONFIG = "ServiceConfig"
    SERVICE_CONFIG_READ = "ServiceConfigRead"
    """Read the configuration, without secrets; Azure has no such right. ServiceConfig includes it."""
    ENROLLMENT_READ = "EnrollmentRead"
    ENROLLMENT_WRITE = "EnrollmentWrite"
    REGISTRATION_STATUS_READ = "RegistrationStatusRead"
    REGISTRATION_STATUS_WRITE = "RegistrationStatusWrite"
    DEVICE_CONNECT = "DeviceConnect"


class HubRight(StrEnum):
    """What a policy of a hub may allow (contract hub.md 2.1); independent flags."""

    REGISTRY_READ = "RegistryRead"
    REGISTRY_WRITE = "RegistryWrite"
    SERVICE_CONNECT = "ServiceConnect"
    DEVICE_CONNECT = "DeviceConnect"


RightT = TypeVar("RightT", DpsRight, HubRight)


@hiding("primary_key", "secondary_key")
class SharedAccessPolicy(Struct, Generic[RightT], frozen=True, kw_only=True):
    """A name, two keys of which either may sign, and the rights a token signed with them has."""

    name: str
    primary_key: bytes
    secondary_key: bytes
    rights: frozenset[RightT]


class DenialReason(StrEnum):
    """Why a token of a shared access policy grants nothing."""

    NO_POLICY_NAME = "no-policy-name"
    UNKNOWN_POLICY = "unknown-policy"
    WRONG_RESOURCE = "wrong-resource"
    BAD_SIGNATURE = "bad-signature"
    EXPIRED = "expired"


class Granted(Struct, Generic[RightT], frozen=True, kw_only=True):
    """The token holds: these rights, until `expires_at` (seconds since 1970, without any tolerance)."""

    policy: str
    rights: frozenset[RightT]
    expires_at: int


class Denied(Struct, frozen=True, kw_only=True):
    """The token does not hold; `explanation` is for an operator and names no secret."""

    reason: DenialReason
    explanation: str


def authorize(
    policies: Iterable[SharedAccessPolicy[RightT]],
    token: SasToken,
    *,
    now: datetime,
    tolerance: timedelta = CLOCK_SKEW,
    covers: Callable[[SasToken], bool],
    keys_as_text: bool = False,
) -> Granted[RightT] | Denied:
    """Judge a service token: its policy, its resource (`covers`), its signature, its expiry.

    Expiry is looked at last, so that EXPIRED always speaks of a genuine token.
    `keys_as_text` is the Event Hubs convention: the HMAC key is the key's Base64 text (contract hub.md 20.3).
    """
    if token.policy is None:
        return Denied(reason=DenialReason.NO_POLICY_NAME, explanation="the token names no shared access policy (skn)")
    policy = next((candidate for candidate in policies if candidate.name == token.policy), None)
    if policy is None:
        return Denied(
            reason=DenialReason.UNKNOWN_POLICY,
            explanation=f"no shared access policy is named {quoted(token.policy)}",
        )
    if not covers(token):
        return Denied(
            reason=DenialReason.WRONG_RESOURCE,
            explanation=f"the token is for another resource, {quoted(token.resource)}",
        )
    # Both keys are always tried: which of the two signed must not show in the time taken.
    keys = (policy.primary_key, policy.secondary_key)
    signed = [verify_signature(token, encode_key(key).encode() if keys_as_text else key) for key in keys]
    if not any(signed):
        return Denied(
            reason=DenialReason.BAD_SIGNATURE,
            explanation=f"neither key of policy {quoted(policy.name)} made the token's signature",
        )
    if is_expired(token, now, tolerance):
        return Denied(
            reason=DenialReason.EXPIRED,
            explanation=explain_expiry(token, now),
        )
    return Granted(policy=policy.name, rights=policy.rights, expires_at=token.expiry)


def default_dps_policies(random: Random) -> tuple[SharedAccessPolicy[DpsRight], ...]:
    """Make the policy a new provisioning service starts with, its keys fresh from `random`."""
    return (_policy("provisioningserviceowner", frozenset(DpsRight), random),)


def default_hub_policies(random: Random) -> tuple[SharedAccessPolicy[HubRight], ...]:
    """Make the five policies a new hub starts with (contract hub.md 2.1), their keys fresh from `random`."""
    read, write = HubRight.REGISTRY_READ, HubRight.REGISTRY_WRITE
    return (
        _policy("iothubowner", frozenset(HubRight), random),
        _policy("service", frozenset({HubRight.SERVICE_CONNECT}), random),
        _policy("device", frozenset({HubRight.DEVICE_CONNECT}), random),
        _policy("registryRead", frozenset({read}), random),
        _policy("registryReadWrite", frozenset({read, write}), random),
    )


def _policy(name: str, rights: frozenset[RightT], random: Random) -> SharedAccessPolicy[RightT]:
    return SharedAccessPolicy(
        name=name,
        primary_key=random(POLICY_KEY_BYTES),
        secondary_key=random(POLICY_KEY_BYTES),
        rights=rights,
    )
