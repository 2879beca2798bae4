"""A request is repeated exactly when that can do no harm, and not before the service wants it."""

import ssl
from pathlib import Path

import pytest

from homeport.client import (
    NotFoundError,
    ProvisioningServiceError,
    RetryPolicy,
    ThrottledError,
    TransportError,
    UntrustedServerError,
)
from homeport.client._async.http import HttpSession, segment
from homeport.client.trust import tls_context
from tests.unit.client.scripted import ScriptedService, Step

THROTTLED = {"errorCode": 429001, "trackingId": "t-1", "message": "Too many", "timestampUtc": "2026-01-01T00:00:00Z"}


class World:
    """A session whose waits are written down instead of waited."""

    def __init__(self, service: ScriptedService, ca_file: Path, attempts: int = 3) -> None:
        self.waits: list[float] = []
        self.session = HttpSession(
            service.authority,
            context=tls_context(ca_file),
            timeout=5,
            retry=RetryPolicy(attempts=attempts, base=1.0),
            query={"api-version": "v"},
            pause=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.waits.append(seconds)


def step(status: int, method: str = "GET", **headers: str) -> Step:
    return Step(
        method=method,
        path="/thing?api-version=v",
        status=status,
        body=THROTTLED if status >= 400 else {},
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


async def test_throttling_is_waited_out(server_context: ssl.SSLContext, ca_file: Path) -> None:
    steps = [step(429, "PUT", retry_after="7"), step(429, "PUT", retry_after="9"), step(200, "PUT")]
    with ScriptedService(steps, server_context) as service:
        world = World(service, ca_file)
        async with world.session as session:
            await session.send("PUT", "/thing", body=b"{}", repeatable=False)
    assert 7 <= world.waits[0] <= 8
    assert 9 <= world.waits[1] <= 11


async def test_patience_ends(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([step(429)] * 3, server_context) as service:
        world = World(service, ca_file)
        async with world.session as session:
            with pytest.raises(ThrottledError) as caught:
                await session.send("GET", "/thing", repeatable=True)
    assert caught.value.tracking_id == "t-1"
    assert len(world.waits) == 2
    assert 0.5 <= world.waits[0] <= 1.0
    assert 1.0 <= world.waits[1] <= 2.0


async def test_a_wait_that_is_too_long_is_raised(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([step(429, retry_after="3600")], server_context) as service:
        world = World(service, ca_file)
        async with world.session as session:
            with pytest.raises(ThrottledError) as caught:
                await session.send("GET", "/thing", repeatable=True)
    assert caught.value.retry_after == 3600
    assert world.waits == []


@pytest.mark.parametrize("fault", [500, 503, 0])
async def test_what_may_have_been_done_is_repeated_if_that_is_safe(
    fault: int, server_context: ssl.SSLContext, ca_file: Path
) -> None:
    with ScriptedService([step(fault), step(200)], server_context) as service:
        world = World(service, ca_file)
        async with world.session as session:
            assert (await session.send("GET", "/thing", repeatable=True)).status_code == 200


@pytest.mark.parametrize("fault", [500, 0])
async def test_what_may_have_been_done_is_not_repeated_else(
    fault: int, server_context: ssl.SSLContext, ca_file: Path
) -> None:
    with ScriptedService([step(fault, "PUT")], server_context) as service:
        world = World(service, ca_file)
        async with world.session as session:
            with pytest.raises((TransportError, ProvisioningServiceError)):
                await session.send("PUT", "/thing", repeatable=False)
    assert world.waits == []


async def test_a_repeated_delete_that_finds_nothing_has_worked(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([step(0, "DELETE"), step(404, "DELETE")], server_context) as service:
        world = World(service, ca_file)
        async with world.session as session:
            await session.send("DELETE", "/thing", repeatable=True)
    assert len(world.waits) == 1


async def test_a_first_delete_that_finds_nothing_says_so(server_context: ssl.SSLContext, ca_file: Path) -> None:
    service = ScriptedService([step(429, "DELETE"), step(404, "DELETE")], server_context)
    with service, pytest.raises(NotFoundError):
        async with World(service, ca_file).session as session:
            await session.send("DELETE", "/thing", repeatable=True)


async def test_no_connection(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([], server_context) as service:
        world = World(service, ca_file)
    async with world.session as session:
        with pytest.raises(TransportError, match="GET to localhost:"):
            await session.send("GET", "/thing", repeatable=False)
    assert len(world.waits) == 2


async def test_no_proxy_stands_before_this_machine(
    server_context: ssl.SSLContext, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with ScriptedService([step(200)], server_context) as service:
        async with World(service, ca_file).session as session:
            await session.send("GET", "/thing", repeatable=True)


async def test_a_server_that_is_not_trusted_is_not_tried_again(server_context: ssl.SSLContext, ca_file: Path) -> None:
    with ScriptedService([], server_context) as service:
        waits: list[float] = []

        async def pause(seconds: float) -> None:
            waits.append(seconds)

        session = HttpSession(service.authority, context=tls_context(), timeout=5, retry=RetryPolicy(), pause=pause)
        async with session:
            with pytest.raises(UntrustedServerError, match="ca_file"):
                await session.send("GET", "/thing", repeatable=True)
    assert waits == []


@pytest.mark.parametrize("identifier", ["", ".", ".."])
def test_an_id_cannot_change_the_path(identifier: str) -> None:
    with pytest.raises(ValueError, match="cannot be an id"):
        segment(identifier)


def test_ids_are_escaped() -> None:
    assert segment("a/b?c#d%:e") == "a%2Fb%3Fc%23d%25%3Ae"
