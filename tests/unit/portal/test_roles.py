"""Administrators sign in with a token of their own, are offered what their role may do, and are told who they are."""

import pytest

from homeport.portal.sessions import ATTEMPTS
from tests.unit.portal.conftest import TOKEN, Visitor
from tests.unit.portal.standin import NOW, Standin, stamp


@pytest.fixture
def known(service: Standin) -> Standin:
    service.add_hub("alpha", "alpha.example.com")
    service.add_certificate("Root", isVerified=False)
    for role in ("reader", "operator", "owner"):
        service.administrators[f"hpt_{role}"] = {"name": f"the-{role}", "role": role}
    entry = {
        "at": stamp(NOW),
        "kind": "hub.updated",
        "subject": "hubs/alpha",
        "by": {"kind": "administrator", "name": "anna<b>", "role": "owner"},
        "remoteAddress": "192.0.2.1",
        "data": {
            "changes": {
                "allocationWeight": {"before": 1, "after": 7},
                "connectionString": {"secret": True},
                "twin": {"after": {"members": 2}},
            },
            "reason": "so",
        },
    }
    service.audit = [{"seq": 1, "hash": "ab" * 32, "entry": entry}]
    return service


@pytest.mark.parametrize(
    ("role", "enrolls", "configures"), [("reader", False, False), ("operator", True, False), ("owner", True, True)]
)
async def test_pages_offer_what_the_role_may_do(
    stranger: Visitor, known: Standin, role: str, enrolls: bool, configures: bool
) -> None:
    del known
    assert (await stranger.sign_in(f"hpt_{role}")).status == 200
    page = await stranger.read("/enrollments")
    assert ('href="/new/enrollments"' in page) == enrolls
    assert f"the-{role}" in page
    assert ('href="/administrators"' in page) == configures
    page = await stranger.read("/hubs")
    assert ('href="/new/hub"' in page, "/allocation" in page) == (configures,) * 2
    page = await stranger.read("/certificates")
    assert ('href="/new/certificate"' in page) == configures
    assert 'href="/certificates/Root"' in page
    page = await stranger.read("/certificates/Root")
    offered = ("I vouch for it" in page, "/revocation" in page, "/crl" in page, "/delete" in page)
    assert offered == (configures,) * 4
    page = await stranger.read("/events")
    assert ('href="/new/events"' in page) == configures


async def test_what_the_role_may_not_is_explained_and_the_session_stays(stranger: Visitor, known: Standin) -> None:
    del known
    await stranger.sign_in("hpt_reader")
    page = await stranger.send("/hubs/alpha/unlink", expected=403)
    assert "You are the-reader, reader." in page
    assert "the-reader" in await stranger.read("/hubs")


async def test_a_revoked_token_ends_the_session(stranger: Visitor, known: Standin) -> None:
    await stranger.sign_in("hpt_operator")
    known.administrators.clear()
    page = await stranger.read("/hubs")
    assert "Sign in with your administrator" in page


async def test_wrong_tokens_count_and_right_ones_do_not(stranger: Visitor, known: Standin) -> None:
    del known
    for _ in range(ATTEMPTS * 2):
        assert (await stranger.sign_in(TOKEN)).status == 200
        stranger.client.session.cookie_jar.clear()
    for _ in range(ATTEMPTS):
        assert (await stranger.sign_in("hpt_nobody")).status == 403
    assert (await stranger.sign_in("hpt_owner")).status == 429


async def test_a_new_administrators_token_is_shown_once(admin: Visitor, known: Standin) -> None:
    page = await admin.send("/new/administrators", name="bob", role="operator", days="30")
    assert "hpt_bob" in page
    assert "hpt_bob" not in await admin.read("/administrators")
    assert known.administrators["hpt_bob"]["role"] == "operator"
    assert "Choose a role" in await admin.send("/new/administrators", expected=422, name="x", role="king", days="")
    assert "A number of days" in await admin.send("/new/administrators", expected=422, name="x", role="owner", days="0")
    await admin.send("/administrators/bob/revoke")
    assert "hpt_bob" not in known.administrators


async def test_the_audit_is_shown_filtered_and_verified(admin: Visitor, known: Standin) -> None:
    page = await admin.read("/audit")
    assert "hub.updated" in page
    assert "anna&lt;b&gt;" in page
    assert "No entry is like that" in await admin.read("/audit?kind=device.")
    assert "A time is a date" in await admin.read("/audit?since=yesterday")
    page = await admin.read("/audit/1")
    assert "a secret; only that it changed is kept" in page
    assert "allocationWeight" in page
    assert "The chain holds" in await admin.send("/audit/verify")
    known.broken_at = 1
    page = await admin.send("/audit/verify")
    assert "The chain is broken" in page
    assert 'href="/audit/1"' in page
