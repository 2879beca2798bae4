"""SAS tokens: every client's spelling is read, nothing forged, stale or foreign is."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.security import sas

VECTORS = Path(__file__).parents[2] / "vectors"
DPS = json.loads((VECTORS / "sas-dps.json").read_text())
HUB = json.loads((VECTORS / "sas-hub.json").read_text())
HUB_HOSTS = ["myhub.example.com"]
NOW = datetime(2024, 6, 1, tzinfo=UTC)
KEY = bytes(range(32))


def by_name(vector: dict[str, Any]) -> str:
    return str(vector.get("name") or vector.get("writtenBy") or vector.get("registrationId"))


# ---------------------------------------------------------------- vectors


@pytest.mark.parametrize("vector", DPS["groupKeyDerivation"], ids=by_name)
def test_derives_the_key_of_a_device(vector: dict[str, str]) -> None:
    derived = sas.derive_device_key(sas.decode_key(vector["groupKey"]), vector["registrationId"])
    assert sas.encode_key(derived) == vector["derivedDeviceKey"]


@pytest.mark.parametrize("vector", DPS["deviceSas"]["tokens"], ids=by_name)
def test_accepts_every_device_client(vector: dict[str, str]) -> None:
    case = DPS["deviceSas"]
    token = sas.parse_token(vector["token"])
    assert token.raw_resource == vector["sr"]
    assert sas.string_to_sign(token.raw_resource, token.expiry) == vector["stringToSign"].encode()
    assert token.signature == base64.b64decode(vector["signatureBase64"])
    assert sas.verify_signature(token, sas.decode_key(case["key"]))
    assert sas.is_for_registration(token, case["idScope"], case["registrationId"])
    assert sas.is_for_registration(token, case["idScope"].upper(), case["registrationId"].upper())
    assert not sas.is_for_registration(token, case["idScope"], case["registrationId"] + "x")
    assert not sas.is_for_registration(token, "0ne00111112", case["registrationId"])


@pytest.mark.parametrize("vector", DPS["serviceSas"]["tokens"], ids=by_name)
def test_accepts_every_service_client(vector: dict[str, str]) -> None:
    case = DPS["serviceSas"]
    token = sas.parse_token(vector["token"])
    assert token.policy == case["policy"]
    assert sas.verify_signature(token, sas.decode_key(case["key"]))
    assert sas.is_for_service(token, [case["host"].upper()])
    assert not sas.is_for_service(token, ["other-dps.azure-devices-provisioning.net"])


def test_accepts_the_published_hub_token() -> None:
    token = sas.parse_token(DPS["hubDeviceSas"]["token"])
    assert sas.verify_signature(token, sas.decode_key(DPS["deviceSas"]["key"]))
    assert sas.is_hub_resource(token, ["myexamplehub.azure-devices.net"], ("devices", "my-symkey-device"))


@pytest.mark.parametrize("vector", HUB["valid"], ids=by_name)
def test_accepts_every_hub_client(vector: dict[str, Any]) -> None:
    token = sas.parse_token(vector["token"])
    as_text = vector["key_bytes"] == "utf8-text"
    key = vector["key"].encode() if as_text else sas.decode_key(vector["key"])
    assert (token.raw_resource, token.expiry) == (vector["sr"], vector["se"])
    assert sas.verify_signature(token, key)
    grants = vector["grants"]
    assert token.policy == grants.get("policy")
    match grants:
        case {"device": device, "module": module}:
            assert sas.is_hub_resource(token, HUB_HOSTS, ("devices", device, "modules", module))
            assert not sas.is_hub_resource(token, HUB_HOSTS, ("devices", device))
        case {"device": device}:
            assert sas.is_hub_resource(token, HUB_HOSTS, ("devices", device))
            assert not sas.is_hub_resource(token, HUB_HOSTS, ("devices", device + "1"))
            assert not sas.is_hub_resource(token, ["other.example.com"], ("devices", device))
        case {"event_hub": hub}:
            target = (hub, "ConsumerGroups", "$Default", "Partitions", "0")
            assert sas.covers_hub_resource(token, HUB_HOSTS, target, ignore_case=True)
        case {"scope": scope}:
            prefix = tuple(scope.strip("/").split("/")) if scope else ()
            assert sas.hub_paths(token, HUB_HOSTS) == (prefix,)
            assert sas.covers_hub_resource(token, HUB_HOSTS, ("devices", "plain1"))
        case _:
            pytest.fail(f"a kind of grant this test does not know: {grants}")


@pytest.mark.parametrize("vector", HUB["invalid"], ids=by_name)
def test_refuses_unsound_hub_tokens(vector: dict[str, Any]) -> None:
    token = sas.parse_token(vector["token"])
    genuine = sas.verify_signature(token, sas.decode_key(vector["key"]))
    match vector["name"]:
        case "expired":
            assert genuine
            assert sas.is_expired(token, NOW)
        case "other device":
            assert genuine
            path = ("devices", vector["used_for"]["device"])
            assert not sas.covers_hub_resource(token, HUB_HOSTS, path)
        case "event endpoint token with decoded key":
            assert genuine  # "a server may still accept this"
            assert not sas.verify_signature(token, vector["key"].encode())
        case _:
            assert not genuine


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "begin"),
        ("Bearer abc", "begin"),
        ("SharedAccessSignature", "begin"),
        ("SharedAccessSignature ", "without '='"),
        ("SharedAccessSignature sr=a&sig=AA%3D%3D&se=1", "not the Base64 of an HMAC"),
        ("SharedAccessSignature sr=a&sig=%FF%FE&se=1", "not the Base64 of an HMAC"),
        ("SharedAccessSignature sr=&sig={sig}&se=1", "no resource"),
        ("SharedAccessSignature sig={sig}&se=1", "no resource"),
        ("SharedAccessSignature sr=a&se=1", "no signature"),
        ("SharedAccessSignature sr=a&sig={sig}", "no expiry"),
        ("SharedAccessSignature sr=a&sig={sig}&se=", "no expiry"),
        ("SharedAccessSignature sr=a&sig={sig}&se=-1", "whole number"),
        ("SharedAccessSignature sr=a&sig={sig}&se=1.5", "whole number"),
        ("SharedAccessSignature sr=a&sig={sig}&se=007", "whole number"),
        ("SharedAccessSignature sr=a&sig={sig}&se=9999999999999999", "whole number"),
        ("SharedAccessSignature sr=a&sr=b&sig={sig}&se=1", "repeats"),
        ("SharedAccessSignature sr=a\n&sig={sig}&se=1", "ASCII"),
        ("SharedAccessSignature sr=ä&sig={sig}&se=1", "ASCII"),
        ("SharedAccessSignature sr=\ud800&sig={sig}&se=1", "ASCII"),
        ("SharedAccessSignature sr=" + "a" * 4096 + "&sig={sig}&se=1", "longer than 4096"),
    ],
)
def test_refuses_what_is_not_a_token(text: str, reason: str) -> None:
    with pytest.raises(sas.SasError, match=reason):
        sas.parse_token(text.replace("{sig}", "A" * 43 + "%3D"))


def test_plus_in_the_signature_is_a_base64_digit() -> None:
    expiry = next(n for n in range(1000) if b"+" in base64.b64encode(sas.parse_token(sas.sign("a", KEY, n)).signature))
    text = sas.sign("a", KEY, expiry)
    raw = text.replace("%2B", "+").replace("%3D", "=").replace("%2F", "/")
    assert "+" in raw
    assert sas.verify_signature(sas.parse_token(raw), KEY)
    with pytest.raises(sas.SasError):
        sas.parse_token(raw.replace("+", " "))


def test_scheme_ignores_case_and_unknown_fields_are_ignored() -> None:
    text = sas.sign("a", KEY, 5).replace("SharedAccessSignature", "sharedaccesssignature") + "&x=1"
    assert sas.verify_signature(sas.parse_token(text), KEY)


def test_policy_name_is_decoded_and_empty_means_none() -> None:
    assert sas.parse_token(sas.sign("a", KEY, 5, "my policy")).policy == "my policy"
    assert sas.parse_token(sas.sign("a", KEY, 5) + "&skn=my%2520policy").policy == "my policy"
    assert sas.parse_token(sas.sign("a", KEY, 5) + "&skn=").policy is None


def test_reprs_hold_no_signature() -> None:
    token = sas.parse_token(sas.sign("a", KEY, 5))
    assert "signature" not in repr(token)
    assert base64.b64encode(token.signature).decode() not in repr(token)


# ---------------------------------------------------------------- laws

resources = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="&"), min_size=1, max_size=200
)
keys = st.binary(min_size=16, max_size=64)
expiries = st.integers(min_value=0, max_value=10**15 - 1)


@given(resources, keys, expiries, st.none() | st.text(st.characters(codec="ascii"), max_size=20))
def test_what_is_signed_is_read_and_verifies(resource: str, key: bytes, expiry: int, policy: str | None) -> None:
    token = sas.parse_token(sas.sign(resource, key, expiry, policy))
    assert (token.raw_resource, token.expiry) == (resource, expiry)
    assert token.policy == policy or "%" in (policy or "") or not policy
    assert sas.verify_signature(token, key)
    assert not sas.verify_signature(token, key + b"\x01")


@given(st.text(max_size=60), st.text(max_size=60))
def test_an_encoded_registration_is_recognised(id_scope: str, registration_id: str) -> None:
    resource = sas.encode_resource(f"{id_scope}/registrations/{registration_id}")
    token = sas.parse_token(sas.sign(resource, KEY, 5)) if len(resource) < 3000 else None
    if token is not None:
        assert sas.is_for_registration(token, id_scope, registration_id) == (id_scope + registration_id).isascii()


def test_format_refuses_a_resource_that_would_break_the_token() -> None:
    for resource in ("a&skn=owner", "a\nb", "ä"):
        with pytest.raises(sas.SasError, match="percent-encoded"):
            sas.sign(resource, KEY, 5)


# ---------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("seconds_after", "tolerance", "expired"),
    [(-1, 0, False), (0, 0, False), (1, 0, True), (300, 300, False), (301, 300, True)],
)
def test_expiry(seconds_after: int, tolerance: int, expired: bool) -> None:
    token = sas.parse_token(sas.sign("a", KEY, int(NOW.timestamp())))
    now = NOW + timedelta(seconds=seconds_after)
    assert sas.is_expired(token, now, timedelta(seconds=tolerance)) is expired


def test_expiry_far_beyond_any_calendar() -> None:
    assert not sas.is_expired(sas.parse_token(sas.sign("a", KEY, 10**15 - 1)), NOW)


def test_expiry_is_explained_with_the_servers_clock() -> None:
    token = sas.parse_token(sas.sign("a", KEY, int(NOW.timestamp()) - 430))
    assert (
        sas.explain_expiry(token, NOW) == "the token expired 7 minutes ago by the server's clock (2024-06-01T00:00:00Z)"
    )


# ---------------------------------------------------------------- resources


def token_for(resource: str) -> sas.SasToken:
    return sas.parse_token(sas.sign(resource, KEY, 5))


@pytest.mark.parametrize(
    ("resource", "accepted"),
    [
        ("dps.example.com", True),
        ("DPS.Example.Com", True),
        ("dps.example.com:443", True),
        ("https://dps.example.com:8443/", True),
        ("https%3a%2f%2fdps.example.com%2f", True),
        ("dps.example.com/enrollments", False),
        ("https://dps.example.com.evil.com", False),
        ("evil.com/https://dps.example.com", False),
        ("dps.example.com:evil", False),
        ("dp%E2%84%AA.example.com", False),
        ("localhost", True),
        ("https://", False),
    ],
)
def test_service_resource(resource: str, accepted: bool) -> None:
    assert sas.is_for_service(token_for(resource), ["dps.example.com", "localhost", "dpk.example.com"]) is accepted


def test_the_kelvin_sign_is_not_a_k() -> None:
    token = token_for("scope%2Fregistrations%2F%E2%84%AA")
    assert token.resource.lower() == "scope/registrations/k"
    assert not sas.is_for_registration(token, "scope", "k")


@pytest.mark.parametrize(
    ("resource", "covered"),
    [
        ("hub.example.com", True),
        ("HUB.example.com/devices", True),
        ("hub.example.com/devices/ab", True),
        ("hub.example.com/devices/ab/", True),
        ("hub.example.com/devices/a", False),
        ("hub.example.com/devices/AB", False),
        ("hub.example.com/Devices/ab", False),
        ("hub.example.com/devices/ab/modules/m", False),
        ("hub.example.com//devices", False),
        ("other.example.com", False),
    ],
)
def test_hub_resource_covers_by_whole_segments(resource: str, covered: bool) -> None:
    assert sas.covers_hub_resource(token_for(resource), ["hub.example.com"], ("devices", "ab")) is covered


def test_a_plus_in_a_hub_resource_reads_both_ways() -> None:
    token = token_for("hub.example.com/devices/a+b")
    assert sas.is_hub_resource(token, ["hub.example.com"], ("devices", "a+b"))
    assert sas.is_hub_resource(token, ["hub.example.com"], ("devices", "a b"))
    escaped = token_for("hub.example.com/devices/a%2Bb")
    assert sas.is_hub_resource(escaped, ["hub.example.com"], ("devices", "a+b"))
    assert not sas.is_hub_resource(escaped, ["hub.example.com"], ("devices", "a b"))


# ---------------------------------------------------------------- keys


@given(keys)
def test_keys_survive_their_text(key: bytes) -> None:
    assert sas.decode_key(sas.encode_key(key)) == key


@pytest.mark.parametrize(
    "text", ["", "AAAA", "not base64!", "A" * 23, "ÄÄÄÄ" * 6, base64.b64encode(bytes(65)).decode(), "A" * 4000]
)
def test_unusable_keys_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(sas.SasError) as refused:
        sas.decode_key(text)
    assert len(text) < 5 or text not in str(refused.value)
