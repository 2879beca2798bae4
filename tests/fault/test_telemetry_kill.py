"""Kill -9 under telemetry: a message whose PUBACK came is in the log, whatever the server was doing when it died."""

import json
import random
from pathlib import Path

from tests.fault.actors import KeyDevice, MqttDevice, Operator, Place, network
from tests.server import HomeportServer

HUB = "127.0.61.1"
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
