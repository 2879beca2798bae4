"""A linked hub that is slow, away, overrun or unwilling: devices hear honest answers, operators hear why."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from homeport.client import Attempt
from homeport.errors import Code
from tests.fault.actors import KeyDevice, Operator, Place, network
from tests.fault.stand_in_hub import StandInHub
from tests.server import HomeportServer

HERE = "127.0.64.1"
ELSEWHERE = "127.0.64.9"
BUDGET = {"HOMEPORT_REGISTER_BUDGET": "0.3"}
DEADLINE = {"HOMEPORT_OPERATION_DEADLINE": "3"}
RETRY_AFTER = 2


@asynccontextmanager
async def linked(server: HomeportServer) -> AsyncIterator[tuple[StandInHub, Operator]]:
    """Open a hub elsewhere, and link it."""
    async with StandInHub.at(ELSEWHERE).opened() as hub, Operator(server.data) as operator:
        await operator.admin.link_hub(
            "elsewhere", connection_string=hub.connection_string, ca_certificates=hub.ca.certificate.decode()
        )
        yield hub, operator


@asynccontextmanager
async def device_of(operator: Operator, registration_id: str) -> AsyncIterator[KeyDevice]:
    """Enroll a device that belongs to the hub elsewhere."""
    key = await operator.enroll_key(registration_id, iot_hubs=[ELSEWHERE])
    place = Place.of(operator.info)
    async with network(place) as http:
        yield KeyDevice(registration_id=registration_id, key=key, place=place, http=http)


async def why(operator: Operator, registration_id: str) -> Attempt:
    """Return the last attempt."""
    [attempt] = await operator.admin.why(registration_id, limit=1)
    return attempt


async def why_in_words(server: HomeportServer, registration_id: str) -> str:
    """Return the last attempt as a person reads it."""
    return (await asyncio.to_thread(server.run, "why", registration_id, "-n", "1")).stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HomeportServer]:
    with HomeportServer(tmp_path / "data", (HERE,), env=BUDGET) as running:
        yield running


async def slow(hub: StandInHub) -> None:
    hub.hold()


async def away(hub: StandInHub) -> None:
    await hub.go_down()


async def out_of_order(hub: StandInHub) -> None:
    hub.answer = (503, {})


async def overrun(hub: StandInHub) -> None:
    hub.answer = (429, {"Retry-After": str(RETRY_AFTER)})


@pytest.mark.parametrize("trouble", [slow, away, out_of_order, overrun])
async def test_a_hub_that_recovers_gets_its_device(
    server: HomeportServer, trouble: Callable[[StandInHub], Awaitable[None]]
) -> None:
    async with linked(server) as (hub, operator), device_of(operator, "patient") as device:
        await trouble(hub)
        answer = await device.register()
        assert (answer.status, answer.outcome) == (202, "assigning")
        assert answer.retry_after in range(2, 6)
        polled = await device.operation(answer.operation_id)
        assert (polled.status, polled.outcome) == (202, "assigning")
        attempt = await why(operator, "patient")
        assert attempt.outcome == "assigning"
        assert ELSEWHERE in attempt.reason

        await hub.recover()
        final = await device.finished(answer)
        assert (final.status, final.outcome) == (200, "assigned")
        assert final.state["assignedHub"] == ELSEWHERE
        assert list(hub.devices) == ["patient"]
        attempt = await why(operator, "patient")
        assert (attempt.outcome, attempt.assigned_hub) == ("assigned", ELSEWHERE)
        if trouble is overrun:
            first, second, *_ = hub.calls
            assert second.at - first.at >= RETRY_AFTER, "not before the hub's Retry-After"


async def test_a_hundred_calls_while_the_hub_is_slow_share_one_operation(server: HomeportServer) -> None:
    async with linked(server) as (hub, operator), device_of(operator, "eager") as device:
        hub.hold()
        answers = await asyncio.gather(*(device.register() for _ in range(100)))
        assert {answer.outcome for answer in answers} == {"assigning"}
        assert len({answer.operation_id for answer in answers}) == 1
        await hub.recover()
        final = await device.finished(answers[0])
        assert final.outcome == "assigned"
        assert len(hub.creations) == 1


async def test_a_refusal_ends_the_operation_and_the_next_one_may_succeed(server: HomeportServer) -> None:
    async with linked(server) as (hub, operator), device_of(operator, "unwanted") as device:
        hub.answer = (403, {"iothub-errorcode": "IotHubQuotaExceeded"})
        final = await device.finished(await device.register())
        assert final.outcome == "failed"
        assert final.state["errorCode"] == Code.HUB_REFUSED
        assert "403 IotHubQuotaExceeded" in final.state["errorMessage"]
        attempt = await why(operator, "unwanted")
        assert (attempt.outcome, attempt.code) == ("failed", Code.HUB_REFUSED)
        assert "403 IotHubQuotaExceeded" in attempt.reason
        assert "rights" in attempt.advice
        words = await why_in_words(server, "unwanted")
        assert attempt.reason in words
        assert attempt.advice in words

        await hub.recover()
        final = await device.finished(await device.register())
        assert (final.outcome, list(hub.devices)) == ("assigned", ["unwanted"])


@pytest.mark.parametrize("trouble", [slow, away])
async def test_the_deadline_ends_what_no_hub_answers(
    tmp_path: Path, trouble: Callable[[StandInHub], Awaitable[None]]
) -> None:
    with HomeportServer(tmp_path / "data", (HERE,), env=BUDGET | DEADLINE) as server:
        async with linked(server) as (hub, operator), device_of(operator, "waiting") as device:
            await trouble(hub)
            answer = await device.register()
            assert answer.outcome == "assigning"
            final = await device.finished(answer)
            assert (final.status, final.outcome) == (200, "failed")
            assert final.operation_id == answer.operation_id
            assert final.state["errorCode"] == Code.ASSIGNMENT_TIMED_OUT
            assert "deadline" in final.state["errorMessage"]
            attempt = await why(operator, "waiting")
            assert (attempt.outcome, attempt.code) == ("failed", Code.ASSIGNMENT_TIMED_OUT)
            assert "reached" in attempt.advice
            assert attempt.reason in await why_in_words(server, "waiting")

            await hub.recover()
            again = await device.finished(await device.register())
            assert again.outcome == "assigned"
