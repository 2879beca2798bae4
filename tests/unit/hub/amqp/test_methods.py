"""Direct methods over AMQP (contract hub.md 16.6)."""

import asyncio
from uuid import UUID

import pytest

from homeport.hub.errors import HubError
from homeport.hub.served_hub import ServedHub
from homeport.proto.amqp import (
    Accepted,
    Delivery,
    Detach,
    Int,
    Link,
    Properties,
    Symbol,
    decode_message,
)
from tests.unit.hub.amqp_client import (
    METHODS,
    HubClient,
    receiving,
    sending,
    text,
)


async def method_links(client: HubClient) -> tuple[Link, Link]:
    properties = {Symbol("com.microsoft:channel-correlation-id"): "d1"}
    return (
        await sending(client, METHODS, properties=properties),
        await receiving(client, METHODS, properties=properties),
    )


async def test_a_method(device: HubClient, hub: ServedHub) -> None:
    up, _ = await method_links(device)
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(hub.methods.call("d1", "reboot", b'{"in":5}', connect_timeout=5, response_timeout=5))
        request = decode_message((await device.until(Delivery)).data)
        assert request.application_properties == {"IoThub-methodname": "reboot"}
        assert request.data == b'{"in":5}'
        assert request.properties is not None
        correlation_id = request.properties.correlation_id
        assert isinstance(correlation_id, UUID)
        for other, status in ((UUID(int=1), Int(1)), (correlation_id, "200"), (None, Int(1))):
            device.message(
                up,
                text(
                    "{}",
                    properties=Properties(correlation_id=other),
                    application_properties={"IoThub-status": status},
                ),
            )
        device.message(
            up,
            text(
                '"done"',
                properties=Properties(correlation_id=correlation_id),
                application_properties={"IoThub-status": Int(201)},
            ),
        )
        outcomes = [await device.outcome() for _ in range(4)]
    assert [isinstance(outcome, Accepted) for outcome in outcomes] == [True, False, False, True]
    assert (call.result().status, call.result().payload) == (201, b'"done"')


async def test_methods_end_with_the_links(device: HubClient, hub: ServedHub) -> None:
    _, down = await method_links(device)
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(_failing(hub, "d1"))
        await device.until(Delivery)
        device.send(Detach(link=down))
    assert call.result() == 404104
    assert await _failing(hub, "d1") == 404103


async def _failing(hub: ServedHub, device_id: str) -> int:
    with pytest.raises(HubError) as raised:
        await hub.methods.call(device_id, "m", b"null", connect_timeout=0, response_timeout=5)
    return raised.value.code.number
