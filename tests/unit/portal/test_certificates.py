"""CA certificates in the portal; groups by reference and groups of TPMs; a device that is shut out."""

from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from tests.unit.portal.conftest import Visitor
from tests.unit.portal.standin import NOW, Standin, stamp

PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----"
EVIL = "<script>alert(1)</script>"


async def test_an_empty_page_says_what_to_do(admin: Visitor) -> None:
    assert "No CA certificate is uploaded" in await admin.read("/certificates")


async def test_the_list_shows_what_needs_attention(service: Standin, admin: Visitor) -> None:
    service.add_certificate("factory", groups=["line"], warning="expires in 3 days")
    service.add_certificate("new", isVerified=False, subject=EVIL, crlProblem="out of reach")
    service.expiring.append(
        {
            "kind": "individualEnrollment",
            "name": "press-1",
            "subject": EVIL,
            "sha256Thumbprint": "AB",
            "expiry": stamp(NOW + timedelta(days=3)),
            "days": 3,
            "warning": "expires in 3 days",
        }
    )
    text = await admin.read("/certificates")
    for words in (
        "not verified",
        "expires in 3 days",
        "no CRL",
        'href="/groups/line"',
        'href="/enrollments/press-1"',
    ):
        assert words in text
    assert EVIL not in text


async def test_from_upload_to_proof(service: Standin, admin: Visitor) -> None:
    assert "not verified" in await admin.send("/new/certificate", name="factory", certificate=PEM)
    assert not service.certificates["factory"]["isVerified"]
    assert "C0DE" in await admin.send("/certificates/factory/code")
    refused = await admin.send("/certificates/factory/verify", expected=400, proof="wrong")
    assert "cannot be taken" in refused
    assert "factory is verified" in await admin.send("/certificates/factory/verify", proof="proof")
    await admin.send("/new/certificate", name="mine", certificate=PEM, verified="on")
    assert service.certificates["mine"]["isVerified"]
    service.add_certificate("vouched", isVerified=False)
    assert "vouched is verified" in await admin.send("/certificates/vouched/verify", word="mine")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "a b", "certificate": PEM}, "1 to 128 letters"),
        ({"name": "a", "certificate": ""}, "Paste the authority"),
        ({"name": "a", "certificate": "-----BEGIN EC PRIVATE KEY-----\nsecret"}, "holds a private key"),
    ],
)
async def test_a_form_that_needs_another_look(
    service: Standin, admin: Visitor, fields: dict[str, Any], words: str
) -> None:
    text = await admin.send("/new/certificate", expected=422, **fields)
    assert words in text
    assert "secret" not in text
    assert service.certificates == {}


async def test_a_taken_name_is_said(service: Standin, admin: Visitor) -> None:
    service.add_certificate("factory")
    assert "It exists already" in await admin.send("/new/certificate", expected=409, name="factory", certificate=PEM)


async def test_revocation_is_set_and_a_list_uploaded(service: Standin, admin: Visitor) -> None:
    service.add_certificate("factory")
    await admin.send(
        "/certificates/factory/revocation", policy="require", crl_url=" http://ca.example/crl ", points="on"
    )
    assert service.certificates["factory"]["revocation"] == {
        "policy": "require",
        "crlUrl": "http://ca.example/crl",
        "useDistributionPoints": True,
        "useOcsp": False,
    }
    form = aiohttp.FormData({"csrf": await admin.csrf()})
    form.add_field("crl", b"\x30\x00\xff", filename="ca.crl")
    response = await admin.client.post("/certificates/factory/crl", data=form)
    assert "3 certificates are revoked" in await response.text()


async def test_one_that_is_referred_to_cannot_be_deleted(service: Standin, admin: Visitor) -> None:
    service.add_certificate("factory", groups=["line"])
    assert "cannot be deleted yet" in await admin.read("/certificates/factory/delete")
    assert "still referred to" in await admin.send("/certificates/factory/delete")
    service.certificates["factory"]["groups"] = []
    assert "factory is deleted" in await admin.send("/certificates/factory/delete")
    assert service.certificates == {}


async def test_a_group_refers_to_authorities(service: Standin, admin: Visitor) -> None:
    fields: Any = {"id": "line", "mechanism": "x509", "status": "enabled", "ca_primary": "factory"}
    await admin.send("/new/groups", **fields)
    assert service.groups["line"]["attestation"]["x509"] == {"caReferences": {"primary": "factory"}}
    assert 'href="/certificates/factory"' in await admin.read("/groups/line")
    etag = service.groups["line"]["etag"]
    await admin.send("/groups/line/edit", **fields, etag=etag, ca_secondary="next")
    assert service.groups["line"]["attestation"]["x509"]["caReferences"] == {"primary": "factory", "secondary": "next"}
    text = await admin.send("/new/groups", expected=422, **fields | {"primary_certificate": PEM})
    assert "not both" in text
    text = await admin.send("/new/groups", expected=422, **fields | {"ca_primary": "", "ca_secondary": "x y"})
    assert "no name of a CA certificate" in text


async def test_a_group_of_tpms(service: Standin, admin: Visitor) -> None:
    digest = "AB" * 32
    fields: Any = {"id": "chips", "mechanism": "tpm", "status": "enabled"}
    await admin.send("/new/groups", **fields, tpm_authorities="maker-1\nmaker-2", tpm_digests=f"{digest}, {'a' * 52}")
    stored = service.groups["chips"]["attestation"]["tpm"]
    assert stored["endorsementCaReferences"] == ["maker-1", "maker-2"]
    assert stored["endorsementKeyHashes"] == [digest, "a" * 52]
    text = await admin.read("/groups/chips")
    assert 'href="/certificates/maker-2"' in text
    assert "2 on the list" in text
    assert "maker-1" in await admin.read("/groups/chips/edit")
    assert "Name a maker" in await admin.send("/new/groups", expected=422, **fields)
    assert "neither 64 hex" in await admin.send("/new/groups", expected=422, **fields, tpm_digests="xyz")


async def test_a_device_is_shut_out_and_let_in_again(service: Standin, admin: Visitor) -> None:
    assert "Shut it out" in await admin.read("/registrations/sensor-1")
    text = await admin.send("/registrations/sensor-1/disable")
    assert "sensor-1 is shut out" in text
    assert service.enrollments["sensor-1"]["provisioningStatus"] == "disabled"
    assert "Let it in again" in text
    assert "may register again" in await admin.send("/registrations/sensor-1/enable")
    assert service.enrollments == {}
