"""Telemetry read by Microsoft's Event Hubs clients, unmodified: Python, Node, and as the CLI does it with uamqp."""

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.eventhub import EventHubConsumerClient, TransportType
from azure.eventhub.aio import EventHubConsumerClient as AsyncConsumerClient
from azure.eventhub.aio._eventprocessor.in_memory_checkpoint_store import InMemoryCheckpointStore
from azure.eventhub.exceptions import ConnectionLostError
from azure.iot.device import Message
from azure.iot.hub import IoTHubRegistryManager

from homeport.client.connection_string import parse_connection_string
from homeport.security import sas
from tests.conformance.conftest import Service
from tests.conformance.processes import HERE, at_home, running
from tests.conformance.test_hub_devices import device

pytestmark = pytest.mark.conformance

PATIENCE_SECONDS = 30.0
PYTHON, NODE = "Python: azure-eventhub", "Node: @azure/event-hubs"
transports = pytest.mark.parametrize(
    "transport",
    [
        pytest.param("amqp", marks=pytest.mark.matrix(transport="amqp")),
        pytest.param("amqp-ws", marks=pytest.mark.matrix(transport="amqp-ws")),
    ],
)
libraries = pytest.mark.parametrize("library", ["its own AMQP", "uamqp"])
TYPES = {"amqp": TransportType.Amqp, "amqp-ws": TransportType.AmqpOverWebsocket}


@pytest.fixture
def endpoint(service: Service) -> str:
    return service.values["HOMEPORT_EVENTHUB_CONNECTION_STRING"]


@pytest.fixture
def registry(service: Service) -> IoTHubRegistryManager:
    return IoTHubRegistryManager.from_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])


async def send(client: Any, *bodies: str) -> None:
    """Send as a stock device does; each is acknowledged when this returns."""
    for body in bodies:
        message = Message(json.dumps({"text": body}))
        message.content_type, message.content_encoding, message.message_id = "application/json", "utf-8", body
        message.custom_properties["plant"] = "north & south"
        await client.send_message(message)


def text_of(event: Any) -> str:
    return str(json.loads(event.body_as_str())["text"])


def device_of(event: Any) -> str:
    return str(event.system_properties[b"iothub-connection-device-id"].decode())


class Reader:
    """The stock asynchronous consumer; what it was given, of one device."""

    def __init__(self, client: AsyncConsumerClient, device_id: str | None) -> None:
        self._client = client
        self._device_id = device_id
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.errors: asyncio.Queue[BaseException] = asyncio.Queue()
        self.partitions: set[str] = set()
        """Those that it reads now."""

    async def run(self, **options: Any) -> None:
        await self._client.receive(
            on_event=self._event,
            on_error=self._error,
            on_partition_initialize=self._begin,
            on_partition_close=self._end,
            **options,
        )

    async def _event(self, context: Any, event: Any) -> None:
        if event is not None and self._device_id in {None, device_of(event)}:
            self.events.put_nowait(event)
        del context

    async def _error(self, context: Any, error: BaseException) -> None:
        del context
        self.errors.put_nowait(error)

    async def _begin(self, context: Any) -> None:
        self.partitions.add(context.partition_id)

    async def _end(self, context: Any, reason: Any) -> None:
        del reason
        self.partitions.discard(context.partition_id)

    async def texts(self, number: int) -> list[str]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [text_of(await self.events.get()) for _ in range(number)]


@asynccontextmanager
async def reading(
    service: Service, endpoint: str, device_id: str | None = None, *, transport: str = "amqp", **options: Any
) -> AsyncIterator[Reader]:
    store, group = options.pop("store", None), options.pop("group", "$Default")
    client = AsyncConsumerClient.from_connection_string(
        endpoint,
        group,
        connection_verify=service.values["HOMEPORT_CA_FILE"],
        transport_type=TYPES[transport],
        checkpoint_store=store,
        load_balancing_interval=1,
        retry_total=1,
    )
    reader = Reader(client, device_id)
    async with client, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(reader.run(**options))
        yield reader
        task.cancel()


@transports
@pytest.mark.matrix(sdk=PYTHON, feature="past and live events, all partitions (aio)")
async def test_python_reads_what_devices_send(
    service: Service, endpoint: str, registry: IoTHubRegistryManager, transport: str
) -> None:
    async with device(service, registry, websockets=False) as (device_id, client):
        await send(client, "1", "2")
        options = {"starting_position": "-1", "track_last_enqueued_event_properties": True}
        async with reading(service, endpoint, device_id, transport=transport, **options) as reader:
            async with asyncio.timeout(PATIENCE_SECONDS):
                event = await reader.events.get()
            assert (event.body_as_json(), event.content_type, event.message_id) == (
                {"text": "1"},
                "application/json",
                "1",
            )
            assert event.properties == {b"plant": b"north & south"}
            assert json.loads(event.system_properties[b"iothub-connection-auth-method"])["type"] == "sas"
            assert event.system_properties[b"iothub-message-source"] == b"Telemetry"
            assert abs(event.enqueued_time - datetime.now(UTC)) < timedelta(minutes=1)
            assert event.offset == str(event.sequence_number)
            assert await reader.texts(1) == ["2"]
            await send(client, "3", "4")
            assert await reader.texts(2) == ["3", "4"]
            assert reader.partitions == {"0", "1", "2", "3"}
            assert reader.errors.empty()


@pytest.mark.matrix(sdk=PYTHON, feature="positions: offset, sequence number, time, latest (aio)", transport="amqp")
async def test_python_begins_where_it_says(service: Service, endpoint: str, registry: IoTHubRegistryManager) -> None:
    async with device(service, registry, websockets=False) as (device_id, client):
        await send(client, "1", "2")
        await asyncio.sleep(0.05)
        middle = datetime.now(UTC)
        await asyncio.sleep(0.05)
        await send(client, "3", "4")
        async with reading(service, endpoint, device_id, starting_position="-1") as reader:
            async with asyncio.timeout(PATIENCE_SECONDS):
                first = await reader.events.get()
                second = await reader.events.get()
            assert await reader.texts(2) == ["3", "4"]
        partition = await asyncio.to_thread(partition_of, service, endpoint, second)
        for position, inclusive, expected in (
            (first.offset, False, ["2", "3", "4"]),
            (first.offset, True, ["1", "2", "3", "4"]),
            (second.sequence_number, False, ["3", "4"]),
            (second.sequence_number, True, ["2", "3", "4"]),
            (middle, False, ["3", "4"]),
            (middle, True, ["3", "4"]),
        ):
            async with reading(
                service,
                endpoint,
                device_id,
                partition_id=partition,
                starting_position=position,
                starting_position_inclusive=inclusive,
            ) as reader:
                assert await reader.texts(len(expected)) == expected
        async with reading(service, endpoint, device_id, starting_position="@latest") as reader:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(reader.partitions) < 4:  # noqa: ASYNC110 - the client tells in a callback
                    await asyncio.sleep(0.05)
            await asyncio.sleep(1)  # links are attached behind that callback
            await send(client, "5")
            assert await reader.texts(1) == ["5"]


def partition_of(service: Service, endpoint: str, event: Any) -> str:
    """Find an event's partition by looking at all of them."""
    client = EventHubConsumerClient.from_connection_string(
        endpoint, "$Default", connection_verify=service.values["HOMEPORT_CA_FILE"]
    )
    with client:
        for partition in client.get_partition_ids():
            told = client.get_partition_properties(partition)
            if not told["is_empty"] and told["last_enqueued_time_utc"] >= event.enqueued_time:
                return str(partition)
    raise LookupError("the event is in no partition")


@transports
@libraries
@pytest.mark.filterwarnings("ignore:uAMQP legacy support")
@pytest.mark.matrix(sdk=PYTHON, feature="properties, past and live events in batches (sync, {library})")
async def test_python_without_asyncio(
    service: Service, endpoint: str, registry: IoTHubRegistryManager, transport: str, library: str
) -> None:
    async with device(service, registry, websockets=False) as (device_id, client):
        began = datetime.now(UTC)
        await send(client, *map(str, range(20)))
        found: list[str] = []
        past, all_of_them = threading.Event(), threading.Event()

        def batch(context: Any, events: list[Any]) -> None:
            del context
            found.extend(text_of(event) for event in events if device_of(event) == device_id)
            if len(found) >= 20:
                past.set()
            if len(found) >= 22:
                all_of_them.set()

        consumer = EventHubConsumerClient.from_connection_string(
            endpoint,
            "$Default",
            connection_verify=service.values["HOMEPORT_CA_FILE"],
            transport_type=TYPES[transport],
            uamqp_transport=library == "uamqp",
        )
        assert (await asyncio.to_thread(consumer.get_eventhub_properties))["eventhub_name"] == "hub1"
        assert await asyncio.to_thread(consumer.get_partition_ids) == ["0", "1", "2", "3"]
        told = [await asyncio.to_thread(consumer.get_partition_properties, each) for each in map(str, range(4))]
        # One partition: over WebSocket the client waits for a second at each in turn.
        (partition,) = (each["id"] for each in told if not each["is_empty"] and each["last_enqueued_time_utc"] >= began)
        options: dict[str, Any] = {"partition_id": partition, "starting_position": "-1", "max_batch_size": 7}
        thread = threading.Thread(
            target=lambda: consumer.receive_batch(on_event_batch=batch, max_wait_time=1, **options)
        )
        thread.start()
        try:
            assert await asyncio.to_thread(past.wait, PATIENCE_SECONDS)
            await send(client, "20", "21")
            assert await asyncio.to_thread(all_of_them.wait, PATIENCE_SECONDS)
        finally:
            await asyncio.to_thread(consumer.close)
            await asyncio.to_thread(thread.join, PATIENCE_SECONDS)
        assert not thread.is_alive()
        assert found == [str(number) for number in range(22)]


@pytest.mark.matrix(sdk=PYTHON, feature="a higher owner level takes a partition over (aio)", transport="amqp")
async def test_python_owner_levels(service: Service, endpoint: str, registry: IoTHubRegistryManager) -> None:
    async with (
        device(service, registry, websockets=False) as (device_id, _),
        reading(service, endpoint, device_id, owner_level=1, partition_id="1") as first,
    ):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not first.partitions:  # noqa: ASYNC110 - the client tells in a callback
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        async with reading(service, endpoint, device_id, owner_level=2, partition_id="1"):
            async with asyncio.timeout(PATIENCE_SECONDS):
                error = await first.errors.get()
            assert isinstance(error, ConnectionLostError)
            assert "amqp:link:stolen" in str(error)


@pytest.mark.matrix(sdk=PYTHON, feature="two consumers share the partitions (aio)", transport="amqp")
async def test_python_shares_partitions(service: Service, endpoint: str, registry: IoTHubRegistryManager) -> None:
    store = InMemoryCheckpointStore()
    async with AsyncExitStack() as stack:
        device_id, client = await stack.enter_async_context(device(service, registry, websockets=False))
        options: dict[str, Any] = {"store": store, "starting_position": "-1"}
        readers = [await stack.enter_async_context(reading(service, endpoint, device_id, **options)) for _ in range(2)]
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            while [len(each.partitions) for each in readers] != [2, 2]:  # noqa: ASYNC110 - told in callbacks
                await asyncio.sleep(0.1)
        assert readers[0].partitions | readers[1].partitions == {"0", "1", "2", "3"}
        await send(client, "shared")
        waiting = [asyncio.ensure_future(each.events.get()) for each in readers]
        done, others = await asyncio.wait(waiting, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        assert [text_of(each.result()) for each in done] == ["shared"]
        for each in others:
            each.cancel()


@transports
@pytest.mark.node
@pytest.mark.matrix(sdk=NODE, feature="properties, past and live events, latest, last enqueued")
async def test_node_reads_what_devices_send(
    service: Service, endpoint: str, registry: IoTHubRegistryManager, transport: str
) -> None:
    async with device(service, registry, websockets=False) as (device_id, client):
        await send(client, "1", "2")
        wanted = {
            "connectionString": endpoint,
            "group": "$Default",
            "websocket": transport == "amqp-ws",
            "start": "earliest",
            "metrics": True,
        }
        async with at_home(service.values["HOMEPORT_CA_FILE"], script="events.cjs", **wanted) as node:
            told = await node.expect("eventHub")
            assert (told["name"], told["partitionIds"]) == ("hub1", ["0", "1", "2", "3"])
            partitions = [await node.expect("partition") for _ in range(4)]
            assert [each["partitionId"] for each in partitions] == ["0", "1", "2", "3"]
            assert sum(each["lastEnqueuedSequenceNumber"] + 1 for each in partitions) >= 2
            first = await message(node, device_id)
            assert (first["body"], first["properties"]) == ({"text": "1"}, {"plant": "north & south"})
            assert (first["contentType"], first["messageId"]) == ("application/json", "1")
            assert first["last"]["sequenceNumber"] >= first["sequenceNumber"] + 1
            assert (await message(node, device_id))["body"] == {"text": "2"}
            await send(client, "3")
            third = await message(node, device_id)
            assert third["body"] == {"text": "3"}
            assert third["sequenceNumber"] > first["sequenceNumber"]
            await node.leave()
        wanted |= {"start": {"offset": str(first["offset"])}, "partition": first["partition"]}
        async with at_home(service.values["HOMEPORT_CA_FILE"], script="events.cjs", **wanted) as node:
            assert [(await message(node, device_id))["body"]["text"] for _ in range(2)] == ["2", "3"]
            await node.leave()


async def message(node: Any, device_id: str) -> dict[str, Any]:
    while (told := await node.expect("message"))["system"]["iothub-connection-device-id"] != device_id:
        pass
    assert isinstance(told, dict)
    return told


@pytest.mark.node
@pytest.mark.matrix(sdk=NODE, feature="leaves while events are on their way to it", transport="amqp")
async def test_node_leaves_in_the_midst(service: Service, endpoint: str, registry: IoTHubRegistryManager) -> None:
    """Its AMQP library settles what comes after it has ended the session; a connection that ends then hangs it."""
    times = 20
    wanted = {"connectionString": endpoint, "group": "$Default", "times": times}
    over = asyncio.Event()
    async with device(service, registry, websockets=False) as (_, client), asyncio.TaskGroup() as tasks:

        async def sending() -> None:
            while not over.is_set():
                await asyncio.gather(*(send(client, "on the way") for _ in range(10)))

        tasks.create_task(sending())
        async with at_home(service.values["HOMEPORT_CA_FILE"], script="leaving.cjs", **wanted) as node:
            for _ in range(times):
                assert (await node.expect("left"))["read"] > 0
        over.set()


@pytest.mark.node
@pytest.mark.matrix(sdk=NODE, feature="a higher owner level takes a partition over", transport="amqp")
async def test_node_owner_levels(service: Service, endpoint: str) -> None:
    wanted = {"connectionString": endpoint, "group": "$Default", "start": "latest", "partition": "2"}
    ca_file = service.values["HOMEPORT_CA_FILE"]
    async with (
        at_home(ca_file, script="events.cjs", **wanted, ownerLevel=1) as first,
        at_home(ca_file, script="events.cjs", **wanted, ownerLevel=2) as second,
    ):
        await first.expect("initialized")
        await second.expect("initialized")
        told = await first.expect("error")
        assert told["code"] == "ReceiverDisconnectedError"
        await second.leave()


@pytest.mark.matrix(sdk="AMQP 1.0 libraries", feature="uamqp as the CLI's monitor: redirect, events", transport="amqp")
async def test_the_monitor_of_the_cli(service: Service, registry: IoTHubRegistryManager) -> None:
    owner = parse_connection_string(service.values["HOMEPORT_HUB_CONNECTION_STRING"])
    assert owner.key is not None
    async with device(service, registry, websockets=False) as (device_id, client):
        since = int(datetime.now(UTC).timestamp() * 1000) - 1
        await send(client, "1", "2")
        wanted = {
            "device": device_id,
            "events": 2,
            "since": since,
            "host": service.host,
            "policy": owner.policy,
            "key": sas.encode_key(owner.key),
            "ca": service.values["HOMEPORT_CA_FILE"],
        }
        command = [sys.executable, str(HERE / "amqp" / "uamqp_monitor.py")]
        async with running(command, os.environ, wanted) as monitor:
            told = await monitor.expect("redirected")
            assert told["hostname"] == service.host
            assert told["address"] == f"amqps://{service.host}:5671/hub1/$management"
            assert (await monitor.expect("partitions"))["ids"] == ["0", "1", "2", "3"]
            seen = []
            while (told := await monitor.next())["event"] == "message":
                seen.append((json.loads(told["body"])["text"], told["properties"], told["type"]))
            assert told["event"] == "closed"
            assert seen == [(text, {"plant": "north & south"}, "application/json") for text in ("1", "2")]
