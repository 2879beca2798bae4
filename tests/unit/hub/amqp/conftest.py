"""Connections to a hub over AMQP, on which nothing is proven yet, or a token of d1 is."""

from collections.abc import AsyncIterator

import pytest

from homeport.hub.identities import IdentityWrite
from homeport.hub.served_hub import ServedHub
from tests.unit.hub.amqp_client import KEYS, TOKEN, HubClient, connected
from tests.unit.hub.conftest import Line


@pytest.fixture
async def nobody(hub: ServedHub, amqp: Line) -> AsyncIterator[HubClient]:
    """A connection on which nothing is proven."""
    for device_id in ("d1", "d2"):
        await hub.registry.create(IdentityWrite(device_id=device_id, authentication=KEYS))
    async with connected(amqp) as client:
        await client.start()
        yield client


@pytest.fixture
async def device(nobody: HubClient) -> HubClient:
    """A connection with a token of d1."""
    assert await nobody.put_token(TOKEN) == 200
    return nobody
