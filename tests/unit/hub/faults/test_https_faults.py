"""Fault injection messages over HTTPS: the request itself is refused, at once (contract hub.md 28.4)."""

import pytest
from httpx import Response

from homeport.faults import FaultLab
from homeport.hub.hubs import Hubs
from homeport.hub.served_hub import ServedHub
from tests.unit.hub.amqp_client import TOKEN, stored
from tests.unit.hub.clients import RestClient
from tests.unit.hub.conftest import NAME

EVENTS = "/devices/d1/messages/events"


async def send(rest: RestClient, body: bytes, kind: str | None = None) -> Response:
    headers = {"Authorization": TOKEN}
    if kind is not None:  # header names lose their case in transit
        headers |= {
            "iothub-app-aziothub_faultoperationtype": kind,
            "iothub-app-AzIoTHub_FaultOperationDelayInSecs": "5",
        }
    return await rest._client.post(f"{EVENTS}?api-version=2021-04-12", content=body, headers=headers)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("InvokeThrottling", 429, "ThrottlingException"),
        ("InvokeMaxMessageQuota", 403, "IotHubQuotaExceeded"),
        ("InvokeAuthError", 401, "IotHubUnauthorizedAccess"),
    ],
)
async def test_refused_at_once(
    rest: RestClient, hub: ServedHub, lab: FaultLab, kind: str, status: int, code: str
) -> None:
    answer = await send(rest, b"x", kind)
    assert (answer.status_code, answer.headers["iothub-errorcode"]) == (status, code)
    assert (await send(rest, b"y")).status_code == 204
    assert [each.body for each in await stored(hub)] == [b"y"]
    assert [each.transport for each in lab.history()] == ["https"]


async def test_what_breaks_connections_is_telemetry(rest: RestClient, hubs: Hubs, hub: ServedHub) -> None:
    assert (await send(rest, b"x", "KillTcp")).status_code == 204
    await hubs.obey_fault_messages(NAME, wanted=False)
    assert (await send(rest, b"y", "InvokeThrottling")).status_code == 204
    assert [each.body for each in await stored(hub)] == [b"x", b"y"]
