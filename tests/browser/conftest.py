"""A real server, a real browser, and devices with Microsoft's SDK."""

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.chromium import BINARY, Tab, browser
from tests.server import HomeportServer

ADDRESSES = ("127.0.54.1", "127.0.54.2")


@dataclass(frozen=True, slots=True)
class Portal:
    """The running server's portal and what its operator knows."""

    url: str
    token: str
    values: dict[str, str]

    @property
    def ca(self) -> str:
        return Path(self.values["HOMEPORT_CA_FILE"]).read_text()


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    if BINARY is None:
        pytest.skip("chromium is not installed")
    folder = tmp_path_factory.mktemp("portal")
    with HomeportServer(folder / "data", ADDRESSES) as server:
        values = server.connection()
        token = (folder / "data" / "portal-token").read_text().strip()
        yield Portal(values["HOMEPORT_PORTAL_URL"], token, values)
        assert server.stop() == 0


@pytest.fixture
async def visitor(portal: Portal, tmp_path: Path) -> AsyncIterator[Tab]:
    """A fresh browser at the door."""
    async with browser(tmp_path / "profile") as open_tab, open_tab() as tab:
        await tab.look()
        await tab.go(portal.url)
        yield tab
        # What one cannot see must be in order too: no refused script, no missing file.
        assert tab.complaints == []


@pytest.fixture
async def tab(visitor: Tab, portal: Portal) -> Tab:
    """A browser that is signed in."""
    await visitor.fill("#token", portal.token)
    await visitor.submit("button[type=submit]")
    await visitor.until("document.querySelector('h1').textContent === 'Overview'")
    return visitor


@pytest.fixture
def device_id() -> str:
    return f"press-{os.urandom(3).hex()}"
