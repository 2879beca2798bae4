"""The portal over the stand-in API, with a browser-like client that may be signed in."""

import re
import ssl
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from homeport.client._async import service_client
from homeport.portal import About, create_portal
from tests.unit.portal.standin import NOW, Standin

TOKEN = "a-token-nobody-guesses"


class Clock:
    """Time as a test tells it."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"the portal does not sleep, and not {seconds} seconds")

    def pass_time(self, span: timedelta) -> None:
        self.time += span


class Visitor:
    """Somebody with a browser: follows redirects, keeps cookies, sends the form's CSRF token."""

    def __init__(self, client: "TestClient[web.Request, web.Application]") -> None:
        self.client = client

    async def open(self, path: str) -> ClientResponse:
        return await self.client.get(path)

    async def read(self, path: str, status: int = 200) -> str:
        answer = await self.client.get(path)
        text = await answer.text()
        assert answer.status == status, text
        return text

    async def csrf(self) -> str:
        """Return the session's token, as every page's sign-out form holds it."""
        found = re.search(r'name="csrf" value="([^"]+)"', await self.read("/hubs"))
        assert found is not None
        return found[1]

    async def send(self, path: str, *, expected: int = 200, hubs: tuple[str, ...] = (), **fields: str) -> str:
        """Send a form and return the page that it leads to."""
        data = [("csrf", await self.csrf()), *fields.items(), *(("hubs", hub) for hub in hubs)]
        answer = await self.client.post(path, data=data)
        text = await answer.text()
        assert answer.status == expected, text
        return text

    async def sign_in(self, token: str = TOKEN) -> ClientResponse:
        return await self.client.post("/login", data={"token": token})


@pytest.fixture(autouse=True)
def quick_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each client the reading of the system's certificate authorities; nothing here is sent over TLS."""
    monkeypatch.setattr(service_client, "tls_context", lambda *_, **__: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


@pytest.fixture
def service() -> Standin:
    return Standin()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def stranger(service: Standin, clock: Clock) -> AsyncIterator[Visitor]:
    """Somebody who has not signed in."""
    about = About(id_scope="0ne00000A1B", global_endpoint="dps.example.com", version="9.9")
    application = create_portal(
        service.api(), token=TOKEN, about=about, hosts=["portal.example.com"], clock=clock, enter=service.enter
    )
    async with TestClient(TestServer(application)) as client:
        yield Visitor(client)


@pytest.fixture
async def admin(stranger: Visitor) -> Visitor:
    """Somebody who has signed in."""
    assert (await stranger.sign_in()).status == 200
    return stranger
