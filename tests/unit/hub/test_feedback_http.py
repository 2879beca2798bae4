"""Services take delivery feedback over HTTPS (contract hub.md 18.3)."""

from datetime import timedelta
from typing import Any

import pytest

from homeport.hub.identities import IdentityWrite
from homeport.hub.model import Acknowledgement, CloudMessage, SasAuthentication, Waiting
from homeport.hub.notices import FEEDBACK, is_due
from homeport.hub.served_hub import ServedHub
from tests.unit.hub.clients import RestClient
from tests.unit.hub.conftest import ManualClock

KEYS = SasAuthentication(primary_key=b"1" * 32, secondary_key=b"2" * 32)
TOLD = "/messages/serviceBound/feedback"


@pytest.fixture
async def purged(rest: RestClient, hub: ServedHub, clock: ManualClock) -> RestClient:
    """A hub with feedback of two messages that were purged."""
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    for message_id in ("m1", "m2"):
        message = CloudMessage(
            body=b"hi",
            system={"mid": message_id},
            acknowledgement=Acknowledgement.FULL,
            enqueued_at=clock.now(),
            expires_at=clock.now() + timedelta(hours=1),
        )
        await hub.messages.send("d1", message)
    assert await hub.messages.purge("d1") == 2
    return rest


async def take(rest: RestClient) -> tuple[list[Any], str]:
    answer = await rest("GET", TOLD, policy="service")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    return answer.json(), answer.headers["ETag"].strip('"')


async def test_a_batch_and_its_ends(purged: RestClient) -> None:
    records, lock = await take(purged)
    told = [(each["originalMessageId"], each["statusCode"], each["description"], each["deviceId"]) for each in records]
    assert told == [("m1", "Purged", "Purged", "d1"), ("m2", "Purged", "Purged", "d1")]
    assert (await purged("GET", TOLD)).status_code == 204
    assert (await purged("POST", f"{TOLD}/{lock}/abandon")).status_code == 204
    again, lock = await take(purged)
    assert again == records
    assert (await purged("DELETE", f"{TOLD}/%22{lock}%22")).status_code == 204
    assert (await purged("DELETE", f"{TOLD}/{lock}")).status_code == 412
    assert (await purged("GET", TOLD)).status_code == 204


async def test_who_may(purged: RestClient) -> None:
    for policy in ("device", "registryRead"):
        assert (await purged("GET", TOLD, policy=policy)).status_code == 401
    assert (await purged("GET", TOLD, policy=None)).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/messages/serviceBound/other", 404),
        ("GET", "/messages/servicebound", 404),
        ("POST", TOLD, 405),
        ("GET", f"{TOLD}/lock", 405),
        ("POST", f"{TOLD}/lock/abandon", 412),
        ("DELETE", f"{TOLD}/lock?reject", 412),
    ],
)
async def test_addresses(purged: RestClient, method: str, path: str, status: int) -> None:
    assert (await purged(method, path)).status_code == status


@pytest.mark.parametrize(
    ("count", "seconds", "due"), [(0, None, False), (1, 14.9, False), (1, 15, True), (63, 0, False), (64, 0, True)]
)
def test_when_a_batch_goes_out(clock: ManualClock, count: int, seconds: float | None, due: bool) -> None:
    oldest = None if seconds is None else clock.now() - timedelta(seconds=seconds)
    assert is_due(Waiting(count=count, oldest=oldest), FEEDBACK, clock.now()) is due
