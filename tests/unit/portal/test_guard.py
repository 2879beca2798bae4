from datetime import timedelta

import pytest
from aiohttp import web

from homeport.portal.guard import is_our_name
from homeport.portal.sessions import ATTEMPTS, IDLE
from tests.unit.portal.conftest import TOKEN, Clock, Visitor
from tests.unit.portal.standin import Standin


@pytest.mark.parametrize("path", ["/", "/enrollments", "/groups/x", "/new/hub", "/devices/h/d", "/nowhere"])
async def test_strangers_are_sent_to_the_door(stranger: Visitor, path: str) -> None:
    answer = await stranger.client.get(path, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/login")


async def test_strangers_see_nothing_live_and_change_nothing(stranger: Visitor, service: Standin) -> None:
    service.add_hub("hub1", "127.0.0.1")
    assert (await stranger.client.get("/live/hub1")).status == 401
    answer = await stranger.client.post("/hubs/hub1/unlink", data={}, allow_redirects=False)
    assert answer.headers["Location"] == "/login"
    assert "hub1" in service.hubs


async def test_signing_in_and_out(stranger: Visitor) -> None:
    answer = await stranger.client.post("/login", data={"token": TOKEN}, allow_redirects=False)
    cookie = answer.headers["Set-Cookie"]
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    await stranger.read("/")
    assert (await stranger.client.get("/login", allow_redirects=False)).headers["Location"] == "/"
    old = cookie.partition(";")[0]
    assert "Sign in" in await stranger.send("/logout")
    # The session is over on the server too, not only forgotten by this browser.
    answer = await stranger.client.get("/", headers={"Cookie": old}, allow_redirects=False)
    assert answer.headers["Location"] == "/login"


async def test_a_wrong_token(stranger: Visitor) -> None:
    answer = await stranger.sign_in("guess")
    assert answer.status == 403
    assert "not the token" in await answer.text()
    assert "Set-Cookie" not in answer.headers


async def test_guessing_has_to_wait_and_then_may_go_on(stranger: Visitor, clock: Clock) -> None:
    for _ in range(ATTEMPTS):
        assert (await stranger.sign_in("guess")).status == 403
    answer = await stranger.sign_in()
    assert answer.status == 429
    clock.pass_time(timedelta(seconds=int(answer.headers["Retry-After"])))
    assert (await stranger.sign_in()).status == 200


async def test_a_session_ends_by_itself(admin: Visitor, clock: Clock) -> None:
    await admin.read("/")
    clock.pass_time(IDLE + timedelta(seconds=1))
    assert (await admin.client.get("/", allow_redirects=False)).headers["Location"] == "/login"


@pytest.mark.parametrize("csrf", [None, "", "guess"])
async def test_a_form_without_its_token_is_refused(admin: Visitor, service: Standin, csrf: str | None) -> None:
    service.add_hub("hub1", "127.0.0.1")
    fields = {} if csrf is None else {"csrf": csrf}
    assert (await admin.client.post("/hubs/hub1/unlink", data=fields)).status == 403
    assert "hub1" in service.hubs


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_form_of_another_site_is_refused(admin: Visitor, service: Standin, headers: dict[str, str]) -> None:
    service.add_hub("hub1", "127.0.0.1")
    data = {"csrf": await admin.csrf()}
    assert (await admin.client.post("/hubs/hub1/unlink", data=data, headers=headers)).status == 403
    assert (await admin.client.post("/login", data={"token": TOKEN}, headers=headers)).status == 403
    assert "hub1" in service.hubs


async def test_our_own_forms_are_taken(admin: Visitor, service: Standin) -> None:
    service.add_hub("hub1", "127.0.0.1")
    own = f"http://{admin.client.host}:{admin.client.port}"
    data = {"csrf": await admin.csrf()}
    headers = {"Origin": own, "Sec-Fetch-Site": "same-origin"}
    assert (await admin.client.post("/hubs/hub1/unlink", data=data, headers=headers)).status == 200
    assert service.hubs == {}


async def test_other_methods_are_not_offered(admin: Visitor) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert (await admin.client.request(method, "/hubs")).status == 405


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1:8080", "127.5.6.7", "[::1]:8080", "portal.example.com:80"],
)
def test_our_names(host: str) -> None:
    assert is_our_name(host, frozenset({"portal.example.com"}))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.0.2.1",
        "0.0.0.0",
        "user@localhost",
        "localhost/evil",
        "[::1",
        "[evil]",
        "example.com",
    ],
)
def test_names_that_are_not_ours(host: str) -> None:
    assert not is_our_name(host, frozenset({"portal.example.com"}))


async def test_a_rebound_name_reaches_no_page(admin: Visitor) -> None:
    for path in ("/", "/login", "/static/portal.css", "/live/hub1"):
        answer = await admin.client.get(path, headers={"Host": "evil.example:8080"})
        assert answer.status == 421
        assert "0ne00000A1B" not in await answer.text()


@pytest.mark.parametrize("path", ["/login", "/", "/nowhere", "/static/portal.js", "/static/nothing"])
async def test_security_headers_are_on_every_answer(admin: Visitor, path: str) -> None:
    answer = await admin.client.get(path, allow_redirects=False)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"


async def test_pages_are_not_kept_and_files_are(admin: Visitor) -> None:
    assert (await admin.client.get("/")).headers["Cache-Control"] == "no-store"
    answer = await admin.client.get("/static/portal.css")
    assert answer.headers["Cache-Control"] == "no-cache"
    version = answer.headers["ETag"].strip('"')
    answer = await admin.client.get(f"/static/portal.css?v={version}")
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.content_type == "text/css"


@pytest.mark.parametrize("name", ["..%2fapp.py", "%2e%2e/app.py", "portal.html", "../guard.py"])
async def test_only_the_files_that_are_meant_are_served(admin: Visitor, name: str) -> None:
    answer = await admin.client.get(f"/static/{name}")
    assert answer.status == 404


async def test_a_form_that_is_too_large(admin: Visitor) -> None:
    answer = await admin.client.post("/new/hub", data={"csrf": await admin.csrf(), "name": "x" * 400_000})
    assert answer.status == 413
    assert "Too large" in await answer.text()


async def test_an_api_that_is_away_makes_a_readable_page(admin: Visitor, service: Standin) -> None:
    service.down = True
    for path in ("/", "/enrollments", "/hubs", "/attempts"):
        text = await admin.read(path, 502)
        assert "The service does not answer" in text
        assert "Try again" in text


async def test_a_fault_of_ours_says_nothing_but_where_to_look(
    admin: Visitor, service: Standin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "served", None)
    text = await admin.read("/hubs", 500)
    assert "A fault of the portal" in text
    assert "NoneType" not in text
    assert any(record.exc_info for record in caplog.records)


async def test_the_cookie_of_an_https_portal_is_secure(service: Standin) -> None:
    from aiohttp.test_utils import TestClient, TestServer

    from homeport.portal import About, create_portal

    about = About(id_scope="0ne", global_endpoint="e", version="1")
    application: web.Application = create_portal(service.api(), token=TOKEN, about=about, https=True)
    async with TestClient(TestServer(application)) as client:
        answer = await client.post("/login", data={"token": TOKEN}, allow_redirects=False)
        assert "Secure" in answer.headers["Set-Cookie"]
