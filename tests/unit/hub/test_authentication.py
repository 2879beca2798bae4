"""Verdicts about devices and services, and the words they give operators (contract hub.md 2)."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from homeport.hub.authentication import (
    Accepted,
    Audience,
    ClientCertificate,
    DeviceKey,
    PolicyKey,
    Reason,
    Refused,
    authorize_service,
    judge_device,
    read_evidence,
    still_holds,
)
from homeport.hub.model import (
    Authentication,
    CaAuthentication,
    DeviceIdentity,
    DeviceStatus,
    Hub,
    Policy,
    SasAuthentication,
    SelfSignedAuthentication,
)
from homeport.security import sas
from homeport.security.policies import HubRight
from homeport.security.x509 import parse_der
from homeport.values import replace
from tests.certificates import make_certificate

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
LATER = int((NOW + timedelta(hours=1)).timestamp())
KEY, OTHER = b"k" * 32, b"o" * 32
KEYS = SasAuthentication(primary_key=KEY, secondary_key=OTHER)
HOST = "hub.example.com"


def policy(name: str, key: bytes, *rights: HubRight) -> Policy:
    return Policy(name=name, primary_key=key, secondary_key=key[::-1], rights=frozenset(rights))


AUDIENCE = Audience.of(
    Hub(
        name="hub",
        host_names=(HOST, "127.0.0.1"),
        policies=(
            policy("iothubowner", b"owner" * 6 + b"xx", *HubRight),
            policy("device", b"devic" * 6 + b"xx", HubRight.DEVICE_CONNECT),
            policy("registryRead", b"regis" * 6 + b"xx", HubRight.REGISTRY_READ),
        ),
        created_at=NOW,
    )
)


def device(authentication: Authentication = KEYS, **changes: object) -> DeviceIdentity:
    identity = DeviceIdentity(device_id="d1", generation_id="1", etag="e", authentication=authentication)
    return replace(identity, **changes)  # type: ignore[arg-type]  # field names are checked by replace itself


def token(resource: str = f"{HOST}/devices/d1", key: bytes = KEY, expiry: int = LATER, name: str | None = None) -> str:
    return sas.sign(sas.encode_resource(resource), key, expiry, name)


def judge(
    identity: DeviceIdentity | None, *, text: str | None = None, chain: tuple[bytes, ...] = (), now: datetime = NOW
) -> Accepted | Refused:
    evidence = read_evidence(AUDIENCE, "d1", token=text, chain=chain)
    if isinstance(evidence, Refused):
        return evidence
    return judge_device(AUDIENCE, identity, evidence, now)


def reason(verdict: object) -> Reason:
    assert isinstance(verdict, Refused)
    assert base64.b64encode(KEY).decode() not in verdict.explanation
    return verdict.reason


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_either_key_opens(key: bytes) -> None:
    verdict = judge(device(), text=token(key=key))
    assert verdict == Accepted(proof=DeviceKey(key=key), expires_at=datetime.fromtimestamp(LATER, UTC) + sas.CLOCK_SKEW)


@pytest.mark.parametrize("resource", ["127.0.0.1/devices/d1", "HUB.example.com/devices/d1"])
def test_any_name_of_the_hub_will_do(resource: str) -> None:
    assert isinstance(judge(device(), text=token(resource)), Accepted)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (token(key=b"x" * 32), Reason.BAD_SIGNATURE),
        (token(f"{HOST}/devices/d10"), Reason.WRONG_RESOURCE),
        (token(f"{HOST}/devices/D1"), Reason.WRONG_RESOURCE),
        (token(f"{HOST}/devices"), Reason.WRONG_RESOURCE),
        (token("other.example.com/devices/d1"), Reason.WRONG_RESOURCE),
        (token(expiry=int(NOW.timestamp()) - 301), Reason.EXPIRED),
        ("SharedAccessSignature garbage", Reason.MALFORMED),
        ("x" * 5000, Reason.MALFORMED),
        (None, Reason.NO_PROOF),
        ("", Reason.NO_PROOF),
    ],
)
def test_tokens_that_do_not_open(text: str | None, why: Reason) -> None:
    assert reason(judge(device(), text=text)) is why


def test_a_clock_a_little_late_is_forgiven() -> None:
    assert isinstance(judge(device(), text=token(expiry=int(NOW.timestamp()) - 299)), Accepted)


def test_nobody_and_the_disabled() -> None:
    assert reason(judge(None, text=token())) is Reason.UNKNOWN_DEVICE
    assert reason(judge(device(status=DeviceStatus.DISABLED), text=token())) is Reason.DISABLED
    # Who has no key does not learn that the device is disabled.
    assert reason(judge(device(status=DeviceStatus.DISABLED), text=token(key=b"x" * 32))) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("resource", [HOST, f"{HOST}/devices", f"{HOST}/devices/d1"])
def test_a_policy_speaks_for_devices(resource: str) -> None:
    verdict = judge(device(CaAuthentication()), text=token(resource, b"devic" * 6 + b"xx", name="device"))
    assert isinstance(verdict, Accepted)
    assert verdict.proof == PolicyKey(policy="device")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (token(HOST, b"regis" * 6 + b"xx", name="registryRead"), Reason.MISSING_RIGHT),
        (token(HOST, b"devic" * 6 + b"xx", name="nobody"), Reason.UNKNOWN_POLICY),
        (token(HOST, KEY, name="device"), Reason.BAD_SIGNATURE),
        (token(f"{HOST}/devices/d2", b"devic" * 6 + b"xx", name="device"), Reason.WRONG_RESOURCE),
    ],
)
def test_policies_that_do_not(text: str, why: Reason) -> None:
    assert reason(judge(device(), text=text)) is why


def test_certificates_by_either_thumbprint() -> None:
    certified = make_certificate("d1", not_before=NOW, not_after=NOW + timedelta(days=1))
    certificate = parse_der(certified.der)
    named = SelfSignedAuthentication(primary_thumbprint=None, secondary_thumbprint=None)
    for thumbprint in (certificate.info.sha256_thumbprint.lower(), certificate.info.sha1_thumbprint):
        named = SelfSignedAuthentication(primary_thumbprint=None, secondary_thumbprint=thumbprint)
        verdict = judge(device(named), chain=(certified.der,))
        end = certificate.info.not_after
        assert verdict == Accepted(proof=ClientCertificate(certificate=certificate), expires_at=end)
    assert reason(judge(device(named), chain=(certified.der,), now=NOW + timedelta(days=2))) is Reason.EXPIRED
    assert reason(judge(device(named), chain=(certified.der,), now=NOW - timedelta(days=1))) is Reason.NOT_YET_VALID


def test_certificates_that_do_not_open() -> None:
    certified = make_certificate("d1")
    nameless = SelfSignedAuthentication(primary_thumbprint=None, secondary_thumbprint=None)
    assert reason(judge(device(nameless), chain=(certified.der,))) is Reason.WRONG_THUMBPRINT
    assert reason(judge(device(), chain=(certified.der,))) is Reason.WRONG_MECHANISM
    assert reason(judge(device(CaAuthentication()), chain=(certified.der,))) is Reason.NO_HUB_CA
    assert reason(judge(device(nameless), chain=(b"\x30\x00",))) is Reason.MALFORMED
    assert reason(judge(device(nameless), text=token())) is Reason.WRONG_MECHANISM


def test_a_token_goes_before_a_certificate() -> None:
    assert isinstance(judge(device(), text=token(), chain=(b"whatever",)), Accepted)


def test_what_an_open_connection_survives() -> None:
    proof = DeviceKey(key=KEY)
    assert still_holds(device(), "1", proof)
    assert still_holds(device(SasAuthentication(primary_key=OTHER, secondary_key=KEY)), "1", proof)
    assert not still_holds(device(SasAuthentication(primary_key=OTHER, secondary_key=OTHER)), "1", proof)
    assert not still_holds(device(generation_id="2"), "1", proof)
    assert not still_holds(device(status=DeviceStatus.DISABLED), "1", proof)
    assert not still_holds(device(CaAuthentication()), "1", proof)
    assert not still_holds(None, "1", proof)
    assert still_holds(device(CaAuthentication()), "1", PolicyKey(policy="device"))


@pytest.mark.parametrize(
    ("authorization", "needed", "expected"),
    [
        (token(HOST, b"regis" * 6 + b"xx", name="registryRead"), {HubRight.REGISTRY_READ}, "registryRead"),
        (
            token(HOST, b"regis" * 6 + b"xx", name="registryRead"),
            {HubRight.REGISTRY_READ, HubRight.SERVICE_CONNECT},
            "registryRead",
        ),
        (token(HOST, b"regis" * 6 + b"xx", name="registryRead"), {HubRight.REGISTRY_WRITE}, Reason.MISSING_RIGHT),
        (token(), {HubRight.REGISTRY_READ}, Reason.UNKNOWN_POLICY),
        (None, {HubRight.REGISTRY_READ}, Reason.NO_PROOF),
        ("Bearer abc", {HubRight.REGISTRY_READ}, Reason.MALFORMED),
        (
            token(HOST, b"regis" * 6 + b"xx", int(NOW.timestamp()) - 3600, name="registryRead"),
            {HubRight.REGISTRY_READ},
            Reason.EXPIRED,
        ),
    ],
)
def test_services(authorization: str | None, needed: set[HubRight], expected: str | Reason) -> None:
    verdict = authorize_service(AUDIENCE, authorization, ("devices", "d1"), needed, NOW)
    assert (verdict.reason if isinstance(verdict, Refused) else verdict) == expected


def test_a_token_that_never_ends_is_no_trouble() -> None:
    verdict = judge(device(), text=token(expiry=999_999_999_999_999))
    assert isinstance(verdict, Accepted)
    assert verdict.expires_at is None
