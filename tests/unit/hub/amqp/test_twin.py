"""The twin of a device over AMQP (contract hub.md 16.5)."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from homeport.hub.served_hub import ServedHub
from homeport.proto.amqp import (
    Condition,
    Delivery,
    Detach,
    Int,
    Link,
    Message,
    Properties,
    Rejected,
    SenderSettleMode,
    Symbol,
    ULong,
    decode_message,
)
from tests.unit.hub.amqp_client import TWIN, HubClient, receiving, refusal, sending, text


async def twin_links(client: HubClient, key: str | None = "twin:1", slashes: str = "") -> tuple[Link, Link]:
    properties = {Symbol("com.microsoft:channel-correlation-id"): key} if key else None
    up = await sending(client, slashes + TWIN, properties=properties)
    down = await receiving(client, slashes + TWIN, properties=properties, snd_settle_mode=SenderSettleMode.SETTLED)
    return up, down


def twin_request(operation: str, resource: str | None = None, body: str = " ", **more: Any) -> Message:
    annotations: dict[Any, Any] = {Symbol("operation"): operation}
    if resource is not None:
        annotations[Symbol("resource")] = resource
    annotations |= {Symbol(name): value for name, value in more.items() if name != "correlation_id"}
    return text(
        body, message_annotations=annotations, properties=Properties(correlation_id=more.get("correlation_id", "c1"))
    )


async def ask_twin(client: HubClient, link: Link, *arguments: Any, **more: Any) -> tuple[int, Message]:
    client.message(link, twin_request(*arguments, **more), settled=True)
    arrived = await client.until(Delivery)
    assert arrived.settled
    answer = decode_message(arrived.data)
    status = (answer.message_annotations or {})["status"]
    assert type(status) is Int
    return int(status), answer


REPORTED, DESIRED = "/properties/reported", "/notifications/twin/properties/desired"


@pytest.mark.parametrize("correlation_id", ["text", UUID(int=3), ULong(4)])
async def test_a_twin_is_read(device: HubClient, correlation_id: Any) -> None:
    up, _ = await twin_links(device)
    status, answer = await ask_twin(device, up, "GET", correlation_id=correlation_id)
    assert status == 200
    assert answer.properties is not None
    assert answer.properties.correlation_id == correlation_id
    assert type(answer.properties.correlation_id) is type(correlation_id)
    assert msgspec.json.decode(answer.data or b"") == {"desired": {"$version": 1}, "reported": {"$version": 1}}


async def test_reports(device: HubClient, hub: ServedHub) -> None:
    up, _ = await twin_links(device)
    status, answer = await ask_twin(device, up, "PATCH", REPORTED, '{"a":1}', version=None)
    assert status == 204
    assert (answer.message_annotations or {})["version"] == 2
    assert type((answer.message_annotations or {})["version"]) is int  # AMQP's long
    status, answer = await ask_twin(device, up, "PATCH", REPORTED, '{"a":2}', version=1)
    assert status == 412
    assert msgspec.json.decode(answer.data or b"")["errorCode"] == 412001
    status, answer = await ask_twin(device, up, "PATCH", REPORTED, "no JSON")
    assert status == 400
    assert (await hub.twins.get("d1")).twin.reported.content == {"a": 1}


async def test_desired_changes_are_followed(device: HubClient, hub: ServedHub) -> None:
    up, down = await twin_links(device)
    assert (await ask_twin(device, up, "PUT", DESIRED))[0] == 200
    await hub.twins.patch("d1", tags=None, desired={"speed": 5}, expected_version=None)
    change = decode_message((await device.until(Delivery)).data)
    assert change.properties is None
    assert change.message_annotations == {"resource": "/properties/desired", "version": 2}
    assert msgspec.json.decode(change.data or b"") == {"speed": 5, "$version": 2}
    assert (await ask_twin(device, up, "DELETE", DESIRED))[0] == 200
    await hub.twins.patch("d1", tags=None, desired={"speed": 6}, expected_version=None)
    assert (await ask_twin(device, up, "GET"))[0] == 200  # and nothing before it
    assert (await ask_twin(device, up, "PUT", DESIRED))[0] == 200
    device.send(Detach(link=down))
    await hub.twins.patch("d1", tags=None, desired={"speed": 7}, expected_version=None)
    device.message(up, twin_request("GET"))
    assert isinstance(await device.outcome(), Rejected)  # nowhere to answer


@pytest.mark.parametrize("request_", [("POST",), ("PATCH", "/tags"), ("PUT",), ("",), ("PATCH", REPORTED, "[1]")])
async def test_operations_that_are_none(device: HubClient, request_: tuple[str, ...]) -> None:
    up, _ = await twin_links(device)
    status, answer = await ask_twin(device, up, *request_)
    assert status == 400
    assert answer.properties == Properties(correlation_id="c1")


async def test_a_new_pair_ends_the_old_one(device: HubClient) -> None:
    old = await twin_links(device)
    new_up = device.sender(f"/{TWIN}", properties={Symbol("com.microsoft:channel-correlation-id"): "twin:2"})
    assert [(await refusal(device)).condition for _ in range(2)] == [Condition.STOLEN] * 2
    assert not any(link.open for link in old)
    await receiving(device, f"/{TWIN}", properties={Symbol("com.microsoft:channel-correlation-id"): "twin:2"})
    assert (await ask_twin(device, new_up, "GET"))[0] == 200


async def test_a_pair_without_a_key(device: HubClient) -> None:
    up, _ = await twin_links(device, key=None)
    assert (await ask_twin(device, up, "GET"))[0] == 200
