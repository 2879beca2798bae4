"""Shared access policies, issuing authorities, the IP filter."""

from typing import Any

import pytest

from tests.unit.portal.conftest import Visitor
from tests.unit.portal.standin import Standin

EVIL = "<script>alert(1)</script>"


async def test_policies_without_their_keys(service: Standin, admin: Visitor) -> None:
    service.access.add_policy("ci", "EnrollmentRead", "EnrollmentWrite")
    text = await admin.read("/policies")
    assert "EnrollmentWrite" in text
    assert "cHJpbWFyeS0x" not in text + await admin.read("/policies/ci")


async def test_keys_are_shown_on_demand_and_once(service: Standin, admin: Visitor) -> None:
    service.access.add_policy("ci", "EnrollmentRead")
    shown = await admin.send("/policies/ci/keys")
    for words in ("cHJpbWFyeS0x", "c2Vjb25kYXJ5LTE=", "HostName=dps.example.com;SharedAccessKeyName=ci"):
        assert words in shown
    assert "cHJpbWFyeS0x" not in await admin.read("/policies/ci")


async def test_keys_are_replaced_and_swapped(service: Standin, admin: Visitor) -> None:
    service.access.add_policy("ci", "EnrollmentRead")
    assert "Replace the secondary key of ci?" in await admin.read("/policies/ci/rotate/secondary")
    page = await admin.send("/policies/ci/rotate", key="secondary")
    assert "secondary-new" in page
    assert "refused within two seconds" in page
    page = await admin.send("/policies/ci/rotate", key="swap")
    assert "changed places" in page
    assert service.access.policies["ci"]["primaryKey"] == "secondary-new"
    await admin.send("/policies/ci/rotate", expected=400, key="tertiary")
    await admin.read("/policies/ci/rotate/tertiary", status=404)
    await admin.read("/policies/nothing", status=404)


async def test_whoever_does_not_configure_is_offered_no_keys(service: Standin, stranger: Visitor) -> None:
    service.access.add_policy("ci", "EnrollmentRead")
    service.administrators["hpt_o"] = {"name": "otto", "role": "operator"}
    await stranger.sign_in("hpt_o")
    page = await stranger.read("/policies/ci")
    assert "/keys" not in page
    assert "/rotate" not in page
    page = await stranger.read("/ip-filter")
    assert "/ip-filter/add" not in page


async def test_authorities(service: Standin, admin: Visitor) -> None:
    assert "issues no certificates" in await admin.read("/authorities")
    service.access.add_authority("root")
    service.access.add_authority("line#3", until="2026-03-20T00:00:00Z", issuer="root", crlUrl=EVIL)
    service.access.add_authority("old", until="2026-03-01T00:00:00Z")
    policy = {
        "name": "short",
        "certificateAuthorityName": "line#3",
        "validitySeconds": 864000,
        "backdateSeconds": 0,
        "renewBeforeSeconds": 7200,
        "keyTypes": ["EC-P256"],
        "dnsName": False,
        "extendedKeyUsages": [],
    }
    service.access.certificate_policies = [policy, policy | {"name": "other", "certificateAuthorityName": "root"}]
    text = await admin.read("/authorities")
    for words in ("ends soon", "expired", "10 days", "2 hours", 'href="/authorities/line%233"'):
        assert words in text

    certificate = {
        "serialNumber": "0A0B",
        "sha256Thumbprint": "AB",
        "registrationId": "press-1",
        "certificateAuthorityName": "line#3",
        "authorityVersion": 1,
        "subjectName": EVIL,
        "certificate": "",
        "notBeforeUtc": "2026-03-10T00:00:00Z",
        "notAfterUtc": "2026-03-20T00:00:00Z",
        "issuedDateTimeUtc": "2026-03-10T00:00:00Z",
        "assignedHub": "hub",
        "deviceId": "press-1",
        "status": "valid",
        "withdrawn": False,
    }
    service.access.issued = [certificate, certificate | {"serialNumber": "0C", "status": "revoked"}]
    text = await admin.read("/authorities/line%233")
    for words in ("0A0B", "revoked", "ends soon", 'href="/registrations/press-1"', "short"):
        assert words in text
    assert "other" not in text
    assert EVIL not in text
    await admin.read("/authorities/nothing", status=404)


async def test_rules_come_and_go(service: Standin, admin: Visitor) -> None:
    assert "every address may come in" in await admin.read("/ip-filter")
    rule: dict[str, Any] = {"name": "office", "network": "10.0.0.0/8", "action": "allow", "target": "all"}
    assert "Rule office is obeyed" in await admin.send("/ip-filter/add", **rule)
    await admin.send("/ip-filter/add", **(rule | {"name": EVIL, "action": "deny", "target": "portal"}), place="1")
    assert [each["name"] for each in service.access.rules] == [EVIL, "office"]
    text = await admin.read("/ip-filter?address=10.1.1.1")
    assert EVIL not in text
    assert "denied" in text
    assert f"Rule {EVIL}".replace("<", "&lt;").replace(">", "&gt;") in await admin.send("/ip-filter/remove", name=EVIL)
    assert [each["name"] for each in service.access.rules] == ["office"]
    await admin.send("/ip-filter/remove", expected=404, name="nobody")


RULE: dict[str, Any] = {"name": "r", "network": "any", "action": "deny", "target": "devices"}


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"name": ""}, 422, "Give the rule a name"),
        ({"network": ""}, 422, "An address, a network"),
        ({"place": "0"}, 422, "A number from 1"),
        ({"action": "maybe"}, 400, "There is no such rule"),
        ({"network": "nonsense"}, 400, "nonsense is no &lt;network&gt;"),
    ],
)
async def test_what_is_no_rule(
    service: Standin, admin: Visitor, change: dict[str, Any], status: int, words: str
) -> None:
    assert words in await admin.send("/ip-filter/add", expected=status, **(RULE | change))
    assert service.access.rules == []


async def test_what_is_no_address(service: Standin, admin: Visitor) -> None:
    del service
    assert "nonsense is no &lt;address&gt;" in await admin.read("/ip-filter?address=nonsense")
