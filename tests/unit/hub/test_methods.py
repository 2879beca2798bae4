"""Direct methods from a service's request to the device and back (contract hub.md 7, 13.7)."""

import asyncio
from typing import Any

import pytest

from homeport.hub.errors import HubCode, HubError
from homeport.hub.identities import IdentityWrite
from homeport.hub.methods import MAX_AT_ONCE, MethodAnswer, MethodCall, Methods
from homeport.hub.model import DeviceStatus, SasAuthentication
from homeport.hub.served_hub import ServedHub
from homeport.proto.mqtt import Publish
from tests.unit.hub.clients import Device, RestClient, device_token, dialled
from tests.unit.hub.conftest import Line, until

KEYS = SasAuthentication(primary_key=b"1" * 32, secondary_key=b"2" * 32)
CALLS = "$iothub/methods/POST/#"
BODY = {"methodName": "reboot", "payload": {"in": 5}, "responseTimeoutInSeconds": 5}


@pytest.fixture
async def device(hub: ServedHub, mqtt: Line) -> Any:
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    async with dialled(mqtt.port, mqtt.context) as device:
        answer = await device.connect("d1", device_token("d1", b"1" * 32))
        assert answer.return_code == 0
        yield device


async def answer(device: Device, status: int, payload: bytes, *, rid: str | None = None) -> Publish:
    """Take one call and answer it."""
    called: Publish = await device.expect(Publish)
    number = called.topic.partition("?$rid=")[2]
    await device.publish(f"$iothub/methods/res/{status}/?$rid={rid or number}", payload)
    return called


async def test_a_call_and_its_answer(device: Device, rest: RestClient) -> None:
    await device.subscribe(CALLS)
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(rest("POST", "/twins/d1/methods", BODY))
        heard = await answer(device, 207, b'{"text": "\xc3\xa9", "n": 1.0}')
    topic, _, number = heard.topic.partition("?$rid=")
    assert (topic, heard.qos, heard.payload) == ("$iothub/methods/POST/reboot/", 0, b'{"in":5}')
    assert number.isalnum()
    response = call.result()
    assert response.status_code == 200
    # Byte for byte what the device said.
    assert response.content == b'{"status":207,"payload":{"text": "\xc3\xa9", "n": 1.0}}'


@pytest.mark.parametrize(("payload", "told"), [(b"", b"null"), (b"  ", b"null"), (b'"x"', b'"x"'), (b"[]", b"[]")])
async def test_any_json_is_an_answer(device: Device, rest: RestClient, payload: bytes, told: bytes) -> None:
    await device.subscribe(CALLS)
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(rest("POST", "/twins/d1/methods", {"methodName": "m", "payload": None}))
        heard = await answer(device, 200, payload)
    assert heard.payload == b"null"
    assert call.result().content == b'{"status":200,"payload":' + told + b"}"


async def test_an_answer_that_is_no_json(device: Device, rest: RestClient) -> None:
    await device.subscribe(CALLS)
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(rest("POST", "/twins/d1/methods", BODY))
        await answer(device, 200, b"{nothing")
    assert (call.result().status_code, call.result().headers["iothub-errorcode"]) == (502, "GenericBadGateway")


async def test_answers_that_nobody_waits_for_are_dropped(device: Device, rest: RestClient) -> None:
    await device.publish("$iothub/methods/res/200/?$rid=1", b"1")
    await device.subscribe(CALLS)
    for odd in ("200/?$rid=ffff", "abc/?$rid=1", "200/", "9999999999/?$rid=1"):
        await device.publish(f"$iothub/methods/res/{odd}", b"1")
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(rest("POST", "/twins/d1/methods", BODY))
        await answer(device, -5, b"2")
    assert call.result().json() == {"status": -5, "payload": 2}


@pytest.mark.parametrize("subscribed", [False, True])
async def test_nobody_there(device: Device, rest: RestClient, *, subscribed: bool) -> None:
    if subscribed:
        await device.subscribe(CALLS)
        await device.leave()
    refused = await rest("POST", "/twins/d1/methods", BODY)
    assert (refused.status_code, refused.headers["iothub-errorcode"]) == (404, "DeviceNotOnline")


async def test_a_device_may_come_while_it_is_waited_for(device: Device, rest: RestClient) -> None:
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(rest("POST", "/twins/d1/methods", {**BODY, "connectTimeoutInSeconds": 30}))
        await asyncio.sleep(0.05)
        await device.subscribe(CALLS)
        await answer(device, 200, b"1")
    assert call.result().status_code == 200


async def test_a_device_that_goes_away_ends_the_call(device: Device, rest: RestClient) -> None:
    await device.subscribe(CALLS)
    async with asyncio.TaskGroup() as tasks:
        call = tasks.create_task(rest("POST", "/twins/d1/methods", BODY))
        await device.expect(Publish)
        await device.leave()
    refused = call.result()
    assert (refused.status_code, refused.headers["iothub-errorcode"]) == (404, "DeviceConnectionClosedRemotely")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"methodName": ""}, 400),
        ({"methodName": "a/b"}, 400),
        ({"methodName": "a#"}, 400),
        ({"methodName": "x" * 101}, 400),
        ({"responseTimeoutInSeconds": 4}, 400),
        ({"responseTimeoutInSeconds": 301}, 400),
        ({"connectTimeoutInSeconds": -1}, 400),
        ({"responseTimeoutInSeconds": "5"}, 400),
        ({"payload": "x" * 128 * 1024}, 413),
        ({"methodName": None}, 400),
    ],
)
async def test_bad_calls(device: Device, rest: RestClient, change: dict[str, Any], status: int) -> None:
    await device.subscribe(CALLS)
    assert (await rest("POST", "/twins/d1/methods", {**BODY, **change})).status_code == status


async def test_who_cannot_be_called(hub: ServedHub, rest: RestClient) -> None:
    assert (await rest("POST", "/twins/nobody/methods", BODY)).headers["iothub-errorcode"] == "DeviceNotFound"
    await hub.registry.create(IdentityWrite(device_id="off", authentication=KEYS, status=DeviceStatus.DISABLED))
    assert (await rest("POST", "/twins/off/methods", BODY)).status_code == 404
    assert (await rest("POST", "/twins/off/methods", BODY, policy="registryRead")).status_code == 401
    assert (await rest("GET", "/twins/off/methods")).status_code == 405


# ---------------------------------------------------------------- without a wire


async def test_only_so_many_at_once() -> None:
    methods, heard = Methods(), list[MethodCall]()
    listener = methods.listen("d", heard.append)

    async def call() -> MethodAnswer:
        return await methods.call("d", "m", b"", connect_timeout=0, response_timeout=5)

    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(call()) for _ in range(MAX_AT_ONCE)]
        await until(lambda: len(heard) == MAX_AT_ONCE)
        with pytest.raises(HubError) as refused:
            await call()
        assert refused.value.code is HubCode.METHOD_QUOTA_EXCEEDED
        assert len({each.request_id for each in heard}) == MAX_AT_ONCE
        for place, each in enumerate(heard):
            listener.answer(each.request_id, MethodAnswer(status=place, payload=b""))
    assert [each.result().status for each in calls] == list(range(MAX_AT_ONCE))
    assert not listener.pending


async def test_no_answer_in_time_and_nothing_is_left_behind() -> None:
    methods = Methods()
    listener = methods.listen("d", lambda _: None)
    with pytest.raises(HubError) as late:
        await methods.call("d", "m", b"", connect_timeout=0, response_timeout=0.01)
    assert late.value.code is HubCode.GATEWAY_TIMEOUT
    with pytest.raises(HubError) as absent:
        await methods.call("e", "m", b"", connect_timeout=0.01, response_timeout=1)
    assert absent.value.code is HubCode.DEVICE_NOT_ONLINE
    assert not listener.pending
    assert not methods._awaited


async def test_a_new_connection_takes_over() -> None:
    methods, first, second = Methods(), list[MethodCall](), list[MethodCall]()
    older = methods.listen("d", first.append)
    # Not in a task group: there the first failure would end the test.
    call = asyncio.get_running_loop().create_task(methods.call("d", "m", b"", connect_timeout=0, response_timeout=5))
    await until(lambda: bool(first))
    newer = methods.listen("d", second.append)
    with pytest.raises(HubError) as ended:
        await call
    assert ended.value.code is HubCode.DEVICE_CONNECTION_CLOSED
    methods.forget("d", older)
    async with asyncio.TaskGroup() as tasks:
        again = tasks.create_task(methods.call("d", "m", b"", connect_timeout=0, response_timeout=5))
        await until(lambda: bool(second))
        newer.answer(second[0].request_id, MethodAnswer(status=1, payload=b""))
    assert again.result().status == 1
