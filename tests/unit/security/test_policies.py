"""Shared access policies: what a token of one grants, and why another grants nothing."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from homeport.security.policies import (
    DenialReason,
    Denied,
    DpsRight,
    Granted,
    HubRight,
    SharedAccessPolicy,
    authorize,
    default_dps_policies,
    default_hub_policies,
)
from homeport.security.sas import SasToken, encode_key, is_for_service, parse_token, sign

NOW = datetime(2024, 6, 1, tzinfo=UTC)
LATER = int(NOW.timestamp()) + 3600
READER = SharedAccessPolicy(
    name="reader",
    primary_key=b"1" * 32,
    secondary_key=b"2" * 32,
    rights=frozenset({DpsRight.ENROLLMENT_READ}),
)


def for_service(token: SasToken) -> bool:
    return is_for_service(token, ["dps.example.com"])


def judge(text: str, *, keys_as_text: bool = False) -> Granted[DpsRight] | Denied:
    return authorize([READER], parse_token(text), now=NOW, covers=for_service, keys_as_text=keys_as_text)


@pytest.mark.parametrize("key", [READER.primary_key, READER.secondary_key])
def test_either_key_grants_the_policys_rights(key: bytes) -> None:
    verdict = judge(sign("dps.example.com", key, LATER, "reader"))
    assert verdict == Granted(policy="reader", rights=READER.rights, expires_at=LATER)


@pytest.mark.parametrize(
    ("text", "reason", "explanation"),
    [
        (sign("dps.example.com", b"1" * 32, LATER), DenialReason.NO_POLICY_NAME, "skn"),
        (sign("dps.example.com", b"1" * 32, LATER, "writer"), DenialReason.UNKNOWN_POLICY, "'writer'"),
        (sign("hub.example.com", b"1" * 32, LATER, "reader"), DenialReason.WRONG_RESOURCE, "'hub.example.com'"),
        (sign("dps.example.com", b"3" * 32, LATER, "reader"), DenialReason.BAD_SIGNATURE, "'reader'"),
        (sign("dps.example.com", b"1" * 32, LATER - 7200, "reader"), DenialReason.EXPIRED, "expired 1 hour ago"),
        (sign("dps.example.com", b"3" * 32, LATER - 7200, "reader"), DenialReason.BAD_SIGNATURE, "neither key"),
    ],
)
def test_denials_say_why(text: str, reason: DenialReason, explanation: str) -> None:
    verdict = judge(text)
    assert isinstance(verdict, Denied)
    assert verdict.reason is reason
    assert explanation in verdict.explanation


def test_hostile_names_are_made_harmless_in_explanations() -> None:
    verdict = judge(sign("dps.example.com", b"1" * 32, LATER, "\x1b[2J\n" + "x" * 500))
    assert isinstance(verdict, Denied)
    assert "\x1b" not in verdict.explanation
    assert "\n" not in verdict.explanation
    assert len(verdict.explanation) < 300


def test_tolerance_is_the_callers() -> None:
    token = parse_token(sign("dps.example.com", READER.primary_key, int(NOW.timestamp()) - 1, "reader"))
    late = authorize([READER], token, now=NOW, tolerance=timedelta(0), covers=for_service)
    assert isinstance(late, Denied)
    assert isinstance(authorize([READER], token, now=NOW, covers=for_service), Granted)


def test_event_hubs_clients_sign_with_the_text_of_the_key() -> None:
    text = sign("dps.example.com", encode_key(READER.primary_key).encode(), LATER, "reader")
    assert isinstance(judge(text, keys_as_text=True), Granted)
    assert isinstance(judge(text), Denied)


def test_keys_are_hidden() -> None:
    shown = repr(READER)
    assert "key" not in shown
    assert "1111" not in shown


def counted() -> Callable[[int], bytes]:
    numbers = itertools.count()
    return lambda size: next(numbers).to_bytes(size)


def test_default_dps_policy_carries_every_right() -> None:
    (owner,) = default_dps_policies(counted())
    assert owner.name == "provisioningserviceowner"
    assert owner.rights == frozenset(DpsRight)
    assert (owner.primary_key, owner.secondary_key) == (bytes(32), (1).to_bytes(32))


def test_default_hub_policies() -> None:
    policies = {policy.name: policy for policy in default_hub_policies(counted())}
    read, write = HubRight.REGISTRY_READ, HubRight.REGISTRY_WRITE
    assert {name: policy.rights for name, policy in policies.items()} == {
        "iothubowner": {read, write, HubRight.SERVICE_CONNECT, HubRight.DEVICE_CONNECT},
        "service": {HubRight.SERVICE_CONNECT},
        "device": {HubRight.DEVICE_CONNECT},
        "registryRead": {read},
        "registryReadWrite": {read, write},
    }
    made = [key for policy in policies.values() for key in (policy.primary_key, policy.secondary_key)]
    assert len(set(made)) == 10
