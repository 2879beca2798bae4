"""Tokens: garbage, expired, for others, replayed, absurd. The device learns the code, the operator the reason."""

import base64
import time
from collections.abc import Callable

import pytest

from homeport.client import AttestationMechanism, EnrollmentGroup
from homeport.security.sas import decode_key, encode_resource, sign
from tests.hostile.target import Answer, Target, new_key, unique

GARBAGE = [
    "",
    " ",
    "garbage",
    "Basic dXNlcjpwYXNz",
    "Bearer eyJhbGciOiJub25lIn0.e30.",
    "SharedAccessSignature",
    "SharedAccessSignature ",
    "SharedAccessSignature sr",
    "SharedAccessSignature sr=",
    "SharedAccessSignature &&&&",
    "SharedAccessSignature =&==&===",
    "SharedAccessSignature sr=a&sr=b&sig=c&se=1",
    "SharedAccessSignature sr=%&sig=%&se=%",
    "SharedAccessSignature sr=%00%ff&sig=AAAA&se=1",
    "SharedAccessSignature " + "&".join(f"f{number}=1" for number in range(700)),
    "SharedAccessSignature sr=" + "a" * 4000 + "&sig=AAAA&se=1",
    "SharedAccessSignature\tsr=a&sig=b&se=1",
    "sharedaccesssignature sr=a&sig=b&se=1",
    "SharedAccessSignature SharedAccessSignature sr=a&sig=b&se=1",
    "\xff\xfe",
    "SharedAccessSignature sr=\xe9&sig=AAAA&se=1",
]

EXPIRIES = ["-1", "1e30", "9" * 30, "0x7fffffff", "9999999999.5", "", " 9999999999", "٣", "00", "+1"]
SIGNATURES = [
    "",
    "AAAA",
    "!" * 44,
    "%00" * 44,
    "A" * 4000,
    base64.b64encode(bytes(33)).decode(),
    "%ff",
    "=" * 44,
    "A" * 43 + "%3D",
]


@pytest.fixture(scope="module")
def device(target: Target) -> tuple[str, str]:
    return target.enroll("tokens")


def register(target: Target, registration_id: str, token: str) -> Answer:
    return target.ask("PUT", target.register_path(registration_id), b"{}", {"Authorization": token})


def refused(target: Target, registration_id: str, token: str, code: int = 401002) -> str:
    """Return the reason that stands in the record of the refusal."""
    document = target.assert_refused(register(target, registration_id, token), code // 1000)
    assert document["errorCode"] == code
    assert document["message"] == "Unauthorized"
    attempt = target.why(registration_id)[0]
    assert attempt.tracking_id == document["trackingId"]
    assert (attempt.outcome, attempt.code) == ("refused", code)
    assert attempt.advice
    return attempt.reason


@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: ascii(text)[:40])
def test_garbage(target: Target, device: tuple[str, str], text: str) -> None:
    assert refused(target, device[0], text)
    for method, path in (("GET", "/enrollments/x"), ("DELETE", "/registrations/x"), ("GET", "/homeport/hubs")):
        answer = target.ask(method, f"{path}?api-version=2021-10-01", headers={"Authorization": text})
        assert target.assert_refused(answer, 401)["errorCode"] == 401002
    for path in ("/devices/x", "/twins/x", "/statistics/devices", "/homeport/telemetry"):
        answer = target.ask("GET", f"{path}?api-version=2021-04-12", headers={"Authorization": text})
        target.assert_refused_by_hub(answer, 401)


@pytest.mark.parametrize("expiry", EXPIRIES)
def test_expiries_that_are_none(target: Target, device: tuple[str, str], expiry: str) -> None:
    """Even when the signature covers them."""
    registration_id, key = device
    token = target.device_token(registration_id, key)
    head, _, tail = token.partition("&se=")
    name = "&" + tail.partition("&")[2]
    answer = target.ask_raw(
        f"PUT {target.register_path(registration_id)} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"
        f"Authorization: {head}&se={expiry}{name}\r\n\r\n{{}}".encode()
    )
    assert target.assert_refused(answer, 401)["errorCode"] == 401002
    assert "token" in target.why(registration_id)[0].reason.lower()


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda text: text[:12])
def test_signatures_that_are_none(target: Target, device: tuple[str, str], signature: str) -> None:
    resource = encode_resource(f"{target.id_scope}/registrations/{device[0]}")
    token = f"SharedAccessSignature sr={resource}&sig={signature}&se={int(time.time()) + 60}"
    assert refused(target, device[0], token)


@pytest.mark.parametrize(("ago", "told"), [(600, "10 minutes"), (7200, "2 hours"), (86400 * 400, "400 days")])
def test_an_expired_token_and_how_long_ago(target: Target, device: tuple[str, str], ago: int, told: str) -> None:
    reason = refused(target, device[0], target.device_token(*device, life=-ago))
    assert f"expired {told} ago" in reason


def test_expiry_zero(target: Target, device: tuple[str, str]) -> None:
    resource = encode_resource(f"{target.id_scope}/registrations/{device[0]}")
    assert "expired" in refused(target, device[0], sign(resource, decode_key(device[1]), 0))


def test_a_token_that_never_expires_works(target: Target, device: tuple[str, str]) -> None:
    resource = encode_resource(f"{target.id_scope}/registrations/{device[0]}")
    assert register(target, device[0], sign(resource, decode_key(device[1]), 999_999_999_999_999)).status == 202


def test_tokens_for_something_else(target: Target, device: tuple[str, str]) -> None:
    registration_id, key = device
    for resource in (
        f"{target.id_scope}/registrations/another",
        f"{target.id_scope}/registrations/{registration_id}x",
        f"{target.id_scope}/registrations/{registration_id}/register",
        f"{target.id_scope}/registrations",
        f"0ne00000000/registrations/{registration_id}",
        target.host,
        f"{target.host}/devices/{registration_id}",
        "*",
        "%2F" * 500,
    ):
        token = sign(encode_resource(resource), decode_key(key), int(time.time()) + 60)
        assert "the token is for" in refused(target, registration_id, token)


def test_a_token_of_another_device(target: Target, device: tuple[str, str]) -> None:
    other = target.enroll("other")
    assert "the token is for" in refused(target, device[0], target.device_token(*other))
    # And one that names this device but is signed with the other's key.
    assert "neither the primary nor the secondary key" in refused(
        target, device[0], target.device_token(device[0], other[1])
    )


def test_a_token_replayed_after_the_key_was_changed(target: Target) -> None:
    registration_id, key = target.enroll("replayed")
    token = target.device_token(registration_id, key)
    assert register(target, registration_id, token).status == 202
    operation = register(target, registration_id, token).document["operationId"]
    enrollment = target.operator.get_individual_enrollment(registration_id)
    enrollment.attestation = AttestationMechanism.for_symmetric_key(primary_key=new_key(), secondary_key=new_key())
    target.operator.create_or_update_individual_enrollment(enrollment)

    assert "neither the primary nor the secondary key" in refused(target, registration_id, token)
    path = f"/{target.id_scope}/registrations/{registration_id}/operations/{operation}?api-version=2021-06-01"
    target.assert_refused(target.ask("GET", path, headers={"Authorization": token}), 401)

    target.operator.delete_individual_enrollment(registration_id)
    assert "no individual enrollment" in refused(target, registration_id, token)


def test_a_group_member_after_the_groups_key_was_changed(target: Target) -> None:
    group_id, key, registration_id = unique("group"), new_key(), unique("member")
    attestation = AttestationMechanism.for_symmetric_key(primary_key=key, secondary_key=key)
    group = target.operator.create_or_update_enrollment_group(
        EnrollmentGroup(enrollment_group_id=group_id, attestation=attestation)
    )
    assert "instead of the device key" in refused(target, registration_id, target.device_token(registration_id, key))
    group.attestation = AttestationMechanism.for_symmetric_key(primary_key=new_key(), secondary_key=new_key())
    target.operator.create_or_update_enrollment_group(group)
    assert refused(target, registration_id, target.device_token(registration_id, key))
    target.operator.delete_enrollment_group(group_id)


def test_one_cannot_poll_for_another(target: Target) -> None:
    mine, theirs = target.enroll("mine"), target.enroll("theirs")
    operation = register(target, theirs[0], target.device_token(*theirs)).document["operationId"]
    for registration_id, status in ((mine[0], 404), (theirs[0], 401)):
        path = f"/{target.id_scope}/registrations/{registration_id}/operations/{operation}?api-version=2021-06-01"
        answer = target.ask("GET", path, headers={"Authorization": target.device_token(*mine)})
        target.assert_refused(answer, status)


# ---------------------------------------------------------------- the right token at the wrong place


def test_tokens_of_devices_do_not_administer(target: Target, device: tuple[str, str]) -> None:
    register(target, device[0], target.device_token(*device))
    for token in (target.device_token(*device), target.hub_device_token(*device)):
        headers = {"Authorization": token}
        for method, path in (
            ("GET", f"/enrollments/{device[0]}"),
            ("POST", f"/enrollments/{device[0]}/attestationmechanism"),
            ("DELETE", f"/registrations/{device[0]}"),
            ("GET", "/homeport/hubs"),
            ("GET", f"/homeport/why/{device[0]}"),
        ):
            target.assert_refused(target.ask(method, f"{path}?api-version=2021-10-01", headers=headers), 401)
        paths = (f"/devices/{device[0]}", f"/twins/{device[0]}", "/statistics/service", "/homeport/monitor")
        for path in paths:
            target.assert_refused_by_hub(target.ask("GET", f"{path}?api-version=2021-04-12", headers=headers), 401)


def test_tokens_of_administrators_do_not_register(target: Target, device: tuple[str, str]) -> None:
    for token in (target.owner_token(), target.hub_owner_token()):
        assert "the token is for" in refused(target, device[0], token)


def test_one_service_does_not_take_the_others_tokens(target: Target) -> None:
    """They share a host name here, so only the policies tell them apart."""
    hubs = {"Authorization": target.hub_owner_token()}
    target.assert_refused(target.ask("GET", "/enrollments/x?api-version=2021-10-01", headers=hubs), 401)
    answer = target.ask("GET", "/devices/x?api-version=2021-04-12", headers={"Authorization": target.owner_token()})
    target.assert_refused_by_hub(answer, 401)


def test_a_policy_without_the_right(target: Target, hub_token: Callable[[str], str]) -> None:
    """Each policy of the hub does what its rights allow, and not a bit more."""
    calls = {
        "read": ("GET", "/devices/none"),
        "write": ("DELETE", "/devices/none"),
        "service": ("GET", "/twins/none"),
    }
    allowed = {
        "iothubowner": {"read", "write", "service"},
        "service": {"service"},
        "device": set[str](),
        "registryRead": {"read"},
        "registryReadWrite": {"read", "write"},
    }
    for policy, rights in allowed.items():
        headers = {"Authorization": hub_token(policy), "If-Match": "*"}
        for right, (method, path) in calls.items():
            answer = target.ask(method, f"{path}?api-version=2021-04-12", headers=headers)
            if right in rights:
                target.assert_refused_by_hub(answer, 404)
            else:
                target.assert_refused_by_hub(answer, 401)


@pytest.fixture(scope="module")
def hub_token(target: Target) -> Callable[[str], str]:
    """Sign as any of the hub's policies; their keys are read where the operator's own commands read them."""
    keys = target.hub_policy_keys()

    def token(policy: str) -> str:
        return sign(encode_resource(target.host), decode_key(keys[policy]), int(time.time()) + 60, policy)

    return token
