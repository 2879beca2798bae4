"""Calls over a limit: 429 with retry-after in every envelope, one record for many, and nobody else suffers."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from homeport.dps.administration import IpFilterResponder
from homeport.dps.admission import Admission
from homeport.dps.frontends.admin import AdminFrontEnd, IpFilterResource
from homeport.dps.frontends.authorization import Authorization
from homeport.dps.frontends.http_device import DeviceFrontEnd
from homeport.dps.frontends.http_service import ServiceFrontEnd
from homeport.dps.frontends.mqtt import DeviceMqttFrontEnd, DeviceMqttSession
from homeport.dps.gate import DEFAULT_GATE
from homeport.dps.model import DeviceSpec, NoEvidence, Outcome
from homeport.dps.responder import DeviceResponder
from homeport.dps.throttle import Call, Rates
from homeport.errors import Code
from homeport.limits import Rate
from homeport.proto.mqtt import Publish
from homeport.security.policies import DpsRight, SharedAccessPolicy
from homeport.values import replace
from tests.transports.serving import serving
from tests.transports.test_http_service import HOST, POLICY_KEY, VERSION, ask, enrollment, random
from tests.transports.test_mqtt_device import REGISTER, STATUS, Link, connect, peer
from tests.transports.world import SCOPE, World, claim, context, evidence, new_world, token

POLICIES = [
    SharedAccessPolicy(
        name="provisioningserviceowner", primary_key=POLICY_KEY, secondary_key=b"2" * 32, rights=frozenset(DpsRight)
    )
]
NONE = Rates(**dict.fromkeys(Rates.__struct_fields__))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world() as fresh:
        await fresh.enroll("dev-1")
        await fresh.enroll("dev-2")
        yield fresh


def limited(world: World, *, gate: dict[str, Any] | None = None, **rates: Rate) -> tuple[DeviceResponder, Admission]:
    admission = Admission(
        world.clock,
        secrets.token_bytes,
        rates=replace(NONE, **rates),
        gate=replace(DEFAULT_GATE, **(gate or {})),
    )
    return DeviceResponder(world.engine, world.clock, secrets.token_bytes, admission=admission), admission


async def test_https_says_it_in_a_header(world: World) -> None:
    responder, _ = limited(world, device_polls=Rate(2, 10))
    headers = {"Authorization": token("dev-1")}
    async with serving(DeviceFrontEnd(responder)) as server:
        version = "?api-version=2019-03-31"
        first = await server.ask("PUT", f"/{SCOPE}/registrations/dev-1/register{version}", {}, headers)
        path = f"/{SCOPE}/registrations/dev-1/operations/{first.document['operationId']}{version}"
        answers = [await server.ask("GET", path, None, headers) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[2].headers["retry-after"] == "5"
        assert answers[2].document["errorCode"] == 429001
        assert answers[2].headers["x-ms-error-code"] == "429001"
        world.clock.advance(seconds=5)
        assert (await server.ask("GET", path, None, headers)).status == 200


async def test_mqtt_says_it_in_the_topic(world: World) -> None:
    responder, _ = limited(world, device_registrations=Rate(1, 10), device_polls=Rate(1, 10))
    link = Link()
    session = await DeviceMqttFrontEnd(responder, world.clock).connect(connect(), peer(), link)
    assert isinstance(session, DeviceMqttSession)
    for number, topic in enumerate((REGISTER, REGISTER, STATUS, STATUS)):
        end = "&operationId=x" if topic is STATUS else ""
        await session.publish(Publish(topic=f"{topic}{number}{end}", payload=b"", qos=1, packet_id=1), link.ack)
    topics = [said[0] for said in link.said if isinstance(said, tuple)]
    assert topics == [
        "$dps/registrations/res/202/?$rid=0&retry-after=3",
        "$dps/registrations/res/429/?$rid=1&retry-after=10",
        "$dps/registrations/res/404/?$rid=2",
        "$dps/registrations/res/429/?$rid=3&retry-after=10",
    ]


async def test_administrators_are_counted_before_they_are_judged(world: World) -> None:
    _, admission = limited(world, address_operations=Rate(3, 10), operations=Rate(3, 10))
    guard = Authorization(policies=lambda: POLICIES, hosts=lambda: {HOST}, clock=world.clock, admission=admission)
    async with serving(ServiceFrontEnd(world.service, guard, clock=world.clock, random=random)) as server:
        target = f"/enrollments/dev-9{VERSION}"
        strangers = [await server.ask("PUT", target, enrollment("dev-9"), {"Authorization": "x"}) for _ in range(4)]
        assert [answer.status for answer in strangers] == [401, 401, 401, 429]
        assert int(strangers[3].headers["retry-after"]) >= 4
        # The address is over its limit, the service is not: strangers do not count there.
        world.clock.advance(seconds=10)
        good = [await ask(server, "GET", f"/enrollments/dev-1{VERSION}") for _ in range(4)]
        assert [answer.status for answer in good] == [200, 200, 200, 429]


async def test_many_refusals_leave_one_record_with_their_count(world: World) -> None:
    responder, admission = limited(world, device_registrations=Rate(1, 60))
    for _ in range(1001):
        await responder.register(claim("dev-1"), evidence("dev-1"), b"", context())
    assert sum(admission.throttled.values()) == 1000
    assigned, refused = reversed(await world.database.attempts.latest("dev-1", limit=100))
    assert assigned.outcome is Outcome.ASSIGNED
    assert (refused.outcome, refused.code) == (Outcome.REFUSED, Code.THROTTLED)
    assert "1/min" in refused.reason
    assert "--limit" in refused.advice
    responder.refusals.flush()
    (summed, *_) = await world.database.attempts.latest("dev-1", limit=100)
    assert "999 more times" in summed.reason
    responder.refusals.flush()
    assert len(await world.database.attempts.latest("dev-1", limit=100)) == 3


async def test_counts_are_written_at_the_end_of_each_period_and_of_the_process(world: World) -> None:
    responder, _ = limited(world, device_registrations=Rate(1, 3600))
    for round_ in range(1, 3):
        for _ in range(4):
            await responder.register(claim("dev-1"), evidence("dev-1"), b"", context())
        running = asyncio.ensure_future(responder.refusals.run())
        await asyncio.sleep(0)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        records = await world.database.attempts.latest("dev-1", limit=100)
        assert len([record for record in records if "more times" in record.reason]) == round_


async def test_a_poll_that_came_too_soon_does_not_hide_how_it_ended(world: World) -> None:
    responder, _ = limited(world, device_polls=Rate(1, 10))
    hub = world.hub("alpha.example")
    hub.delay = 0.05
    world.engine._patience = 0.0
    first = await responder.register(claim("dev-1"), evidence("dev-1"), b"", context())
    operation_id = first.body.partition(b'"operationId":"')[2].partition(b'"')[0].decode()
    polls = [
        await responder.operation_status(claim("dev-1"), evidence("dev-1"), operation_id, context()) for _ in range(2)
    ]
    assert [poll.status for poll in polls] == [202, 429]
    await asyncio.sleep(0.2)
    world.clock.advance(seconds=10)
    final = await responder.operation_status(claim("dev-1"), evidence("dev-1"), operation_id, context())
    assert final.status == 200
    records = await world.database.attempts.latest("dev-1", limit=3)
    assert [record.outcome for record in records] == [Outcome.ASSIGNED, Outcome.REFUSED, Outcome.ASSIGNING]


async def test_a_flood_of_names_does_not_become_a_flood_of_records(world: World) -> None:
    responder, _ = limited(world, address_registrations=Rate(1, 60))
    names = [f"nobody-{number}" for number in range(5000)]
    for name in names:
        await responder.register(claim(name), NoEvidence(), b"", context())
    responder.refusals.flush()
    records = await world.database.attempts.page(after=None, limit=10_000)
    assert len(records.items) <= 1001


async def test_a_storm_is_shed_and_everything_accepted_is_answered(world: World) -> None:
    """Ten times as many at once as there is room for: some wait, the rest are told when, and then all are served."""
    responder, admission = limited(world, gate={"calls_in_flight": 4, "calls_waiting": 16})
    names = [f"storm-{number}" for number in range(200)]
    for name in names:
        await world.enroll(name)
    left, rounds, told = names, 0, list[int]()
    while left:
        replies = await asyncio.gather(
            *(responder.register(claim(name), evidence(name), b"", context()) for name in left)
        )
        again = []
        for name, reply in zip(left, replies, strict=True):
            if reply.status == 429:
                assert reply.retry_after is not None
                told.append(reply.retry_after)
                again.append(name)
            else:
                assert reply.status == 202
                assert b'"status":"assigned"' in reply.body
        assert len(again) < len(left), "at least what there is room for is served in each round"
        rounds += 1
        if rounds == 1:
            assert len(again) == 180
            assert admission.is_shedding
        left = again
        world.clock.advance(seconds=max(told, default=1))
    world.clock.advance(minutes=1)
    assert not admission.is_shedding
    for name in names:
        assert await world.database.registrations.get(name) is not None
    gates = admission.gates.values()
    assert [(gate.in_flight, gate.waiting) for gate in gates] == [(0, 0), (0, 0)]


async def test_polls_are_answered_while_registrations_wait(world: World) -> None:
    responder, admission = limited(world, gate={"calls_in_flight": 1, "calls_waiting": 100})
    first = await responder.register(claim("dev-1"), evidence("dev-1"), b"", context())
    operation_id = first.body.partition(b'"operationId":"')[2].partition(b'"')[0].decode()
    end = await admission.gates[Call.REGISTER].enter("a slow one")
    waiting = asyncio.ensure_future(responder.register(claim("dev-2"), evidence("dev-2"), b"", context()))
    polled = await responder.operation_status(claim("dev-1"), evidence("dev-1"), operation_id, context())
    assert polled.status == 200
    assert not waiting.done()
    end()
    assert (await waiting).status == 202


async def test_a_slow_hub_takes_no_turns(world: World) -> None:
    """Whoever waits for a hub elsewhere needs no processor here, and keeps nobody out."""
    responder, admission = limited(world, gate={"calls_in_flight": 1, "calls_waiting": 1})
    (alpha,) = await world.database.linked_hubs.all()
    await world.database.linked_hubs.put(replace(alpha, connection_string="HostName=alpha.example"), create=False)
    reached, answers, hub = asyncio.Event(), asyncio.Event(), world.hub("alpha.example")
    provision = hub.provision

    async def slow(spec: DeviceSpec) -> None:
        reached.set()
        await answers.wait()
        await provision(spec)

    hub.provision = slow  # type: ignore[method-assign]  # this hub is slow
    first = asyncio.ensure_future(responder.register(claim("dev-1"), evidence("dev-1"), b"", context()))
    await reached.wait()
    assert admission.gates[Call.REGISTER].in_flight == 0
    second = asyncio.ensure_future(responder.register(claim("dev-2"), evidence("dev-2"), b"", context()))
    reached.clear()
    await reached.wait()
    assert not first.done()
    answers.set()
    assert [(await each).status for each in (first, second)] == [202, 202]


async def test_strangers_leave_the_service_its_rate(world: World) -> None:
    responder, _ = limited(world, registrations=Rate(2, 60))
    for number in range(20):
        reply = await responder.register(claim(f"nobody-{number}"), evidence("dev-1"), b"", context())
        assert reply.status == 401
    good = [await responder.register(claim("dev-1"), evidence("dev-1"), b"", context()) for _ in range(3)]
    assert [reply.status for reply in good] == [202, 202, 429]


# ---------------------------------------------------------------- ip filter


async def test_rules_are_replaced_tested_and_obeyed(world: World) -> None:
    obeyed = list[int]()

    async def changed() -> None:
        version, _ = await world.database.ip_filter.get()
        obeyed.append(version)

    guard = Authorization(policies=lambda: POLICIES, hosts=lambda: {HOST}, clock=world.clock)
    resource = IpFilterResource(IpFilterResponder(world.database.ip_filter, changed))
    async with serving(AdminFrontEnd([resource], guard, clock=world.clock, random=random)) as server:
        path = "/homeport/ipFilter"
        assert (await server.ask("GET", path)).status == 401
        first = (await ask(server, "GET", path)).document
        assert first["rules"] == []
        rules = [
            {"name": "plant", "action": "allow", "network": "10.0.0.0/8", "target": "devices"},
            {"name": "rest", "action": "deny", "network": "any", "target": "devices"},
        ]
        put = await ask(server, "PUT", path, {"rules": rules}, {"If-Match": first["etag"]})
        assert put.status == 200
        assert put.document["rules"] == rules
        assert len(obeyed) == 1
        assert (await ask(server, "PUT", path, {"rules": []}, {"If-Match": first["etag"]})).status == 412
        assert (await ask(server, "GET", path)).document == put.document

        told = (await ask(server, "GET", f"{path}/test/192.0.2.9")).document["decisions"]
        assert told == [
            {"target": "devices", "allowed": False, "rule": "rest"},
            {"target": "service", "allowed": True},
            {"target": "portal", "allowed": True},
        ]
        assert (await ask(server, "GET", f"{path}/test/nowhere")).status == 400


@pytest.mark.parametrize(
    ("rule", "locked_out"),
    [
        ({"name": "r", "action": "deny", "network": "127.0.0.0/8"}, "127.0.0.1"),
        ({"name": "r", "action": "deny", "network": "::1", "target": "portal"}, "::1"),
        ({"name": "r", "action": "deny", "network": "192.0.2.0/24", "target": "service"}, "192.0.2.7"),
    ],
)
async def test_an_administrator_cannot_lock_himself_out(world: World, rule: dict[str, str], locked_out: str) -> None:
    async def changed() -> None:
        pass

    responder = IpFilterResponder(world.database.ip_filter, changed)
    guard = Authorization(policies=lambda: POLICIES, hosts=lambda: {HOST}, clock=world.clock)
    front_end = AdminFrontEnd([IpFilterResource(responder)], guard, clock=world.clock, random=random)
    async with serving(front_end) as server:
        refused = await ask(server, "PUT", "/homeport/ipFilter", {"rules": [rule]})
        assert refused.status == 400
        assert locked_out in refused.document["message"]
        assert (await ask(server, "PUT", "/homeport/ipFilter?force=true", {"rules": [rule]})).status == 200


@pytest.mark.parametrize(
    "rule",
    [
        {"name": "r", "action": "deny", "network": "10.0.0.1/8"},
        {"name": "r", "action": "maybe", "network": "any"},
        {"name": "r", "action": "deny", "network": "any", "target": "moon"},
        {"name": "", "action": "deny", "network": "10.0.0.1"},
        {"name": "r", "action": "deny"},
    ],
)
async def test_rules_that_cannot_be_used(world: World, rule: dict[str, str]) -> None:
    async def changed() -> None:
        pytest.fail("nothing has changed")

    responder = IpFilterResponder(world.database.ip_filter, changed)
    guard = Authorization(policies=lambda: POLICIES, hosts=lambda: {HOST}, clock=world.clock)
    front_end = AdminFrontEnd([IpFilterResource(responder)], guard, clock=world.clock, random=random)
    async with serving(front_end) as server:
        answer = await ask(server, "PUT", "/homeport/ipFilter", {"rules": [rule]})
    assert answer.status == 400
    assert answer.document["errorCode"] == 400000
    assert (await world.database.ip_filter.get())[1] == ()
