"""Kill -9 under telemetry: a message whose PUBACK came is in the log, whatever the server was doing when it died."""

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path

from homeport.proto.amqp import (
    ACCEPTED,
    Attach,
    Delivery,
    Described,
    Disposition,
    Flow,
    Link,
    LinkRole,
    Source,
    Symbol,
    Target,
    decode_message,
)
from homeport.security import sas
from tests.fault.actors import KeyDevice, MqttDevice, Operator, Place, clock_seconds, network
from tests.server import HomeportServer
from tests.unit.hub.amqp_client import HubClient

HUB = "127.0.61.1"
PARTITIONS = 4
SELECTOR, SEQUENCE = Symbol("apache.org:selector-filter:string"), Symbol("x-opt-sequence-number")
WINDOW = 32
ROUNDS = 4
MOST = 200
"""Acknowledgements in a round; the log is read with one call, which returns 1000 messages at most."""


async def send_until_killed(device: MqttDevice, server: HomeportServer, first: int, after: int) -> set[int]:
    """Send numbers, a window of them on the way, and kill the server under it; return those acknowledged."""
    numbers: dict[int, int] = {}
    acknowledged: set[int] = set()
    following = first
    while True:
        while server.running and device.in_flight < WINDOW:
            numbers[device.send(json.dumps({"n": following}).encode())] = following
            following += 1
        packet_ids = await device.acknowledged()
        if not packet_ids:
            return acknowledged
        acknowledged |= {numbers[packet_id] for packet_id in packet_ids}
        if server.running and len(acknowledged) >= after:
            server.kill()


async def test_every_acknowledged_message_is_in_the_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    chance = random.Random(7)
    key = ""
    acknowledged: set[int] = set()
    for number in range(ROUNDS):
        with HomeportServer(data, (HUB,)) as server:
            async with Operator(data) as operator:
                place = Place.of(operator.info)
                if not key:
                    key = await operator.enroll_key("sender")
                    async with network(place) as http:
                        sender = KeyDevice(registration_id="sender", key=key, place=place, http=http)
                        assert (await sender.register()).outcome == "assigned"
                async with MqttDevice(HUB, "sender", key, place.trust()) as device:
                    assert (await operator.hub("hub1").get_device("sender")).connection_state == "Connected"
                    acknowledged |= await send_until_killed(device, server, 1000 * number, chance.randint(1, MOST))
    with HomeportServer(data, (HUB,)):
        async with Operator(data) as operator:
            hub = operator.hub("hub1")
            stored = [message.body["n"] for message in await hub.telemetry("sender", limit=1000)]
            assert (await hub.get_device("sender")).connection_state == "Disconnected"
    assert len(acknowledged) >= ROUNDS
    assert acknowledged <= set(stored)
    assert len(stored) == len(set(stored)), "nothing was sent twice"
    assert stored == sorted(stored, reverse=True), "newest first, in the order of sending"


class Reader:
    """An Event Hubs client that goes on where it was, whenever the server is there again."""

    def __init__(self, endpoint: str, place: Place) -> None:
        parts = dict(part.split("=", 1) for part in endpoint.split(";"))
        self._event_hub = parts["EntityPath"]
        audience = sas.encode_resource(f"sb://{HUB}/{self._event_hub}")
        key = parts["SharedAccessKey"].encode()
        self._token = sas.sign(audience, key, clock_seconds() + 3600, parts["SharedAccessKeyName"])
        self._place = place
        self.offsets: dict[int, list[int]] = {partition: [] for partition in range(PARTITIONS)}
        self.numbers: list[int] = []

    async def follow(self, until: Callable[[], bool] = lambda: False) -> None:
        """Read all partitions until the connection ends, or there is enough."""
        streams = await asyncio.open_connection(HUB, 5671, ssl=self._place.trust(), server_hostname=HUB)
        client = HubClient(lambda: streams[0].read(65536), streams[1].write)
        try:
            await client.start()
            assert await client.put_token(self._token) == 200
            partitions = {await self._attach(client, partition): partition for partition in self.offsets}
            while not until() and (event := await client.hear()) is not None:
                if isinstance(event, Delivery):
                    message = decode_message(event.data)
                    self.offsets[partitions[event.link]].append((message.message_annotations or {})[SEQUENCE])
                    self.numbers.append(json.loads(message.data or b"")["n"])
                    client.send(Disposition(link=event.link, delivery_id=event.delivery_id, state=ACCEPTED))
        except ConnectionError:
            pass
        finally:
            streams[1].transport.abort()

    async def _attach(self, client: HubClient, partition: int) -> Link:
        last = self.offsets[partition][-1] if self.offsets[partition] else -1
        selector = Described(SELECTOR, f"amqp.annotation.x-opt-sequence-number > '{last}'")
        address = f"{self._event_hub}/ConsumerGroups/$Default/Partitions/{partition}"
        link = client.engine.new_link(client.session, f"partition-{partition}", LinkRole.RECEIVER)
        client.send(
            Attach(link=link, source=Source(address=address, filter={SELECTOR: selector}), target=Target()),
            Flow(link=link, credit=100_000),
        )
        return link


async def test_a_reader_sees_every_acknowledged_message_once_and_in_order(tmp_path: Path) -> None:
    data = tmp_path / "data"
    chance = random.Random(11)
    key = ""
    acknowledged: set[int] = set()
    reader: Reader | None = None
    for number in range(ROUNDS // 2):
        with HomeportServer(data, (HUB,)) as server:
            async with Operator(data) as operator:
                place = Place.of(operator.info)
                if not key:
                    key = await operator.enroll_key("sender")
                    async with network(place) as http:
                        sender = KeyDevice(registration_id="sender", key=key, place=place, http=http)
                        assert (await sender.register()).outcome == "assigned"
                reader = reader or Reader(operator.info.event_hub_connection_strings["hub1"], place)
                async with MqttDevice(HUB, "sender", key, place.trust()) as device, asyncio.TaskGroup() as tasks:
                    tasks.create_task(reader.follow())
                    acknowledged |= await send_until_killed(device, server, 1000 * number, chance.randint(1, MOST))
    assert reader is not None
    following = reader
    with HomeportServer(data, (HUB,)):
        async with Operator(data) as operator:
            stored = await operator.hub("hub1").telemetry_count("sender")
            async with asyncio.timeout(30):
                await following.follow(lambda: len(following.numbers) >= stored)
    assert acknowledged <= set(reader.numbers)
    assert reader.numbers == sorted(set(reader.numbers)), "each once, in the order of sending"
    assert len(reader.numbers) == stored
    for offsets in reader.offsets.values():
        assert offsets == list(range(len(offsets))), "without gaps"
