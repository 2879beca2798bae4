"""Our own client of hubs, blocking and asynchronous, with a device of Microsoft's at the other end."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from azure.iot.device import MethodResponse
from azure.iot.device.aio import IoTHubDeviceClient
from msgspec.structs import replace

from homeport.client import (
    Acknowledgement,
    BadRequestError,
    BulkDevice,
    BulkTwinProperties,
    CloudToDeviceMessage,
    Configuration,
    ConfigurationContent,
    ConfigurationMetrics,
    ConflictError,
    ImportMode,
    NotFoundError,
    PolicyKey,
    PreconditionFailedError,
    ThrottledError,
)
from tests.conformance.conftest import Service
from tests.conformance.test_homeport_services import client_of

pytestmark = [pytest.mark.conformance, pytest.mark.parametrize("style", ["blocking", "asyncio"])]

SDK = "Python: homeport.client"
SECONDS = 20.0


@pytest.fixture
async def hub(service: Service, style: str) -> AsyncIterator[Any]:
    text = service.hub_connection_string(service.host)
    async with client_of("HubClient", style, service, text) as client:
        yield client


@pytest.fixture
async def device_id(hub: Any, style: str) -> AsyncIterator[str]:
    name = f"own-{style[:2]}-{os.urandom(3).hex()}"
    await hub.create_device(name)
    yield name
    await hub.delete_device(name)


@pytest.fixture
async def device(service: Service, hub: Any, device_id: str) -> AsyncIterator[IoTHubDeviceClient]:
    key = (await hub.get_device(device_id)).authentication.symmetric_key.primary_key
    client = IoTHubDeviceClient.create_from_symmetric_key(
        key, service.host, device_id, server_verification_cert=service.ca
    )
    await client.connect()
    yield client
    await client.shutdown()


async def until(ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
    """Ask until the answer is so, and return it."""
    async with asyncio.timeout(SECONDS):
        while True:
            if holds(found := await ask()):
                return found
            await asyncio.sleep(0.05)


async def ended(hub: Any, job_id: str) -> Any:
    return await until(lambda: hub.get_job(job_id), lambda job: bool(job.has_ended))


@pytest.mark.matrix(sdk=SDK, feature="hub: identities, modules, bulk, keys", transport="https")
async def test_identities(hub: Any, device_id: str) -> None:
    read = await hub.get_device(device_id)
    changed = await hub.replace_device(replace(read, status_reason="on the bench"))
    assert changed.authentication == read.authentication
    assert changed.status_reason == "on the bench"
    with pytest.raises(PreconditionFailedError):
        await hub.replace_device(read)
    with pytest.raises(ConflictError):
        await hub.create_device(device_id)
    assert (await hub.set_device_status(device_id, "disabled", reason="lost")).status == "disabled"

    module = await hub.create_module(device_id, "m")
    assert [each.module_id for each in await hub.modules(device_id)] == ["m"]
    assert (await hub.get_twin(device_id, module_id="m")).module_id == "m"
    told = await hub.regenerate_keys([device_id, "nobody"], key=PolicyKey.PRIMARY, modules=[(device_id, "m")])
    assert [(each.id, each.module_id) for each in told.rotated_keys] == [(device_id, None), (device_id, "m")]
    assert told.rotated_keys[0].primary_key != read.authentication.symmetric_key.primary_key
    assert told.rotated_keys[0].secondary_key == read.authentication.symmetric_key.secondary_key
    assert [each.error_code for each in told.errors] == ["DeviceNotFound"]
    with pytest.raises(PreconditionFailedError):
        await hub.delete_module(device_id, "m", etag=module.etag)
    await hub.delete_module(device_id, "m")

    other = f"{device_id}-2"
    entries = [
        BulkDevice(id=other, import_mode=ImportMode.CREATE, properties=BulkTwinProperties(desired={"rate": 5})),
        BulkDevice(id=device_id, import_mode=ImportMode.CREATE),
    ]
    result = await hub.bulk(entries)
    assert not result.is_successful
    assert [(each.device_id, each.error_code) for each in result.errors] == [(device_id, "DeviceAlreadyExists")]
    assert (await hub.get_twin(other)).properties.desired["rate"] == 5
    assert (await hub.bulk([BulkDevice(id=other, import_mode=ImportMode.DELETE)])).is_successful
    with pytest.raises(BadRequestError):
        await hub.bulk([BulkDevice(id=f"x{number}") for number in range(101)])


@pytest.mark.matrix(sdk=SDK, feature="hub: twins, methods, digital twins, queries", transport="https")
async def test_twins_and_methods(hub: Any, device: IoTHubDeviceClient, device_id: str) -> None:
    async def answer(request: Any) -> None:
        said = MethodResponse.create_from_method_request(request, 207, {"heard": request.payload})
        await device.send_method_response(said)

    device.on_method_request_received = answer
    result = await hub.call_method(device_id, "ring", {"times": 2}, connect_timeout=5)
    assert (result.status, result.payload) == (207, {"heard": {"times": 2}})
    commanded = await hub.call_command(device_id, "ring", 3, connect_timeout=5)
    assert (commanded.status, commanded.payload) == (207, {"heard": 3})

    twin = await hub.update_twin(device_id, tags={"site": "north", "row": 4}, desired={"interval": 30})
    assert twin.tags == {"site": "north", "row": 4}
    again = await hub.update_twin(device_id, tags={"row": None}, etag=twin.etag)
    assert again.tags == {"site": "north"}
    with pytest.raises(PreconditionFailedError):
        await hub.update_twin(device_id, tags={"row": 1}, etag=twin.etag)
    await hub.update_digital_twin(device_id, [{"op": "add", "path": "/target", "value": 20}])
    assert (await hub.get_digital_twin(device_id))["$metadata"]["target"]["desiredValue"] == 20
    replaced = await hub.replace_twin(device_id, tags={}, desired={"interval": 60})
    assert replaced.tags == {}
    assert "target" not in replaced.properties.desired
    rows = hub.query(f"SELECT deviceId, properties.desired.interval FROM devices WHERE deviceId = '{device_id}'")
    assert [row async for row in rows] == [{"deviceId": device_id, "interval": 60}]


@pytest.mark.matrix(sdk=SDK, feature="hub: methods of absent devices", transport="https")
async def test_a_method_of_an_absent_device(hub: Any, device_id: str) -> None:
    with pytest.raises(NotFoundError) as absent:
        await hub.call_method(device_id, "ring")
    assert absent.value.code in {"DeviceNotOnline", 404103}


@pytest.mark.matrix(sdk=SDK, feature="hub: cloud-to-device messages, feedback, purge", transport="amqp-ws")
async def test_messages(hub: Any, device: IoTHubDeviceClient, device_id: str) -> None:
    arrived: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def hear(message: Any) -> None:
        loop.call_soon_threadsafe(arrived.put_nowait, message)

    device.on_message_received = hear
    wanted = CloudToDeviceMessage(
        body=b'{"blink": true}',
        message_id=f"{device_id}-1",
        correlation_id="c-1",
        content_type="application/json",
        acknowledgement=Acknowledgement.FULL,
        properties={"priority": "high"},
    )
    await hub.send_message(device_id, wanted)
    async with asyncio.timeout(SECONDS):
        message = await arrived.get()
        assert (message.data, message.message_id, message.correlation_id) == (wanted.body, wanted.message_id, "c-1")
        assert message.custom_properties["priority"] == "high"
        # Other tests' messages may be told of in the same batch.
        told: list[Any] = []
        while not told:
            batch = await hub.receive_feedback()
            if batch is None:
                await asyncio.sleep(0.05)
                continue
            told = [each for each in batch.records if each.original_message_id == wanted.message_id]
            await hub.complete_feedback(batch)
    assert [(each.device_id, each.status_code) for each in told] == [(device_id, "Success")]


@pytest.mark.matrix(sdk=SDK, feature="hub: full queues and unknown devices told", transport="amqp-ws")
async def test_messages_that_are_refused(hub: Any, device_id: str) -> None:
    for _ in range(3):
        await hub.send_message(device_id, CloudToDeviceMessage(body=b"x"))
    assert await hub.purge_messages(device_id) == 3
    with pytest.raises(NotFoundError):
        await hub.send_message(f"{device_id}-nobody", CloudToDeviceMessage(body=b"x"))
    with pytest.raises(NotFoundError):
        await hub.send_message(device_id, CloudToDeviceMessage(body=b"x"), module_id="nobody")
    with pytest.raises(BadRequestError) as large:
        await hub.send_message(device_id, CloudToDeviceMessage(body=bytes(65 * 1024)))
    assert large.value.status == 413


@pytest.mark.matrix(sdk=SDK, feature="hub: scheduled jobs and their outcomes", transport="https")
async def test_jobs(hub: Any, device: IoTHubDeviceClient, device_id: str) -> None:
    async def answer(request: Any) -> None:
        await device.send_method_response(MethodResponse.create_from_method_request(request, 200, "done"))

    device.on_method_request_received = answer
    condition = f"deviceId = '{device_id}'"
    made = await hub.schedule_twin_update(f"{device_id}-t", condition, tags={"lot": 7}, max_seconds=60)
    assert (made.type, made.max_execution_time_in_seconds) == ("scheduleUpdateTwin", 60)
    with pytest.raises(ConflictError):
        await hub.schedule_twin_update(f"{device_id}-t", condition, tags={"lot": 8})
    done = await ended(hub, f"{device_id}-t")
    assert (done.status, done.device_job_statistics.succeeded_count) == ("completed", 1)
    assert (await hub.get_twin(device_id)).tags == {"lot": 7}

    await hub.schedule_method(f"{device_id}-m", condition, "ring", {"a": 1}, connect_timeout=5, response_timeout=10)
    await ended(hub, f"{device_id}-m")
    (part,) = [each async for each in hub.device_jobs(f"{device_id}-m")]
    assert (part.device_id, part.status) == (device_id, "completed")
    assert (part.outcome.device_method_response.status, part.outcome.device_method_response.payload) == (200, "done")
    assert [each async for each in hub.device_jobs(f"{device_id}-m", status="failed")] == []
    listed = [each.job_id async for each in hub.jobs(page_size=1)]
    assert {f"{device_id}-t", f"{device_id}-m"} <= set(listed)

    later = await hub.schedule_twin_update(
        f"{device_id}-l", condition, tags={"lot": 9}, start_time=done.created_time.replace(year=2999)
    )
    assert later.status in {"queued", "scheduled"}
    assert (await hub.cancel_job(f"{device_id}-l")).status == "cancelled"
    with pytest.raises(NotFoundError):
        await hub.get_job(f"{device_id}-none")
    with pytest.raises(NotFoundError):
        await hub.cancel_job(f"{device_id}-none")


@pytest.mark.matrix(sdk=SDK, feature="hub: configurations and their metrics", transport="https")
async def test_configurations(hub: Any, device_id: str) -> None:
    name = f"cfg-{device_id}"
    await hub.update_twin(device_id, tags={"own": device_id})
    wanted = Configuration(
        id=name,
        content=ConfigurationContent(device_content={"properties.desired.rate": 60}),
        target_condition=f"tags.own = '{device_id}'",
        priority=3,
        labels={"env": "test"},
        metrics=ConfigurationMetrics(
            queries={"set": "SELECT deviceId FROM devices WHERE properties.desired.rate = 60"}
        ),
    )
    made = await hub.create_configuration(wanted)
    with pytest.raises(ConflictError):
        await hub.create_configuration(wanted)
    await until(
        lambda: hub.get_configuration(name), lambda found: bool(found.system_metrics.results.get("appliedCount") == 1)
    )
    twin = await hub.get_twin(device_id)
    assert twin.properties.desired["rate"] == 60
    assert twin.configurations == {name: {"status": "Applied"}}

    changed = await hub.update_configuration(replace(made, priority=5, labels={}))
    assert (changed.priority, changed.labels) == (5, {})
    with pytest.raises(PreconditionFailedError):
        await hub.update_configuration(replace(made, priority=6))
    assert name in [each.id for each in await hub.configurations()]
    wrong = await hub.check_configuration_queries("tags.a =", {"m": "SELECT"})
    assert wrong.target_condition_error
    assert set(wrong.custom_metric_query_errors) == {"m"}
    with pytest.raises(BadRequestError, match="not an Edge device"):
        await hub.apply_configuration_content(device_id, {"m": {"properties.desired": {}}})
    await hub.delete_configuration(name, etag=changed.etag)
    with pytest.raises(NotFoundError):
        await hub.get_configuration(name)


@pytest.mark.matrix(sdk=SDK, feature="hub: a queue takes 50 messages", transport="amqp-ws")
async def test_a_full_queue(hub: Any, device_id: str) -> None:
    message = CloudToDeviceMessage(body=b"x")
    for _ in range(50):
        await hub.send_message(device_id, message)
    with pytest.raises(ThrottledError, match="50 messages"):
        await hub.send_message(device_id, message)
    assert (await hub.get_twin(device_id)).cloud_to_device_message_count == 50
