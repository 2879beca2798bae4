"""Two processes on PostgreSQL and NATS behind a load balancer, Microsoft's SDKs on either side."""

import asyncio
import base64
import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest
from azure.eventhub import TransportType
from azure.eventhub.aio import EventHubConsumerClient
from azure.iot.device import Message, MethodResponse
from azure.iot.device.aio import IoTHubDeviceClient
from azure.iot.device.exceptions import ClientError, OperationCancelled
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod
from msrest.exceptions import HttpOperationError

from tests.fault.actors import MqttDevice, Operator, Place
from tests.fault.balanced import BALANCER, LEFT, RIGHT, Balanced, balanced
from tests.postgres import PrivatePostgres

pytestmark = [pytest.mark.postgres, pytest.mark.conformance]

PATIENCE = 60.0
HUB = BALANCER


@pytest.fixture(scope="module")
def all_servers(tmp_path_factory: pytest.TempPathFactory, postgres: PrivatePostgres) -> Iterator[Balanced]:
    with balanced(tmp_path_factory.mktemp("several"), postgres.new_database()) as servers:
        ca_file = servers.values["HOMEPORT_CA_FILE"]
        with pytest.MonkeyPatch.context() as patch:
            # What Microsoft's service SDK reads, over HTTPS and over AMQP.
            patch.setenv("REQUESTS_CA_BUNDLE", ca_file)
            patch.setattr(certifi, "where", lambda: ca_file)
            yield servers


@pytest.fixture
def servers(all_servers: Balanced) -> Balanced:
    """All of them, alive, whatever the test before has done."""
    all_servers.revive()
    return all_servers


async def until(what: Callable[[], bool]) -> None:
    """Wait until this holds; what it looks at tells nobody when it changes."""
    async with asyncio.timeout(PATIENCE):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


class Services:
    """A service that uses Microsoft's SDK, connected anew for each call: to whichever process the balancer picks."""

    def __init__(self, servers: Balanced) -> None:
        self._balancer = servers.balancer
        self._hub = servers.values["HOMEPORT_HUB_CONNECTION_STRING"]
        self.ca = Path(servers.values["HOMEPORT_CA_FILE"]).read_text()

    async def _with(self, *order: str, call: Any) -> Any:
        if order:
            self._balancer.order = order

        def work() -> Any:
            registry = IoTHubRegistryManager.from_connection_string(self._hub)
            try:
                return call(registry)
            finally:
                registry.amqp_svc_client.disconnect_sync()

        return await asyncio.to_thread(work)

    async def new_device(self, device_id: str) -> str:
        key = base64.b64encode(os.urandom(32)).decode()
        await self._with(call=lambda registry: registry.create_device_with_sas(device_id, key, key, "enabled"))
        return key

    async def call(self, device_id: str, payload: Any, *order: str, response: int = 10, connect: int = 0) -> Any:
        method = CloudToDeviceMethod(
            method_name="say",
            payload=payload,
            response_timeout_in_seconds=response,
            connect_timeout_in_seconds=connect,
        )
        answer = await self._with(*order, call=lambda registry: registry.invoke_device_method(device_id, method))
        return answer.payload

    async def send(self, device_id: str, text: str, *order: str) -> None:
        await self._with(*order, call=lambda registry: registry.send_c2d_message(device_id, text, {}))

    async def desire(self, device_id: str, *order: str, **desired: Any) -> None:
        def update(registry: IoTHubRegistryManager) -> None:
            twin = registry.get_twin(device_id)
            twin.properties.desired = desired
            registry.update_twin(device_id, twin)

        await self._with(*order, call=update)

    async def disable(self, device_id: str, key: str, *order: str) -> None:
        await self._with(
            *order, call=lambda registry: registry.update_device_with_sas(device_id, "*", key, key, "disabled")
        )

    async def state(self, device_id: str, *order: str) -> str:
        return await self._with(*order, call=lambda registry: registry.get_device(device_id).connection_state)


class Device:
    """A device with Microsoft's SDK, and what it has heard; the SDK calls from a thread of its own."""

    def __init__(self, device_id: str, key: str, ca: str) -> None:
        self.device_id = device_id
        self.client = IoTHubDeviceClient.create_from_symmetric_key(
            key,
            HUB,
            device_id,
            server_verification_cert=ca,
            connection_retry_interval=1,
            keep_alive=10,
        )
        self.messages: list[str] = []
        self.desired: list[Any] = []
        self.calls: list[Any] = []

    async def connect(self) -> None:
        await self.client.connect()

        async def message(message: Message) -> None:
            self.messages.append(message.data.decode())

        async def desired(patch: Any) -> None:
            self.desired.append(patch)

        async def method(request: Any) -> None:
            self.calls.append(request.payload)
            await self.client.send_method_response(
                MethodResponse.create_from_method_request(request, 200, {"heard": request.payload})
            )

        self.client.on_message_received = message
        self.client.on_twin_desired_properties_patch_received = desired
        self.client.on_method_request_received = method


@asynccontextmanager
async def device(services: Services, device_id: str, balanced: Balanced, *order: str) -> AsyncIterator[Device]:
    """A new device, connected to the first of these that takes it."""
    key = await services.new_device(device_id)
    balanced.balancer.order = order
    device = Device(device_id, key, services.ca)
    await device.connect()
    try:
        yield device
    finally:
        await device.client.shutdown()


async def until_state(services: Services, device_id: str, wanted: str, *order: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while await services.state(device_id, *order) != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def test_everything_arrives_wherever_the_device_is(servers: Balanced) -> None:
    services = Services(servers)
    for here, there in ((LEFT, RIGHT), (RIGHT, LEFT)):
        name = f"at-{here}"
        async with device(services, name, servers, here, there) as at_home:
            # The handlers subscribe on their own; until then the calls wait.
            assert await services.call(name, {"n": 1}, there, here, connect=20) == {"heard": {"n": 1}}
            assert await services.call(name, {"n": 2}, here, there) == {"heard": {"n": 2}}
            assert at_home.calls == [{"n": 1}, {"n": 2}]
            await until_state(services, name, "Connected", there, here)

            await services.send(name, "hello", there, here)
            await until(lambda: at_home.messages == ["hello"])
            await at_home.client.get_twin()  # the handler of changes is subscribed by now
            for number in range(5):
                await services.desire(name, there, here, interval=number)
            await until(lambda: len(at_home.desired) == 5)
            assert [patch["interval"] for patch in at_home.desired] == list(range(5))
            assert [patch["$version"] for patch in at_home.desired] == [2, 3, 4, 5, 6]
        await until_state(services, name, "Disconnected", there, here)
    absent = "never-there"
    await services.new_device(absent)
    with pytest.raises(HttpOperationError, match="Not Found"):
        await services.call(absent, None)


async def test_a_second_connection_ends_the_first_and_a_disabled_device_is_cut_off(servers: Balanced) -> None:
    services = Services(servers)
    key = await services.new_device("moving")
    async with Operator(servers.right.data) as right, AsyncExitStack() as stack:
        trust = Place.of(right.info).trust()
        here = await stack.enter_async_context(MqttDevice(HUB, "moving", key, trust, address=LEFT))
        for address in (RIGHT, LEFT, RIGHT, LEFT):
            there = await stack.enter_async_context(MqttDevice(HUB, "moving", key, trust, address=address))
            async with asyncio.timeout(PATIENCE):
                await here.ended()
            there.send(b"still here")
            assert await there.acknowledged()
            here = there
            await until_state(services, "moving", "Connected", RIGHT, LEFT)
        await services.disable("moving", key, RIGHT, LEFT)
        async with asyncio.timeout(PATIENCE):
            await here.ended()
    await until_state(services, "moving", "Disconnected", RIGHT, LEFT)


@asynccontextmanager
async def reader(servers: Balanced, *order: str, level: int) -> AsyncIterator[tuple[list[str], list[Exception]]]:
    """Microsoft's consumer of all partitions at this owner level, and the bodies and faults it was given."""
    values = servers.values
    bodies: list[str] = []
    faults: list[Exception] = []
    client = EventHubConsumerClient.from_connection_string(
        values["HOMEPORT_EVENTHUB_CONNECTION_STRING"],
        "$Default",
        connection_verify=values["HOMEPORT_CA_FILE"],
        retry_total=1,
        # Clients that know an address and no name send none with TLS; there a server's own address is what is meant.
        transport_type=TransportType.AmqpOverWebsocket,
    )

    async def event(_: Any, event: Any) -> None:
        bodies.append(event.body_as_str())

    async def fault(_: Any, error: Exception) -> None:
        faults.append(error)

    servers.balancer.order = order
    async with client, asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(
            client.receive(on_event=event, on_error=fault, owner_level=level, starting_position="-1")
        )
        yield bodies, faults
        reading.cancel()


async def test_events_are_read_at_either_process_and_owners_displace_each_other(servers: Balanced) -> None:
    services = Services(servers)
    async with device(services, "telling", servers, RIGHT, LEFT) as telling:
        await telling.client.send_message(Message("early"))
        async with reader(servers, LEFT, RIGHT, level=1) as (bodies, faults):
            await until(lambda: "early" in bodies)
            await telling.client.send_message(Message("live"))
            await until(lambda: "live" in bodies)
            async with reader(servers, RIGHT, LEFT, level=2) as (later, _):
                await until(lambda: {"early", "live"} <= set(later))
                await until(lambda: any("amqp:link:stolen" in str(error) for error in faults))
                async with reader(servers, LEFT, RIGHT, level=1) as (none, refused):
                    await until(lambda: any("amqp:link:stolen" in str(error) for error in refused))
                    assert none == []


async def health(address: str, ca: str) -> dict[str, Any]:
    trust = ssl.create_default_context(cadata=ca)
    async with httpx.AsyncClient(verify=trust) as client:
        answer = await client.get(f"https://{address}/homeport/health")
        assert answer.status_code == 200
        body: dict[str, Any] = answer.json()
        return body


async def until_bus(address: str, ca: str, wanted: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await health(address, ca))["bus"] != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_without_the_bus_for_a_while(servers: Balanced) -> None:
    services = Services(servers)
    async with device(services, "here", servers, LEFT, RIGHT) as here:
        assert await services.call("here", 1, RIGHT, LEFT, connect=20) == {"heard": 1}
        await here.client.get_twin()
        await services.desire("here", RIGHT, LEFT, interval=1)
        await until(lambda: len(here.desired) == 1)
        assert (await health(RIGHT, services.ca))["bus"] == "ok"

        servers.nats.stop()
        await until_bus(RIGHT, services.ca, "cannot be reached")
        with pytest.raises(HttpOperationError, match="Not Found"):
            await services.call("here", 2, RIGHT, LEFT)
        assert await services.call("here", 3, LEFT, RIGHT) == {"heard": 3}, "its own process needs no bus"
        # What is told meanwhile is stored, and comes when the bus does.
        await services.send("here", "late", RIGHT, LEFT)
        await services.desire("here", RIGHT, LEFT, interval=2)

        servers.nats.start()
        await until(lambda: here.messages == ["late"])
        await until(lambda: here.desired[-1] == {"interval": 2, "$version": 3})
        await until_bus(LEFT, services.ca, "ok")
        assert await services.call("here", 4, RIGHT, LEFT, connect=20) == {"heard": 4}
    for server in (servers.left, servers.right):
        log = server.log.read_text()
        assert log.count("cannot be reached (") == 1, log
        assert log.count("connected again") == 1, log


async def test_one_is_killed_under_load(servers: Balanced) -> None:
    services = Services(servers)
    names = [f"device-{number}" for number in range(4)]
    async with AsyncExitStack() as stack:
        devices = [await stack.enter_async_context(device(services, name, servers, LEFT, RIGHT)) for name in names]
        for name in names:
            await services.call(name, "ready", RIGHT, LEFT, connect=20)
        for each in devices:
            await each.client.get_twin()
        stop = asyncio.Event()
        acknowledged: dict[str, list[int]] = {name: [] for name in names}
        sent: dict[str, list[str]] = {name: [] for name in names}
        wanted: dict[str, int] = {}
        outcomes: list[str] = []

        async def talk(each: Device) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    await each.client.send_message(Message(str(number)))
                except (ClientError, OperationCancelled):
                    await asyncio.sleep(0.1)  # not acknowledged; the client connects again on its own
                else:
                    acknowledged[each.device_id].append(number)

        async def serve(name: str) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                # Calls end whatever happens to the processes; what was accepted must come.
                try:
                    await services.call(name, number, response=5)
                    outcomes.append("answered")
                except HttpOperationError as error:
                    outcomes.append(str(error.response.status_code))
                except Exception as error:
                    outcomes.append(type(error).__name__)
                try:
                    await services.send(name, str(number))
                    sent[name].append(str(number))
                    await services.desire(name, number=number)
                    wanted[name] = number
                except Exception as error:
                    outcomes.append(f"not accepted: {type(error).__name__}")

        async with asyncio.timeout(4 * PATIENCE), asyncio.TaskGroup() as tasks:
            talking = [tasks.create_task(talk(each)) for each in devices]
            serving = [tasks.create_task(serve(name)) for name in names]
            await until(lambda: all(acknowledged.values()) and all(sent.values()))
            before = {name: len(numbers) for name, numbers in acknowledged.items()}
            servers.left.kill()
            # All come to the other one.
            await until(lambda: all(len(acknowledged[name]) > before[name] + 5 for name in names))
            await asyncio.to_thread(servers.left.start)
            servers.balancer.order = (LEFT, RIGHT)
            counted = len(outcomes)
            await until(lambda: len(outcomes) >= counted + 2 * len(names))
            stop.set()
            await asyncio.gather(*talking, *serving)

        await until(lambda: all(set(sent[each.device_id]) <= set(each.messages) for each in devices))
        await until(lambda: all(each.desired[-1]["number"] >= wanted[each.device_id] for each in devices))
        for name in names:
            assert await services.call(name, "after", LEFT, RIGHT) == {"heard": "after"}
            await until_state(services, name, "Connected", LEFT, RIGHT)
        async with Operator(servers.right.data) as operator:
            hub = operator.hub("hub1")
            for name in names:
                stored = [int(message.body) for message in await hub.telemetry(name, limit=1000)]
                assert set(acknowledged[name]) <= set(stored), "what was acknowledged is stored"
        assert "answered" in outcomes


async def test_the_devices_of_a_dead_process_are_disconnected(servers: Balanced) -> None:
    services = Services(servers)
    key = await services.new_device("lost")
    async with Operator(servers.right.data) as right:
        trust = Place.of(right.info).trust()
        async with MqttDevice(HUB, "lost", key, trust, address=LEFT):
            await until_state(services, "lost", "Connected", RIGHT, LEFT)
            servers.left.kill()
        await until_state(services, "lost", "Disconnected", RIGHT, LEFT)
        assert "has died; its devices are disconnected" in servers.right.log.read_text()
