"""Devices over HTTPS, with the real server between them and the hub (contract hub.md 17)."""

import base64
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from homeport.hub.identities import IdentityWrite
from homeport.hub.model import Acknowledgement, CloudMessage, ConnectionState, SasAuthentication, StoredTelemetry
from homeport.hub.served_hub import ServedHub
from tests.unit.hub.clients import RestClient, device_token
from tests.unit.hub.conftest import ManualClock

KEYS = SasAuthentication(primary_key=b"1" * 32, secondary_key=b"2" * 32)
EVENTS, BOUND = "/devices/d1/messages/events", "/devices/d1/messages/devicebound"


@pytest.fixture
async def device(rest: RestClient, hub: ServedHub) -> Any:
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))

    async def call(
        method: str, path: str, body: bytes = b"", token: str | None = None, **headers: str
    ) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Authorization"] = device_token("d1", b"1" * 32) if token is None else token
        return await rest(method, path, body=body, policy=None, **sent)

    return call


async def stored(hub: ServedHub) -> list[StoredTelemetry]:
    return list(reversed(await hub.telemetry.log.latest(device_id="d1", limit=100)))


async def queue(hub: ServedHub, clock: ManualClock, body: bytes = b"hi", **parts: Any) -> None:
    now = clock.now()
    message = CloudMessage(body=body, enqueued_at=now, expires_at=now + timedelta(hours=1), **parts)
    await hub.messages.send("d1", message)


async def test_an_event_with_its_properties(device: Any, hub: ServedHub) -> None:
    answer = await device(
        "POST", EVENTS, b"\x00\xff", iothub_messageid="m1", iothub_contenttype="t", iothub_app_Plant="north", Other="x"
    )
    assert (answer.status_code, answer.content) == (204, b"")
    (message,) = await stored(hub)
    told = message.telemetry
    assert (told.body, told.system) == (b"\x00\xff", {"mid": "m1", "ct": "t"})
    assert {name.lower(): value for name, value in told.properties.items()} == {"plant": "north"}
    assert told.annotations["iothub-connection-device-id"] == "d1"
    # A request is no connection.
    assert (await hub.registry.get("d1")).connection_state is ConnectionState.DISCONNECTED
    assert (await hub.registry.get("d1")).last_activity_at.year > 1


async def test_a_batch(device: Any, hub: ServedHub) -> None:
    batch = [
        {"body": base64.b64encode(b"one").decode(), "properties": {"iothub-app-a": "1", "iothub-messageid": "x"}},
        {"body": "two", "base64Encoded": False},
    ]
    answer = await device(
        "POST", EVENTS + "/", json.dumps(batch).encode(), Content_Type="application/vnd.microsoft.iothub.json"
    )
    assert answer.status_code == 204
    told = [(m.telemetry.body, dict(m.telemetry.properties), dict(m.telemetry.system)) for m in await stored(hub)]
    assert told == [(b"one", {"a": "1"}, {"mid": "x"}), (b"two", {}, {})]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 400),
        (b"{", 400),
        (b'[{"body": "%%%"}]', 400),
        (b'[{"body": 3}]', 400),
        (json.dumps([{"body": "x" * 150_000, "base64Encoded": False}] * 2).encode(), 413),
        (b" " * (512 * 1024 + 1), 413),
    ],
)
async def test_bad_batches_store_nothing(device: Any, hub: ServedHub, body: bytes, status: int) -> None:
    answer = await device("POST", EVENTS, body, Content_Type="application/vnd.microsoft.iothub.json")
    assert answer.status_code == status
    assert await stored(hub) == []


async def test_an_event_has_a_limit(device: Any, hub: ServedHub) -> None:
    assert (await device("POST", EVENTS, b"x" * (256 * 1024 + 1))).status_code == 413
    assert (await device("POST", EVENTS, b"x" * (256 * 1024))).status_code == 204
    assert len(await stored(hub)) == 1


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", "IotHubUnauthorized"),
        ("nonsense", "IotHubUnauthorized"),
        (device_token("d1", b"x" * 32), "IotHubUnauthorizedAccess"),
        (device_token("d2", b"1" * 32), "IotHubUnauthorizedAccess"),
        (device_token("d1", b"1" * 32, expiry=1), "IotHubUnauthorizedAccess"),
    ],
)
async def test_who_is_refused(device: Any, hub: ServedHub, token: str, code: str) -> None:
    for method, path in (("POST", EVENTS), ("GET", BOUND), ("DELETE", f"{BOUND}/x")):
        answer = await device(method, path, token=token)
        assert (answer.status_code, answer.headers["iothub-errorcode"]) == (401, code)
    assert await stored(hub) == []


async def test_a_message_and_its_headers(device: Any, hub: ServedHub, clock: ManualClock) -> None:
    assert (await device("GET", BOUND)).status_code == 204
    await queue(
        hub, clock, b"\x01", system={"mid": "m1", "ct": "application/json"}, properties={"key": "a\r\nSet-Cookie: b"},
        acknowledgement=Acknowledgement.FULL,
    )  # fmt: skip
    answer = await device("GET", "/devices/d1/messages/deviceBound")
    assert (answer.status_code, answer.content) == (200, b"\x01")
    names = {name.decode() for name, _ in answer.headers.raw}
    # C compares names as they are spelt.
    assert {"ETag", "ContentType", "iothub-contenttype", "iothub-messageid", "iothub-app-key"} <= names
    headers = answer.headers
    assert (headers["iothub-sequencenumber"], headers["iothub-deliverycount"], headers["iothub-ack"]) == (
        "1",
        "0",
        "full",
    )
    assert headers["iothub-enqueuedtime"] == "2024-06-01T12:00:00.0000000Z"
    assert headers["iothub-app-key"] == "aSet-Cookie: b"
    assert "set-cookie" not in headers
    token = headers["ETag"].strip('"')
    assert (await device("GET", BOUND)).status_code == 204  # locked
    assert (await device("DELETE", f"{BOUND}/{token}")).status_code == 204
    lost = await device("DELETE", f"{BOUND}/{token}")
    assert (lost.status_code, lost.headers["iothub-errorcode"]) == (412, "DeviceMessageLockLost")


@pytest.mark.parametrize(
    ("method", "suffix", "left"),
    [
        ("DELETE", "?reject", 0),
        ("DELETE", "?reject=", 0),
        ("DELETE", "?%3Freject=true", 0),
        ("POST", "/abandon", 1),
    ],
)
async def test_how_a_message_may_end(
    device: Any, hub: ServedHub, clock: ManualClock, method: str, suffix: str, left: int
) -> None:
    await queue(hub, clock)
    token = (await device("GET", BOUND)).headers["ETag"].strip('"')
    path, _, query = suffix.partition("?")
    answer = await device(method, f"{BOUND}/{token}{path}?{query}", b"\x00" if left else b"")
    assert answer.status_code == 204
    assert (await hub.messages.counts(["d1"])).get("d1", 0) == left
    if left:
        assert (await device("GET", BOUND)).headers["iothub-deliverycount"] == "1"


async def test_a_lock_lasts_as_long_as_it_was_asked_for(device: Any, hub: ServedHub, clock: ManualClock) -> None:
    await queue(hub, clock)
    await device("GET", f"{BOUND}?iothub-messagelocktimeout=90")
    clock.pass_seconds(89)
    assert (await device("GET", BOUND)).status_code == 204
    clock.pass_seconds(1)
    assert (await device("GET", BOUND, IotHub_MessageLockTimeout="10")).status_code == 200
    clock.pass_seconds(10)
    assert (await device("GET", BOUND)).status_code == 200


async def test_addresses_that_are_none(device: Any) -> None:
    for method, path in (("GET", EVENTS), ("PUT", BOUND), ("POST", f"{BOUND}/x"), ("GET", "/devices/d1/messages")):
        assert (await device(method, path)).status_code == 404
