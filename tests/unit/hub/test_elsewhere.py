"""What one process does about devices that are connected to another, hints in order, out of order, and lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest

from homeport.bus import DesiredChanged, HintsLost, LocalBus, MessageQueued, NodesChanged, SessionOpened
from homeport.hub.desired import OVERTAKEN_SECONDS
from homeport.hub.errors import HubCode, HubError
from homeport.hub.event_streams import Receiver
from homeport.hub.identities import IdentityWrite
from homeport.hub.methods import MethodAnswer, MethodCall, MethodListener
from homeport.hub.model import Acknowledgement, CloudMessage, ConnectionState, JsonObject
from homeport.hub.nodes import BEAT_SECONDS, LEASE, Nodes
from homeport.hub.served_hub import ServedHub
from homeport.hub.sessions import STATE_DELAY
from homeport.hub.sessions_elsewhere import LOOK_DELAY
from homeport.hub.twin_patch import patch_twin
from homeport.peers import Answering, Knowing, PeerGoneError
from homeport.store import Stores
from tests.unit.hub.conftest import HOST, NAME, MakeHubs, ManualClock, running, settle, until
from tests.unit.hub.test_sessions import ACCEPTED, KEYS, Line


@dataclass(eq=False)
class Neighbour:
    """Peers within one process."""

    node: str
    all: dict[str, "Neighbour"]
    served: dict[str, tuple[Knowing, Answering]] = field(default_factory=dict)
    gone: bool = False

    def serve(self, topic: str, *, knows: Knowing, answers: Answering) -> None:
        self.served[topic] = (knows, answers)

    async def find(self, topic: str, key: str) -> str | None:
        for node, other in self.all.items():
            if other is not self and topic in other.served and other.served[topic][0](key):
                return node
        return None

    async def ask(self, node: str, topic: str, question: bytes, *, seconds: float) -> bytes:
        if self.all[node].gone:
            raise PeerGoneError(node)
        async with asyncio.timeout(seconds):
            return await self.all[node].served[topic][1](question)


@dataclass(frozen=True)
class Two:
    """Two processes' parts of one hub; what one publishes both hear."""

    left: ServedHub
    right: ServedHub
    peers: dict[str, Neighbour]


@pytest.fixture
async def two(make_hubs: MakeHubs, stores: Stores, clock: ManualClock) -> AsyncIterator[Two]:
    peers: dict[str, Neighbour] = {}
    for name in ("left", "right"):
        peers[name] = Neighbour(name, peers)
        await stores.nodes.beat(name, now=clock.now(), until=clock.now() + timedelta(days=1))
    left = await make_hubs(peers=peers["left"]).create(NAME, [HOST])
    others = make_hubs(peers=peers["right"])
    await others.load(alone=False)
    right = others.get(NAME)
    assert right is not None
    await left.registry.create(IdentityWrite(device_id="d", authentication=KEYS))
    async with AsyncExitStack() as stack:
        for each in (left, right):
            await stack.enter_async_context(running(each))
        await settle()
        yield Two(left, right, peers)


# ---------------------------------------------------------------- sessions


async def connected(hub: ServedHub) -> Line:
    identity = await hub.registry.get("d")
    line = Line()
    session = await hub.sessions.open(identity, ACCEPTED, line.end)

    def end() -> None:
        line.ends += 1

    session.end = end
    return line


async def ended(line: Line) -> None:
    await until(lambda: line.ends == 1)


async def written(clock: ManualClock) -> None:
    await settle()
    clock.pass_seconds(STATE_DELAY)
    await settle()


async def test_a_newer_connection_elsewhere_displaces(two: Two, clock: ManualClock) -> None:
    first = await connected(two.left)
    await written(clock)
    for here, there in ((two.right, two.left), (two.left, two.right)):
        clock.pass_seconds(0.01)
        second = await connected(here)
        await ended(first)
        session = there.sessions.current("d")
        assert session is not None
        assert session.displaced
        await there.sessions.leave(session)
        await written(clock)
        assert (await two.right.registry.get("d")).connection_state is ConnectionState.CONNECTED
        assert await two.right.sessions_elsewhere.count() == 1
        first = second
    assert first.ends == 0


async def test_what_no_hint_told_the_row_does(two: Two, clock: ManualClock, stores: Stores) -> None:
    line = await connected(two.left)
    await written(clock)
    later = clock.now() + timedelta(seconds=1)
    await stores.devices(NAME).touch(states={"d": ConnectionState.CONNECTED}, activity={}, now=later, node="right")
    clock.pass_seconds(LOOK_DELAY)
    await until(lambda: line.ends == 1)


async def test_an_older_hint_does_not_end_a_connection_that_is_just_open(
    two: Two, clock: ManualClock, bus: LocalBus
) -> None:
    line = await connected(two.left)
    earlier = clock.now() - timedelta(seconds=0.01)
    await bus.publish(SessionOpened(hub=NAME, device_id="d", node="right", at=earlier))
    await bus.publish(SessionOpened(hub="other", device_id="d", node="right", at=clock.now()))
    await settle()
    assert line.ends == 0
    await written(clock)
    # Later it can only be a clock that is behind.
    await bus.publish(SessionOpened(hub=NAME, device_id="d", node="right", at=earlier))
    await until(lambda: line.ends == 1)


async def test_changes_that_were_not_heard_of_are_looked_up(
    two: Two, clock: ManualClock, bus: LocalBus, stores: Stores
) -> None:
    line = await connected(two.left)
    await written(clock)
    await stores.devices(NAME).delete("d", expected_etag=None)
    await bus.publish(HintsLost(since=clock.now()))
    await until(lambda: line.ends == 1)


async def test_who_was_taken_for_dead_writes_again(two: Two, clock: ManualClock, bus: LocalBus, stores: Stores) -> None:
    await connected(two.left)
    await written(clock)
    await stores.nodes.leave("left")
    await bus.publish(HintsLost(since=clock.now()))
    devices = stores.devices(NAME)

    async def state() -> ConnectionState:
        found = await devices.get_identity("d")
        assert found is not None
        return found.connection_state

    async with asyncio.timeout(20):
        while await state() is not ConnectionState.DISCONNECTED:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    nodes = Nodes(node="left", store=stores.nodes, bus=bus, clock=clock)
    async with asyncio.TaskGroup() as tasks, bus.subscribe(NodesChanged) as changes:
        beating = tasks.create_task(nodes.run())
        await settle()
        await bus.publish(NodesChanged(node="right"))  # somebody new: a beat at once
        async with asyncio.timeout(20):
            while await anext(changes) != NodesChanged(node="left"):
                pass
        beating.cancel()
    await written(clock)
    assert await state() is ConnectionState.CONNECTED


async def test_the_oldest_does_what_one_should_and_a_dead_one_is_noticed(
    stores: Stores, clock: ManualClock, bus: LocalBus
) -> None:
    first, second = (Nodes(node=name, store=stores.nodes, bus=bus, clock=clock) for name in ("1", "2"))
    for node in (first, second):
        await node.start()
    assert (second.is_first, second.others) == (False, frozenset({"1"}))
    began = clock.now()
    clock.pass_seconds(LEASE.total_seconds() + BEAT_SECONDS)
    async with asyncio.TaskGroup() as tasks, bus.subscribe(HintsLost) as losses:
        beating = tasks.create_task(second.run())
        await settle()
        await bus.publish(NodesChanged(node="3"))
        async with asyncio.timeout(20):
            assert await anext(losses) == HintsLost(since=began)
        beating.cancel()
    assert (second.is_first, second.others) == (True, frozenset())


# ---------------------------------------------------------------- desired properties


@pytest.fixture
def told(two: Two) -> list[tuple[JsonObject, int]]:
    """What a device at the left is told of its desired properties."""
    told: list[tuple[JsonObject, int]] = []
    two.left.twins.listen("d", lambda change, version: told.append((change, version)))
    return told


async def test_a_change_made_elsewhere_arrives(two: Two, told: list[tuple[JsonObject, int]]) -> None:
    await two.right.twins.patch("d", tags=None, desired={"a": 1, "b": None}, expected_version=None)
    await two.left.twins.patch("d", tags={"x": 1}, desired=None, expected_version=None)
    await two.left.twins.replace("d", tags=None, desired={"c": 2}, expected_version=None)
    await two.right.twins.patch("d", tags=None, desired={"c": 3}, expected_version=None)
    await until(lambda: len(told) == 3)
    assert told == [({"a": 1, "b": None}, 2), ({"c": 2}, 3), ({"c": 3}, 4)]


async def test_changes_that_overtake_each_other_are_put_in_order(
    two: Two, told: list[tuple[JsonObject, int]], bus: LocalBus
) -> None:
    del two
    for version in (2, 5, 4, 4, 3, 2, 6):
        await bus.publish(DesiredChanged(hub=NAME, device_id="d", version=version, change={"v": version}))
    await until(lambda: len(told) == 5)
    assert told == [({"v": version}, version) for version in range(2, 7)]


async def test_a_change_that_never_comes_is_made_up_for(
    two: Two, told: list[tuple[JsonObject, int]], bus: LocalBus, clock: ManualClock, stores: Stores
) -> None:
    await two.right.twins.patch("d", tags=None, desired={"a": 1}, expected_version=None)
    await until(lambda: len(told) == 1)
    for version in (3, 4):
        await _store_quietly(stores, clock, {"a": version})
    # Only the second of their hints comes.
    await bus.publish(DesiredChanged(hub=NAME, device_id="d", version=4, change={"a": 4}))
    await settle()
    clock.pass_seconds(OVERTAKEN_SECONDS)
    await until(lambda: len(told) == 2)
    assert told[1] == ({"a": 4}, 4)


async def _store_quietly(stores: Stores, clock: ManualClock, desired: JsonObject) -> None:
    """Do what a process does that dies before it tells."""
    devices = stores.devices(NAME)
    device = await devices.get("d")
    assert device is not None
    changed = patch_twin(device.twin, clock.now(), tags=None, desired=desired)
    await devices.replace_twin(changed, expected_version=device.twin.version)


async def test_after_a_loss_only_what_was_missed_is_told(
    two: Two, told: list[tuple[JsonObject, int]], bus: LocalBus, clock: ManualClock, stores: Stores
) -> None:
    clock.pass_seconds(100)
    await bus.publish(HintsLost(since=clock.now()))
    await settle()
    assert told == [], "nothing has changed since"
    await _store_quietly(stores, clock, {"a": 1})
    await bus.publish(HintsLost(since=clock.now()))
    await until(lambda: told == [({"a": 1}, 2)])
    await bus.publish(HintsLost(since=clock.now()))
    await settle()
    assert len(told) == 1, "it knows that version"


# ---------------------------------------------------------------- methods, messages, owners


class AtHome:
    """A device that takes calls at one process."""

    def __init__(self, hub: ServedHub) -> None:
        self.heard: list[MethodCall] = []
        self.listener: MethodListener = hub.methods.listen("d", self.heard.append)

    def answer(self, status: int = 200) -> None:
        self.listener.answer(self.heard[-1].request_id, MethodAnswer(status=status, payload=b"[1]"))


async def call(hub: ServedHub, *, connect: float = 0, response: float = 10) -> MethodAnswer | HubCode:
    try:
        return await hub.calls.call("d", "m", b"{}", connect_timeout=connect, response_timeout=response)
    except HubError as error:
        return error.code


async def test_a_method_is_called_wherever_the_device_is(two: Two) -> None:
    at_home = AtHome(two.left)
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(call(two.right))
        await until(lambda: len(at_home.heard) == 1)
        assert (at_home.heard[0].name, at_home.heard[0].payload) == ("m", b"{}")
        at_home.answer(201)
    assert calling.result() == MethodAnswer(status=201, payload=b"[1]")


async def test_a_method_waits_for_a_device_that_comes_anywhere(two: Two) -> None:
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(call(two.right, connect=20))
        await asyncio.sleep(0.05)
        at_home = AtHome(two.left)
        await until(lambda: len(at_home.heard) == 1)
        at_home.answer()
    assert calling.result() == MethodAnswer(status=200, payload=b"[1]")


async def test_why_there_is_no_answer(two: Two) -> None:
    assert await call(two.right) is HubCode.DEVICE_NOT_ONLINE
    assert await call(two.right, connect=0.05) is HubCode.DEVICE_NOT_ONLINE
    at_home = AtHome(two.left)
    assert await call(two.right, response=0.05) is HubCode.GATEWAY_TIMEOUT
    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(call(two.right))
        await until(lambda: len(at_home.heard) == 2)
        two.left.methods.forget("d", at_home.listener)
    assert calling.result() is HubCode.DEVICE_CONNECTION_CLOSED
    AtHome(two.left)
    two.peers["left"].gone = True
    assert await call(two.right) is HubCode.DEVICE_CONNECTION_CLOSED


async def test_questions_that_cannot_be_read_are_answered(two: Two) -> None:
    answer = await two.peers["right"].ask("left", f"methods-{NAME}", b"\xff\x00", seconds=5)
    assert b"ServerError" in answer


async def test_messages_that_nobody_told_of_are_found(two: Two, bus: LocalBus, clock: ManualClock) -> None:
    woken: list[str] = []
    for target in ("d", "e"):
        two.left.messages.listen(target, partial(woken.append, target))
    message = CloudMessage(
        body=b"x",
        system={},
        properties={},
        acknowledgement=Acknowledgement.NONE,
        enqueued_at=clock.now(),
        expires_at=clock.now() + timedelta(hours=1),
    )
    await two.right.messages.send("d", message)
    await until(lambda: woken == ["d"])
    await bus.publish(HintsLost(since=clock.now()))
    await until(lambda: woken == ["d", "d"])
    await bus.publish(MessageQueued(hub="other", target="e"))
    await settle()
    assert woken == ["d", "d"]


async def test_owners_of_a_partition_displace_each_other(two: Two) -> None:
    displaced: list[tuple[str, int]] = []

    def reader(name: str, epoch: int | None) -> Receiver:
        return Receiver(epoch, lambda by: displaced.append((name, by)))

    async def attach(hub: ServedHub, name: str, epoch: int | None) -> int | None:
        streams = hub.streams
        place = "events", "$Default", 1
        stolen = await streams.owners.outranked(*place, epoch)
        if stolen is not None:
            return stolen.epoch
        assert streams.receivers.admit(*place, reader(name, epoch)) is None
        await streams.owners.announce(*place, epoch)
        await settle()
        return None

    assert await attach(two.left, "plain", None) is None
    assert await attach(two.right, "zero", 0) is None
    assert displaced == [("plain", 0)]
    assert await attach(two.left, "none", None) == 0
    assert await attach(two.left, "five", 5) is None
    assert displaced[1:] == [("zero", 5)]
    assert await attach(two.right, "lower", 4) == 5
    assert await attach(two.right, "same", 5) is None
    assert displaced[2:] == [("five", 5)]
