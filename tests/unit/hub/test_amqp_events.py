"""Event Hubs clients at a hub: tokens, partitions, positions, owner levels, `$management`, redirects (hub.md 20)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeport.hub.frontends.amqp.addresses import read_path
from homeport.hub.frontends.amqp.event_addresses import (
    ElsewhereAddress,
    ManagementAddress,
    PartitionAddress,
    is_event_path,
    read_event_path,
)
from homeport.hub.frontends.amqp.event_messages import write_event, write_metrics
from homeport.hub.model import PartitionState, StoredTelemetry, Telemetry
from homeport.hub.served_hub import ServedHub
from homeport.proto.amqp import (
    ACCEPTED,
    PLAIN,
    Attach,
    Attached,
    Condition,
    Data,
    Delivery,
    Described,
    Detach,
    Detached,
    Disposed,
    Disposition,
    Flow,
    Flowed,
    Int,
    Link,
    LinkRole,
    Message,
    PlainCredentials,
    Properties,
    Rejected,
    Source,
    Symbol,
    Target,
    Timestamp,
    ULong,
    decode_message,
    plain,
)
from homeport.security import sas
from tests.unit.hub.amqp_client import HubClient, connected, refusal
from tests.unit.hub.clients import FOREVER, service_token
from tests.unit.hub.conftest import HOST, NAME, Line, ManualClock, settle

HUB = f"{NAME}/ConsumerGroups/$Default/Partitions"
SELECTOR = Symbol("apache.org:selector-filter:string")
METRICS = Symbol("com.microsoft:enable-receiver-runtime-metric")
_names = count()


def event_token(hub: ServedHub, policy: str = "service", resource: str = NAME, expiry: int = FOREVER) -> str:
    """Sign as Event Hubs clients do: the key's text is the key."""
    key = next(each.primary_key for each in hub.hub.policies if each.name == policy)
    audience = sas.encode_resource(f"sb://{HOST}/{resource}")
    return sas.sign(audience, sas.encode_key(key).encode(), expiry, policy)


@pytest.fixture
async def nobody(hub: ServedHub, amqp: Line) -> AsyncIterator[HubClient]:
    async with connected(amqp) as client:
        await client.start()
        yield client


@pytest.fixture
async def reader(nobody: HubClient, hub: ServedHub) -> HubClient:
    assert await nobody.put_token(event_token(hub)) == 200
    return nobody


async def tell(hub: ServedHub, clock: ManualClock, *bodies: str, device: str = "d") -> StoredTelemetry:
    assert bodies
    for body in bodies:
        message = Telemetry(
            device_id=device,
            body=body.encode(),
            system={"ct": "application/json", "ce": "utf-8", "mid": body},
            properties={"a": "b", "empty": "", "none": None},
            annotations={"iothub-connection-device-id": device, "iothub-message-source": "Telemetry"},
            enqueued_at=clock.now(),
        )
        await hub.telemetry.append(message)
    (newest,) = await hub.telemetry.log.latest(device_id=device, limit=1)
    return newest


def attach(client: HubClient, address: str, *, selector: str | None = None, credit: int = 100, **more: Any) -> Link:
    link = client.engine.new_link(client.session, f"r{next(_names)}", LinkRole.RECEIVER)
    described = {SELECTOR: Described(SELECTOR, selector)} if selector is not None else None
    client.send(Attach(link=link, source=Source(address=address, filter=described), target=Target(), **more))
    if credit:
        client.send(Flow(link=link, credit=credit))
    return link


async def attached(client: HubClient, address: str, **more: Any) -> tuple[Link, Attached]:
    link = attach(client, address, **more)
    answer = await client.until(Attached)
    assert answer.source is not None
    return link, answer


async def bodies(client: HubClient, number: int) -> list[str]:
    found = []
    for _ in range(number):
        data = (await client.received()).data
        assert data is not None
        found.append(data.decode())
    return found


async def nothing_comes(client: HubClient) -> None:
    """Ask the server for something, and see that nothing else came before the answer."""
    link = attach(client, "/nowhere", credit=0)
    while not isinstance(event := await client.hear(), Detached):
        assert isinstance(event, Attached | Flowed), event
    assert event.link is link


# ---------------------------------------------------------------- addresses and messages


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hub/ConsumerGroups/$Default/Partitions/3", PartitionAddress(event_hub="hub", group="$Default", partition=3)),
        (
            "amqps://h:5671/hub/consumergroups/a%20b/partitions/11",
            PartitionAddress(event_hub="hub", group="a b", partition=11),
        ),
        ("/hub/CONSUMERGROUPS/g/PARTITIONS/x", PartitionAddress(event_hub="hub", group="g", partition=None)),
        ("hub/ConsumerGroups/g/Partitions/99999", PartitionAddress(event_hub="hub", group="g", partition=None)),
        ("$management", ManagementAddress(None)),
        ("amqps://h:5671/hub/$management", ManagementAddress("hub")),
        ("messages/events/$management", ElsewhereAddress(("$management",))),
        ("/messages/Events/ConsumerGroups/g", ElsewhereAddress(("ConsumerGroups", "g"))),
        ("hub/ConsumerGroups/g", None),
        ("hub/ConsumerGroups/g/Partitions/1/2", None),
    ],
)
def test_addresses(text: str, address: object) -> None:
    path = read_path(text)
    assert path is not None
    assert is_event_path(path)
    assert read_event_path(path) == address


@pytest.mark.parametrize(
    "text", ["devices/d/messages/events", "devices/$management", "messages/devicebound", "$cbs", "hub", "messages"]
)
def test_addresses_of_others(text: str) -> None:
    path = read_path(text)
    assert path is not None
    assert not is_event_path(path)


names = st.text(min_size=1, max_size=300)
values = st.one_of(st.none(), st.text(max_size=300))


@given(
    st.binary(max_size=400),
    st.dictionaries(st.sampled_from(["mid", "cid", "uid", "ct", "ce", "to", "diagid", "schema", "x"]), values),
    st.dictionaries(names, values, max_size=4),
    st.dictionaries(st.from_regex(r"[a-z-]{1,300}", fullmatch=True), st.text(max_size=300), max_size=4),
    st.integers(0, 1 << 40),
)
def test_an_event_is_written_whole(
    body: bytes, system: dict[str, Any], properties: dict[str, Any], annotations: dict[str, str], offset: int
) -> None:
    clock = ManualClock()
    event = Telemetry(
        device_id="d",
        body=body,
        system=system,
        properties=properties,
        annotations=annotations,
        enqueued_at=clock.now(),
    )
    metrics = write_metrics(PartitionState(begin=1, end=7, last_enqueued_at=clock.now()), clock.now())
    for extra in (b"", metrics):
        read = decode_message(write_event(StoredTelemetry(partition=1, offset=offset, telemetry=event), extra))
        assert read.data == body
        wanted = dict(properties)
        if system.get("schema"):
            wanted["iothub-message-schema"] = system["schema"]
        assert (read.application_properties or {}) == wanted
        told = read.message_annotations or {}
        moment = Timestamp.of(clock.now())
        own = {
            "x-opt-sequence-number": offset,
            "x-opt-offset": str(offset),
            "x-opt-enqueued-time": moment,
            "iothub-enqueuedtime": moment,
        }
        assert {name: told[name] for name in own} == own
        assert all(told[name] == value for name, value in annotations.items() if name not in own)
        assert told.get("Diagnostic-Id") == system.get("diagid")
        sent = read.properties or Properties()
        assert (sent.message_id, sent.correlation_id, sent.to) == tuple(
            system.get(name) or None for name in ("mid", "cid", "to")
        )
        assert bool(read.delivery_annotations) == bool(extra)


# ---------------------------------------------------------------- tokens and rights


async def test_tokens_in_the_manner_of_event_hubs(nobody: HubClient, hub: ServedHub) -> None:
    for resource in (NAME, f"{NAME}/consumergroups/$default", f"{NAME}/ConsumerGroups/$Default/Partitions/0", ""):
        assert await nobody.put_token(event_token(hub, resource=resource)) == 200
        link, _ = await attached(nobody, f"{HUB}/0")
        nobody.send(Detach(link=link))
        await nobody.until(Detached)


async def test_who_may_not_read(nobody: HubClient, hub: ServedHub) -> None:
    attach(nobody, f"{HUB}/0")
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS
    assert await nobody.put_token(event_token(hub, "registryRead")) == 200
    attach(nobody, f"{HUB}/0")
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS
    assert await nobody.put_token(event_token(hub, resource="other")) == 200
    attach(nobody, f"{HUB}/0")
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS
    attach(nobody, "messages/events/$management")
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS
    answer = await ask(nobody, *(await management(nobody)), type="com.microsoft:eventhub", name=NAME)
    assert (answer.application_properties or {})["status-code"] == 401


async def test_a_token_that_expires_ends_reading(nobody: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    soon = int(clock.now().timestamp()) + 60
    assert await nobody.put_token(event_token(hub, expiry=soon)) == 200
    await attached(nobody, f"{HUB}/0")
    await settle()
    clock.pass_seconds(60 + 301)
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS


# ---------------------------------------------------------------- receiving


async def test_the_past_and_what_comes(reader: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    stored = await tell(hub, clock, "0", "1")
    link, source = await attached(reader, f"/{HUB}/{stored.partition}", selector="amqp.annotation.x-opt-offset > '-1'")
    assert source.source is not None
    assert source.source.address == f"/{HUB}/{stored.partition}"
    assert source.source.filter is not None, "the filter is echoed"
    first = await reader.received()
    assert first.data == b"0"
    assert first.properties == Properties(message_id="0", content_type="application/json", content_encoding="utf-8")
    assert first.application_properties == {"a": "b", "empty": "", "none": None}
    assert first.message_annotations == {
        "iothub-connection-device-id": "d",
        "iothub-message-source": "Telemetry",
        "x-opt-sequence-number": 0,
        "x-opt-offset": "0",
        "x-opt-enqueued-time": Timestamp.of(clock.now()),
        "iothub-enqueuedtime": Timestamp.of(clock.now()),
    }
    assert await bodies(reader, 1) == ["1"]
    await tell(hub, clock, "2")
    delivery = await reader.until(Delivery)
    assert not delivery.settled
    reader.send(Disposition(link=link, delivery_id=delivery.delivery_id, state=ACCEPTED))
    # Nothing is consumed by that: another one reads the same.
    await attached(reader, f"{HUB}/{stored.partition}")
    assert await bodies(reader, 3) == ["0", "1", "2"]


async def test_positions(reader: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    for number in range(5):
        await tell(hub, clock, str(number))
        clock.pass_seconds(1)
    (stored,) = await hub.telemetry.log.latest(device_id="d", limit=1)
    third = int((clock.now() - timedelta(seconds=3)).timestamp() * 1000)
    for selector, expected in (
        (None, "01234"),
        ("amqp.annotation.x-opt-offset > '2'", "34"),
        ("amqp.annotation.x-opt-offset >= '2'", "234"),
        ("amqp.annotation.x-opt-sequence-number > '3'", "4"),
        (f"amqp.annotation.x-opt-enqueued-time > '{third}'", "34"),
        (f"amqp.annotation.x-opt-enqueued-time >= '{third}'", "234"),
        (f"amqp.annotation.x-opt-enqueuedtimeutc > {third - 1}", "234"),
        ("amqp.annotation.x-opt-offset >= '@latest'", "4"),
    ):
        link, _ = await attached(reader, f"{HUB}/{stored.partition}", selector=selector)
        assert "".join(await bodies(reader, len(expected))) == expected, selector
        reader.send(Detach(link=link))
        await reader.until(Detached)
    await attached(reader, f"{HUB}/{stored.partition}", selector="amqp.annotation.x-opt-offset > '@latest'")
    await nothing_comes(reader)
    await tell(hub, clock, "new")
    assert await bodies(reader, 1) == ["new"]


async def test_no_more_than_the_credit(reader: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    stored = await tell(hub, clock, *map(str, range(10)))
    link, _ = await attached(reader, f"{HUB}/{stored.partition}", credit=3)
    assert await bodies(reader, 3) == ["0", "1", "2"]
    await nothing_comes(reader)
    reader.send(Flow(link=link, credit=2))
    assert await bodies(reader, 2) == ["3", "4"]
    # What is at hand is sent before the credit is given back.
    reader.send(Flow(link=link, credit=100, drain=True))
    assert await bodies(reader, 5) == list("56789")
    while not isinstance(event := await reader.hear(), Flowed):
        pass
    assert event.credit == 0


async def test_a_crowd_of_large_events_reaches_a_slow_reader(
    reader: HubClient, hub: ServedHub, clock: ManualClock
) -> None:
    """More than may wait for one client: the next come when it has read."""
    for number in range(60):
        body = str(number).rjust(3) + "x" * 200_000
        await hub.telemetry.append(
            Telemetry(
                device_id="d", body=body.encode(), system={}, properties={}, annotations={}, enqueued_at=clock.now()
            )
        )
    (stored,) = await hub.telemetry.log.latest(device_id="d", limit=1)
    await attached(reader, f"{HUB}/{stored.partition}", credit=300)
    await asyncio.sleep(0.2)
    assert [int(body[:3]) for body in await bodies(reader, 60)] == list(range(60))


async def test_runtime_metrics(reader: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    stored = await tell(hub, clock, "0", "1", "2")
    _, answer = await attached(reader, f"{HUB}/{stored.partition}", desired_capabilities=(METRICS, Symbol("other")))
    assert answer.offered_capabilities == (METRICS,)
    message = await reader.received()
    assert message.delivery_annotations == {
        "last_enqueued_sequence_number": 2,
        "last_enqueued_offset": "2",
        "last_enqueued_time_utc": Timestamp.of(clock.now()),
        "runtime_info_retrieval_time_utc": Timestamp.of(clock.now()),
    }


async def test_named_endpoints_and_groups(reader: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    await hub.streams.create("alarms", partitions=1)
    await hub.streams.create_group("ops", name="alarms")
    alarms = await hub.streams.open("alarms")
    message = Telemetry(device_id="d", body=b"fire", system={}, properties={}, annotations={}, enqueued_at=clock.now())
    await alarms.append(message)
    assert await reader.put_token(event_token(hub, resource="")) == 200
    await attached(reader, "Alarms/ConsumerGroups/OPS/Partitions/0")
    assert await bodies(reader, 1) == ["fire"]
    for address, condition in (
        (f"{NAME}/ConsumerGroups/ops/Partitions/0", Condition.NOT_FOUND),
        ("nothing/ConsumerGroups/$Default/Partitions/0", Condition.NOT_FOUND),
        ("alarms/ConsumerGroups/$Default/Partitions/1", "com.microsoft:argument-out-of-range"),
        ("alarms/ConsumerGroups/$Default/Partitions/x", "com.microsoft:argument-out-of-range"),
        ("alarms/ConsumerGroups/$Default", Condition.NOT_FOUND),
    ):
        attach(reader, address)
        assert (await refusal(reader)).condition == condition, address


async def test_an_endpoint_that_is_removed_ends_its_links(reader: HubClient, hub: ServedHub) -> None:
    await hub.streams.create("alarms", partitions=1)
    assert await reader.put_token(event_token(hub, resource="")) == 200
    await attached(reader, "alarms/ConsumerGroups/$Default/Partitions/0")
    await hub.streams.remove("alarms")
    assert (await refusal(reader)).condition == Condition.NOT_FOUND
    attach(reader, "alarms/ConsumerGroups/$Default/Partitions/0")
    assert (await refusal(reader)).condition == Condition.NOT_FOUND


async def test_what_no_receiver_may_ask(reader: HubClient) -> None:
    attach(reader, f"{HUB}/0", selector="nonsense")
    assert (await refusal(reader)).condition == "com.microsoft:argument-error"
    attach(reader, f"{HUB}/0", properties={Symbol("com.microsoft:epoch"): "high"})
    assert (await refusal(reader)).condition == "com.microsoft:argument-error"
    reader.sender(NAME + "/ConsumerGroups/$Default/Partitions/0")
    assert (await refusal(reader)).condition == Condition.NOT_ALLOWED


# ---------------------------------------------------------------- owner levels


def owner(level: int) -> dict[str, Any]:
    return {"properties": {Symbol("com.microsoft:epoch"): level}}


async def test_a_higher_owner_takes_over(reader: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    without, _ = await attached(reader, f"{HUB}/0")
    first = attach(reader, f"{HUB}/0", **owner(3))
    gone = await reader.until(Detached)
    await reader.until(Attached)
    assert (gone.link, gone.error and gone.error.condition) == (without, Condition.STOLEN)
    for more in ({}, owner(2)):
        attach(reader, f"{HUB}/0", **more)
        assert (await refusal(reader)).condition == Condition.STOLEN
    await attached(reader, f"{HUB}/1", **owner(0))
    again = attach(reader, f"{HUB}/0", **owner(3))
    while not isinstance(event := await reader.hear(), Detached):
        pass
    assert event.link is first
    reader.send(Detach(link=again))
    await reader.until(Detached)
    await attached(reader, f"{HUB}/0")


async def test_five_share_a_partition(reader: HubClient, hub: ServedHub, amqp: Line) -> None:
    links = [(await attached(reader, f"{HUB}/0"))[0] for _ in range(4)]
    async with connected(amqp) as other:
        await other.start()
        assert await other.put_token(event_token(hub)) == 200
        await attached(other, f"{HUB}/0")
        attach(reader, f"{HUB}/0")
        assert (await refusal(reader)).condition == Condition.RESOURCE_LIMIT_EXCEEDED
        await other.leave()
    reader.send(Detach(link=links[0]))
    await reader.until(Detached)
    for _ in range(2):
        await attached(reader, f"{HUB}/0")
    attach(reader, f"{HUB}/0")
    assert (await refusal(reader)).condition == Condition.RESOURCE_LIMIT_EXCEEDED


# ---------------------------------------------------------------- $management


async def management(client: HubClient, address: str = "$management", way_back: str | None = None) -> tuple[Link, Any]:
    back = client.engine.new_link(client.session, f"m{next(_names)}", LinkRole.RECEIVER)
    client.send(
        Attach(link=back, source=Source(address=address), target=Target(address=way_back)), Flow(link=back, credit=50)
    )
    await client.until(Attached)
    there = client.engine.new_link(client.session, f"m{next(_names)}", LinkRole.SENDER)
    client.send(Attach(link=there, source=Source(), target=Target(address=address)))
    await client.attached()
    return there, back


async def ask(
    client: HubClient, there: Link, back: Link, *, message_id: Any = None, reply_to: str | None = None, **asked: Any
) -> Message:
    """Send a request and return its answer; it is settled before that."""
    message_id = ULong(7) if message_id is None else message_id
    client.message(
        there,
        Message(
            properties=Properties(message_id=message_id, reply_to=reply_to),
            application_properties={"operation": "READ", **asked},
            body=Data((b"[]",)),
        ),
    )
    while isinstance(event := await client.hear(), Flowed):
        pass
    assert isinstance(event, Disposed), event
    delivery = await client.until(Delivery)
    assert delivery.link is back
    answer = decode_message(delivery.data)
    assert answer.properties is not None
    assert (type(answer.properties.correlation_id), answer.properties.correlation_id) == (type(message_id), message_id)
    return answer


@pytest.mark.parametrize("address", ["$management", f"{NAME}/$management", f"amqps://{HOST}:5671/{NAME}/$management"])
@pytest.mark.parametrize("message_id", [ULong(1), "a-string", UUID(int=5)])
async def test_reading_about_the_event_hub(
    reader: HubClient, hub: ServedHub, clock: ManualClock, address: str, message_id: Any
) -> None:
    links = await management(reader, address)
    answer = await ask(reader, *links, message_id=message_id, type="com.microsoft:eventhub", name=NAME)
    assert answer.application_properties == {"status-code": Int(200), "status-description": "OK"}
    assert isinstance(answer.application_properties["status-code"], Int)
    told = answer.body.value  # type: ignore[union-attr]  # it is a map
    assert (told["name"], told["type"], told["partition_count"]) == (NAME, "com.microsoft:eventhub", 4)
    assert list(told["partition_ids"].values) == ["0", "1", "2", "3"]
    assert told["created_at"] == Timestamp.of(hub.hub.created_at)

    stored = await tell(hub, clock, "0", "1")
    answer = await ask(reader, *links, type="com.microsoft:partition", name=NAME, partition=str(stored.partition))
    assert answer.body.value == {  # type: ignore[union-attr]
        "name": NAME,
        "type": "com.microsoft:partition",
        "partition": str(stored.partition),
        "begin_sequence_number": 0,
        "last_enqueued_sequence_number": 1,
        "last_enqueued_offset": "1",
        "last_enqueued_time_utc": Timestamp.of(clock.now()),
        "is_partition_empty": False,
    }
    empty = (stored.partition + 1) % 4
    answer = await ask(reader, *links, type="com.microsoft:partition", name=NAME, partition=str(empty))
    told = answer.body.value  # type: ignore[union-attr]
    assert (told["begin_sequence_number"], told["last_enqueued_sequence_number"]) == (0, -1)
    assert (told["last_enqueued_offset"], told["is_partition_empty"]) == ("-1", True)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"type": "com.microsoft:eventhub", "name": "nothing"}, 401),
        ({"type": "com.microsoft:eventhub", "name": NAME, "operation": "WRITE"}, 400),
        ({"type": "com.microsoft:other", "name": NAME}, 400),
        ({"type": "com.microsoft:eventhub"}, 400),
        ({"type": "com.microsoft:partition", "name": NAME, "partition": "4"}, 404),
        ({"type": "com.microsoft:partition", "name": NAME}, 404),
    ],
)
async def test_what_is_not_answered(reader: HubClient, asked: dict[str, Any], status: int) -> None:
    answer = await ask(reader, *(await management(reader)), **asked)
    assert (answer.application_properties or {})["status-code"] == status


async def test_an_event_hub_that_is_not_there(reader: HubClient, hub: ServedHub) -> None:
    assert await reader.put_token(event_token(hub, resource="")) == 200
    answer = await ask(reader, *(await management(reader)), type="com.microsoft:eventhub", name="nothing")
    assert (answer.application_properties or {})["status-code"] == 404


async def test_an_answer_goes_where_it_is_wanted(reader: HubClient) -> None:
    """An idle receiver of the redirect's address gets nothing; `reply-to` names a link by its target."""
    asked = {"type": "com.microsoft:eventhub", "name": NAME}
    there, back = await management(reader)
    idle, _ = await attached(reader, f"amqps://{HOST}:5671/{NAME}/$management")
    await ask(reader, there, back, **asked)
    elsewhere, back_there = await management(reader, f"{NAME}/$management", "reply-here")
    await ask(reader, elsewhere, back_there, **asked)
    await ask(reader, there, back_there, reply_to="reply-here", **asked)
    reader.send(Detach(link=back), Detach(link=back_there), Detach(link=idle))
    for _ in range(3):
        await reader.until(Detached)
    reader.message(there, Message(properties=Properties(message_id="x"), application_properties={}))
    assert isinstance(await reader.outcome(), Rejected)


# ---------------------------------------------------------------- redirects


@pytest.mark.parametrize(
    ("asked", "tail"),
    [
        ("messages/events/$management", "/$management"),
        (
            f"amqps://{HOST}/messages/events/ConsumerGroups/$Default/Partitions/2",
            "/ConsumerGroups/$Default/Partitions/2",
        ),
        ("messages/events", ""),
    ],
)
async def test_the_way_from_the_hubs_addresses(hub: ServedHub, amqp: Line, asked: str, tail: str) -> None:
    """As the CLI does it: SASL PLAIN, a link to the hub's address, and then to where that leads."""
    async with connected(amqp, mechanisms=(PLAIN,)) as client:
        credentials = PlainCredentials(
            authentication_id=f"service@sas.root.{NAME}", password=service_token(hub, "service")
        )
        await client.sasl(PLAIN, plain(credentials))
        await client.open(HOST)
        await client.begin()
        attach(client, asked)
        error = await refusal(client)
        assert error.condition == Condition.LINK_REDIRECT
        info = {str(name): value for name, value in (error.info or {}).items()}
        address = f"amqps://{HOST}:{amqp.port}/{NAME}{tail}"
        told = {name: info[name] for name in ("hostname", "network-host", "port", "address")}
        assert told == {"hostname": HOST, "network-host": HOST, "port": amqp.port, "address": address}
