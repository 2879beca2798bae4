"""The CA certificates of a hub in the portal: upload, proof, delete, all on one page."""

from typing import Any

import pytest

from tests.unit.portal.conftest import Visitor
from tests.unit.portal.standin import Standin

PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----"
PAGE = "/hubs/alpha/certificates"
EVIL = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def alpha(service: Standin) -> None:
    service.add_hub("alpha", "alpha.example.com")


async def test_from_upload_to_delete(service: Standin, admin: Visitor) -> None:
    assert f'href="{PAGE}"' in await admin.read("/hubs")
    assert "has no CA certificate" in await admin.read(PAGE)
    assert "not verified" in await admin.send(PAGE, name="plant", certificate=PEM)
    assert "C0DE" in await admin.send(f"{PAGE}/plant/code")
    assert "cannot be taken" in await admin.send(f"{PAGE}/plant/verify", expected=400, proof="wrong")
    assert "plant is verified" in await admin.send(f"{PAGE}/plant/verify", proof="proof")
    assert "plant is deleted" in await admin.send(f"{PAGE}/plant/delete")
    await admin.send(PAGE, name="mine", certificate=PEM, verified="on")
    assert service.hub_certificates["mine"]["properties"]["isVerified"]
    service.hub_certificates.add("vouched", isVerified=False)
    assert "vouched is verified" in await admin.send(f"{PAGE}/vouched/verify", word="mine")


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"name": "a b", "certificate": PEM}, 422, "1 to 64 letters"),
        ({"name": "a"}, 422, "Paste the authority"),
        ({"name": "a", "certificate": "-----BEGIN PRIVATE KEY-----SECRET"}, 422, "holds a private key"),
        ({"name": "taken", "certificate": PEM}, 409, "It exists already"),
    ],
)
async def test_what_is_wrong_is_said(
    service: Standin, admin: Visitor, fields: dict[str, Any], status: int, words: str
) -> None:
    service.hub_certificates.add("taken")
    text = await admin.send(PAGE, expected=status, **fields)
    assert words in text
    assert "SECRET" not in text


async def test_what_strangers_write_is_shown_as_text(service: Standin, admin: Visitor) -> None:
    service.hub_certificates.add("evil", subject=EVIL, expiry="2020-01-01T00:00:00Z")
    text = await admin.read(PAGE)
    assert EVIL not in text
    assert "expired" in text
    await admin.read("/hubs/nohub/certificates", status=404)


async def test_readers_are_offered_nothing(service: Standin, stranger: Visitor) -> None:
    service.hub_certificates.add("plant", isVerified=False, verificationCode="C0DE")
    service.administrators["hpt_reader"] = {"name": "reader", "role": "reader"}
    assert (await stranger.sign_in("hpt_reader")).status == 200
    text = await stranger.read(PAGE)
    assert "CN=plant" in text
    assert not any(words in text for words in ("I vouch", "Delete", "Upload", "C0DE"))
