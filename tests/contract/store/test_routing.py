"""A hub's routing, the deliveries to its endpoints, and what is told of a change with the change itself."""

from datetime import timedelta

import pytest

from homeport.dps.model import Wanted
from homeport.hub.errors import HubError
from homeport.hub.model import (
    BUILT_IN,
    ConnectionState,
    Device,
    Enrichment,
    EventStream,
    EventStreamEndpoint,
    MessageSource,
    Outgoing,
    Route,
    Routing,
    StorageEndpoint,
    WebhookEndpoint,
)
from homeport.hub.routing.ports import RoutingChange, Setting, Standing
from homeport.security.callers import SYSTEM
from homeport.store import Stores
from homeport.store.routing import KEPT_FOR_DELIVERY, SqlDeliveryStore
from homeport.values import replace
from tests.contract.store.samples import NOW, device, telemetry

HOOK = WebhookEndpoint(name="Hook", url="https://example.com/x?key=1", secret="whsec_secret", partitions=2)
FILES = StorageEndpoint(name="files", connection_string="AccountKey=hidden", container="c")
STREAM = EventStreamEndpoint(name="alarms", partitions=3)
ROUTE = Route(name="hot", source=MessageSource.DEVICE_MESSAGES, condition="level = '3'", endpoints=("alarms", BUILT_IN))
ENRICHMENT = Enrichment(key="site", value="$twin.tags.site", endpoints=(BUILT_IN,))
LEASE = timedelta(seconds=30)


async def put(stores: Stores, routing: Routing, after: Setting | None = None, before: Setting | None = None) -> Routing:
    def decide(_: Routing) -> RoutingChange:
        return RoutingChange(routing=routing, collection="routes", name="x", before=before, after=after)

    return await stores.routing("Hub").change(decide, now=NOW, by=SYSTEM)


async def test_routing_is_kept_and_seen_by_others(pair: tuple[Stores, Stores]) -> None:
    one, other = pair
    seen = other.routing("hub")
    assert await seen.get() == Routing()
    wanted = Routing(routes=(ROUTE,), enrichments=(ENRICHMENT,), endpoints=(STREAM, FILES, HOOK), fallback=False)
    assert await put(one, wanted) == wanted
    assert await seen.get() == wanted
    assert await one.routing("another").get() == Routing()
    assert await put(one, replace(wanted, routes=(), endpoints=(FILES,))) == await seen.get()


async def test_what_is_decided_on_is_what_is_stored(stores: Stores) -> None:
    await put(stores, Routing(routes=(ROUTE,)))
    found: list[Routing] = []

    def decide(routing: Routing) -> RoutingChange:
        found.append(routing)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await stores.routing("hub").change(decide, now=NOW, by=SYSTEM)
    assert found[-1] == Routing(routes=(ROUTE,)) == await stores.routing("hub").get()


async def test_a_change_is_told_without_secrets(stores: Stores) -> None:
    await put(stores, Routing(endpoints=(HOOK,)), after=HOOK)
    other = replace(HOOK, secret="whsec_other")
    await put(stores, Routing(endpoints=(other,)), before=HOOK, after=other)
    page = await stores.journal.page(Wanted(), after=None, limit=10)
    entries = [each.document for each in page.items]
    assert [(each["kind"], each["subject"]) for each in entries] == [("hubRouting.updated", "hubs/Hub/routes/x")] * 2
    assert "whsec" not in str(entries)
    assert "key=1" not in str(entries)
    assert entries[0]["data"]["changes"] == {"secret": {"secret": True}}


async def test_streams_come_and_go_with_their_endpoints(stores: Stores) -> None:
    await put(stores, Routing(endpoints=(STREAM, HOOK)))
    streams = {stream.name: stream for stream in await stores.event_streams("hub").all()}
    assert {name: stream.partitions for name, stream in streams.items()} == {"alarms": 3, "Hook": 2}
    assert streams["Hook"].retention == KEPT_FOR_DELIVERY
    await stores.events("hub", stream="hook", partitions=2).append(telemetry("dev"))
    await put(stores, Routing(endpoints=(STREAM,)))
    assert [stream.name for stream in await stores.event_streams("hub").all()] == ["alarms"]
    await put(stores, Routing(endpoints=(STREAM, HOOK)))
    assert await stores.events("hub", stream="hook", partitions=2).count("dev") == 0


async def test_a_stream_that_somebody_makes_is_an_endpoint(pair: tuple[Stores, Stores]) -> None:
    one, other = pair
    assert (await other.routing("hub").get()).endpoints == ()
    await one.event_streams("hub").create(EventStream(name="alarms", partitions=3, created_at=NOW))
    assert (await other.routing("hub").get()).endpoints == (STREAM,)
    await one.event_streams("hub").save(EventStream(name=BUILT_IN, partitions=9, created_at=NOW))
    assert (await other.routing("hub").get()).built_in_partitions == 9
    await one.event_streams("hub").remove("alarms")
    assert (await other.routing("hub").get()).endpoints == ()


# ---------------------------------------------------------------- deliveries


@pytest.fixture
async def deliveries(stores: Stores) -> SqlDeliveryStore:
    await put(stores, Routing(endpoints=(HOOK,)))
    return stores.deliveries("hub")


async def test_one_works_for_an_endpoint_at_a_time(deliveries: SqlDeliveryStore) -> None:
    assert await deliveries.claim("HOOK", owner="one", now=NOW, until=NOW + LEASE) == Standing(positions={})
    assert await deliveries.claim("hook", owner="two", now=NOW, until=NOW + LEASE) is None
    standing = Standing(positions={0: 7, 1: 2}, last_success_at=NOW, last_failure_at=NOW, last_failure="503")
    assert await deliveries.advance("hook", standing, owner="one", until=NOW + LEASE)
    assert await deliveries.standing("hook") == standing
    assert await deliveries.claim("hook", owner="two", now=NOW + LEASE, until=NOW + 2 * LEASE) == standing
    assert not await deliveries.advance("hook", Standing(positions={}), owner="one", until=NOW + LEASE)
    assert await deliveries.standing("hook") == standing


async def test_a_lease_is_given_back(deliveries: SqlDeliveryStore) -> None:
    for give_back in (deliveries.release("hook", owner="one"), deliveries.release_all()):
        assert await deliveries.claim("hook", owner="one", now=NOW, until=NOW + LEASE) is not None
        await deliveries.release("hook", owner="other")
        assert await deliveries.claim("hook", owner="two", now=NOW, until=NOW + LEASE) is None
        await give_back


async def test_what_was_noted_before_stays(deliveries: SqlDeliveryStore) -> None:
    await deliveries.claim("hook", owner="one", now=NOW, until=NOW + LEASE)
    noted = Standing(positions={0: 1}, last_success_at=NOW, last_failure_at=NOW, last_failure="x" * 1000)
    await deliveries.advance("hook", noted, owner="one", until=NOW + LEASE)
    await deliveries.advance("hook", Standing(positions={0: 2}), owner="one", until=NOW + LEASE)
    assert await deliveries.standing("hook") == replace(noted, positions={0: 2}, last_failure="x" * 500)


async def test_an_endpoint_that_is_gone_is_nobodys(stores: Stores, deliveries: SqlDeliveryStore) -> None:
    await deliveries.claim("hook", owner="one", now=NOW, until=NOW + LEASE)
    await put(stores, Routing())
    assert not await deliveries.advance("hook", Standing(positions={0: 1}), owner="one", until=NOW + LEASE)
    assert await deliveries.claim("hook", owner="one", now=NOW, until=NOW + LEASE) is None
    await put(stores, Routing(endpoints=(HOOK,)))
    assert not await deliveries.advance("hook", Standing(positions={0: 1}), owner="one", until=NOW + LEASE)
    assert await deliveries.claim("hook", owner="two", now=NOW, until=NOW + LEASE) == Standing(positions={})


# ---------------------------------------------------------------- what is told with a change


def outgoing(text: bytes, endpoint: str = "alarms", partitions: int = 3) -> Outgoing:
    return Outgoing(endpoint=endpoint, partitions=partitions, message=telemetry("dev", text))


async def told(stores: Stores, endpoint: str = "alarms", partitions: int = 3) -> list[bytes]:
    log = stores.events("hub", stream=endpoint, partitions=partitions)
    return [each.telemetry.body for each in reversed(await log.latest(device_id="dev", limit=100))]


async def test_what_is_told_comes_with_the_change_or_not_at_all(stores: Stores) -> None:
    devices = stores.devices("hub")
    (stored,) = await devices.create(device("dev", etag="1"), told=[outgoing(b"made")])
    assert (stored.endpoint, stored.offset) == ("alarms", 0)
    for failing in (
        devices.create(device("dev"), told=[outgoing(b"no")]),
        devices.create(device("none/m"), told=[outgoing(b"no")]),
        devices.replace(device("dev"), expected_etag="9", told=[outgoing(b"no")]),
        devices.replace_twin(device("dev").twin, expected_version=9, told=[outgoing(b"no")]),
        devices.delete("dev", expected_etag="9", tell=lambda _: [outgoing(b"no")]),
    ):
        with pytest.raises(HubError):
            await failing
    twin = replace(device("dev").twin, version=2)
    await devices.replace_twin(twin, expected_version=1, told=[outgoing(b"a"), outgoing(b"b", BUILT_IN, 4)])
    await devices.replace_twin(twin, expected_version=1, reported_only=True, told=[outgoing(b"c")])
    await devices.replace(device("dev", etag="2"), expected_etag="1", told=[outgoing(b"d")])
    await devices.create(device("dev/m"), told=[outgoing(b"module")])
    assert await told(stores) == [b"made", b"a", b"c", b"d", b"module"]
    assert await told(stores, BUILT_IN, 4) == [b"b"]


async def test_an_end_is_told_for_everything_that_ends(stores: Stores) -> None:
    devices = stores.devices("hub")
    for identity in ("dev", "dev/m", "dev/n", "dev2"):
        await devices.create(device(identity))
    await devices.delete("dev/n", expected_etag=None, tell=lambda each: [outgoing(each.identity.device_id.encode())])
    await devices.delete("dev", expected_etag=None, tell=lambda each: [outgoing(each.identity.device_id.encode())])
    assert await told(stores) == [b"dev/n", b"dev/m", b"dev"]


async def test_a_new_connection_state_is_told_once_with_a_growing_number(stores: Stores) -> None:
    devices = stores.devices("hub")
    await devices.create(device("dev"))
    numbers: list[int] = []

    def tell(each: Device, state: ConnectionState, sequence: int) -> list[Outgoing]:
        numbers.append(sequence)
        return [outgoing(f"{each.identity.device_id} {state.value}".encode())]

    states = [ConnectionState.CONNECTED, ConnectionState.CONNECTED, ConnectionState.DISCONNECTED]
    for state in [*states, *states]:
        await devices.touch(states={"dev": state, "gone": state}, activity={}, now=NOW, tell=tell)
    assert await told(stores) == [b"dev Connected", b"dev Disconnected"] * 2
    assert numbers == sorted(set(numbers))
    found = await devices.get("dev")
    assert found is not None
    assert found.identity.connection_state is ConnectionState.DISCONNECTED
    await devices.touch(states={"dev": ConnectionState.CONNECTED}, activity={"dev": NOW}, now=NOW, tell=tell)
    await devices.disconnect_all(now=NOW, tell=tell)
    await devices.disconnect_all(now=NOW, tell=tell)
    assert (await told(stores))[4:] == [b"dev Connected", b"dev Disconnected"]
    assert numbers == sorted(set(numbers))


async def test_many_new_connection_states_are_all_told(stores: Stores) -> None:
    devices = stores.devices("hub")
    names = [f"d{number:03}" for number in range(450)]
    for name in names:
        await devices.create(device(name), durable=name == names[-1])
    states = dict.fromkeys(names, ConnectionState.CONNECTED)

    def tell(each: Device, state: ConnectionState, sequence: int) -> list[Outgoing]:
        del state, sequence
        return [outgoing(each.identity.device_id.encode())]

    stored = await devices.touch(states=states, activity={"d000": NOW, "gone": NOW}, now=NOW, tell=tell)
    assert [each.telemetry.body.decode() for each in stored] == names
    assert await devices.touch(states=states, activity={}, now=NOW, tell=tell) == []
    await devices.disconnect_all(now=NOW, tell=tell)
    assert (await devices.statistics()).total == 450
    assert len(await told(stores)) == 100


async def test_messages_for_several_streams_are_in_all_of_them(stores: Stores) -> None:
    log = stores.events("hub")
    stored = await log.append_all([outgoing(b"x"), outgoing(b"x", BUILT_IN, 4), outgoing(b"x", "other", 1)])
    assert [each.endpoint for each in stored] == ["alarms", BUILT_IN, "other"]
    assert await log.append_all([]) == ()
    await log.append(telemetry("dev", b"y"))
    assert await told(stores) == await told(stores, "other", 1) == [b"x"]
    assert await told(stores, BUILT_IN, 4) == [b"x", b"y"]
