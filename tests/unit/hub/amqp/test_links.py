"""Links of devices over AMQP: who may, and what ends them (contract hub.md 16.1, 16.7)."""

from datetime import timedelta
from pathlib import Path

import pytest

from homeport.hub.frontends.site import hub_site
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import ConnectionState, DeviceStatus, SasAuthentication, SelfSignedAuthentication
from homeport.hub.served_hub import ServedHub
from homeport.net.amqp_server import AmqpServer
from homeport.net.screening import Screen
from homeport.net.sites import Sites
from homeport.proto.amqp import (
    Accepted,
    Closed,
    Condition,
    Detach,
    Limits,
    SaslCode,
)
from homeport.security.ip_filter import Door
from homeport.security.x509 import parse_der
from tests.certificates import make_certificate
from tests.net.certs import Identity
from tests.unit.hub.amqp_client import (
    BOUND,
    EVENTS,
    KEY,
    KEYS,
    TOKEN,
    TWIN,
    HubClient,
    connected,
    receiving,
    refusal,
    sending,
    stored,
    text,
)
from tests.unit.hub.clients import Device, device_token, dialled, service_token
from tests.unit.hub.conftest import Line, ManualClock, listening, running, settle, until


async def state(hub: ServedHub, device_id: str = "d1") -> ConnectionState:
    return (await hub.registry.get(device_id)).connection_state


async def test_the_state_follows_the_links_of_the_device(device: HubClient, hub: ServedHub) -> None:
    assert await state(hub) is ConnectionState.DISCONNECTED
    first = await sending(device, EVENTS)
    second = await receiving(device, BOUND)
    assert await state(hub) is ConnectionState.CONNECTED
    device.send(Detach(link=first))
    await sending(device, TWIN)
    device.send(Detach(link=second))
    assert await state(hub) is ConnectionState.CONNECTED
    await device.leave()
    await until(lambda: len(hub.sessions) == 0)
    assert await state(hub) is ConnectionState.DISCONNECTED


async def test_the_last_link_ends_the_session(device: HubClient, hub: ServedHub) -> None:
    link = await sending(device, EVENTS)
    assert len(hub.sessions) == 1
    device.send(Detach(link=link))
    await until(lambda: len(hub.sessions) == 0)
    await sending(device, f"amqps://localhost:5671{EVENTS}")
    assert len(hub.sessions) == 1


async def test_links_need_a_proof(nobody: HubClient, hub: ServedHub) -> None:
    nobody.sender(EVENTS)
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS
    assert len(hub.sessions) == 0
    assert await nobody.put_token(TOKEN) == 200
    nobody.sender("/devices/d2/messages/events")
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS
    nobody.sender("/devices/d1/modules/m1/messages/events")
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS


@pytest.mark.parametrize(
    "address",
    ["devices/d1/nothing", "devices/d1", "devices//messages/events", "devices/d1/modules/m1", "devices/ä/twin"],
)
async def test_addresses_of_nothing(device: HubClient, address: str) -> None:
    device.sender(address)
    assert (await refusal(device)).condition == Condition.NOT_FOUND


async def test_directions(device: HubClient, hub: ServedHub) -> None:
    device.sender(BOUND)
    assert (await refusal(device)).condition == Condition.NOT_FOUND
    device.receiver(EVENTS)
    assert (await refusal(device)).condition == Condition.NOT_FOUND
    await until(lambda: len(hub.sessions) == 0)


async def test_a_policy_token_speaks_for_any_device(nobody: HubClient, hub: ServedHub) -> None:
    assert await nobody.put_token(service_token(hub, "registryRead")) == 200
    nobody.sender(EVENTS)
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS
    assert await nobody.put_token(service_token(hub, "device")) == 200
    for device_id in ("d1", "d2"):
        link = await sending(nobody, f"DEVICES/{device_id}/Messages/Events")
        nobody.message(link, text("x"))
        await nobody.outcome()
        (message,) = await stored(hub, device_id)
        assert '"scope":"hub"' in message.annotations["iothub-connection-auth-method"]


async def test_ids_are_raw_or_encoded(nobody: HubClient, hub: ServedHub) -> None:
    for device_id in ("a%41", "aA", "a+b@c"):
        await hub.registry.create(IdentityWrite(device_id=device_id, authentication=KEYS))
    assert await nobody.put_token(service_token(hub, "device")) == 200
    for address, device_id in (("a%41", "a%41"), ("a%2Bb%40c", "a+b@c"), ("a+b@c", "a+b@c")):
        link = await sending(nobody, f"devices/{address}/messages/events")
        nobody.message(link, text(address))
        await nobody.outcome()
        assert (await stored(hub, device_id))[-1].body == address.encode()


async def test_the_ip_filter(hub: ServedHub, clock: ManualClock, server_identity: Identity) -> None:
    """A door that is closed refuses links, and one that is closed later ends the connection."""
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    closed: set[Door] = {Door.DEVICES}
    screen = Screen(lambda _, door: door not in closed)
    server = AmqpServer(Sites([hub_site(hub, clock, screen=screen)]), clock)
    async with running(hub), listening(server, server_identity) as line, connected(line) as client:
        await client.start()
        assert await client.put_token(TOKEN) == 200
        client.sender(EVENTS)
        assert (await refusal(client)).condition == Condition.UNAUTHORIZED_ACCESS
        closed.clear()
        await sending(client, f"/{EVENTS}")
        screen.turn_out()
        await sending(client, TWIN)
        closed.add(Door.SERVICE)
        screen.turn_out()
        await receiving(client, TWIN)
        closed.add(Door.DEVICES)
        screen.turn_out()
        ended = await client.until(Closed)
        assert ended.error is not None
        assert ended.error.condition == Condition.UNAUTHORIZED_ACCESS


async def test_too_many_links(device: HubClient) -> None:
    for number in range(16):
        await sending(device, "/" * number + EVENTS)
    device.sender("/" * 16 + EVENTS)
    assert (await refusal(device)).condition == "com.microsoft:device-container-throttled"


# ---------------------------------------------------------------- several devices on one connection


async def test_displacement_ends_the_links_of_one_device(device: HubClient, hub: ServedHub, amqp: Line) -> None:
    assert await device.put_token(device_token("d2", KEY)) == 200
    await sending(device, EVENTS)
    await receiving(device, BOUND)
    other = await sending(device, "/devices/d2/messages/events")
    async with connected(amqp) as newer:
        await newer.start()
        assert await newer.put_token(TOKEN) == 200
        await sending(newer, EVENTS)
        assert [(await refusal(device)).condition for _ in range(2)] == [Condition.STOLEN] * 2
        device.message(other, text("still here"))
        assert isinstance(await device.outcome(), Accepted)
        assert len(hub.sessions) == 2
        # It may come back, and displaces the newer one in turn.
        device.sender(f"/{EVENTS}")
        await device.attached()
        assert (await refusal(newer)).condition == Condition.STOLEN


async def test_mqtt_and_amqp_displace_each_other(device: HubClient, hub: ServedHub, mqtt: Line) -> None:
    await sending(device, EVENTS)
    async with dialled(mqtt.port, mqtt.context) as other:
        assert isinstance(other, Device)
        assert (await other.connect("d1", TOKEN)).return_code == 0
        assert (await refusal(device)).condition == Condition.STOLEN
        await sending(device, f"/{EVENTS}")
        assert await other.hear() is None
    assert await state(hub) is ConnectionState.CONNECTED


@pytest.mark.parametrize("how", ["disabled", "deleted", "other keys"])
async def test_cut_off(device: HubClient, hub: ServedHub, how: str) -> None:
    assert await device.put_token(device_token("d2", KEY)) == 200
    await sending(device, EVENTS)
    other = await sending(device, "/devices/d2/messages/events")
    if how == "deleted":
        await hub.registry.delete("d1", expected_etag=None)
    else:
        changed = SasAuthentication(primary_key=b"3" * 32, secondary_key=b"4" * 32) if how == "other keys" else KEYS
        status = DeviceStatus.DISABLED if how == "disabled" else DeviceStatus.ENABLED
        await hub.registry.update(
            IdentityWrite(device_id="d1", authentication=changed, status=status), expected_etag=None
        )
    assert (await refusal(device)).condition == Condition.UNAUTHORIZED_ACCESS
    device.message(other, text("x"))
    assert isinstance(await device.outcome(), Accepted)
    device.sender(f"/{EVENTS}")
    assert (await refusal(device)).condition == Condition.UNAUTHORIZED_ACCESS


async def test_each_device_has_its_own_expiry(device: HubClient, hub: ServedHub, clock: ManualClock) -> None:
    now = int(clock.now().timestamp())
    assert await device.put_token(device_token("d2", KEY, now + 100)) == 200
    await sending(device, EVENTS)
    await sending(device, "/devices/d2/messages/events")
    clock.pass_seconds(390)
    await settle()
    assert len(hub.sessions) == 2
    assert await device.put_token(device_token("d2", KEY, now + 400)) == 200  # renewed in time
    clock.pass_seconds(300)
    await settle()
    assert len(hub.sessions) == 2
    clock.pass_seconds(11)
    assert (await refusal(device)).condition == Condition.UNAUTHORIZED_ACCESS
    assert [session.device_id for session in hub.sessions] == ["d1"]


async def test_a_renewed_token_of_another_key_goes_on(device: HubClient, hub: ServedHub) -> None:
    link = await sending(device, EVENTS)
    assert await device.put_token(device_token("d1", b"2" * 32)) == 200
    rolled = SasAuthentication(primary_key=b"3" * 32, secondary_key=b"2" * 32)
    await hub.registry.update(IdentityWrite(device_id="d1", authentication=rolled), expected_etag=None)
    await settle()
    device.message(link, text("x"))
    assert isinstance(await device.outcome(), Accepted)


async def test_hundreds_of_devices_on_one_connection(hub: ServedHub, amqp: Line) -> None:
    limits = Limits(channel_max=1023, max_links=8192)
    async with connected(amqp, limits=limits) as client:
        await client.start()
        assert await client.put_token(service_token(hub, "device")) == 200
        links = []
        for number in range(300):
            await hub.registry.create(IdentityWrite(device_id=f"m{number}", authentication=KEYS))
            await client.begin()
            links.append(await sending(client, f"devices/m{number}/messages/events"))
            await receiving(client, f"devices/m{number}/messages/devicebound")
        assert len(hub.sessions) == 300
        for link in links:
            client.message(link, text("x"))
        outcomes = [await client.outcome() for _ in links]
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        await client.leave()
    await until(lambda: len(hub.sessions) == 0)


async def test_certificates(nobody: HubClient, hub: ServedHub, amqp: Line, clock: ManualClock, tmp_path: Path) -> None:
    certified = make_certificate("d1", not_before=clock.now(), not_after=clock.now() + timedelta(days=1))
    thumbprint = parse_der(certified.der).info.sha1_thumbprint
    named = SelfSignedAuthentication(primary_thumbprint=None, secondary_thumbprint=thumbprint.lower())
    await hub.registry.update(IdentityWrite(device_id="d1", authentication=named), expected_etag=None)
    context = amqp.make_context()
    context.load_cert_chain(*certified.write(tmp_path))
    for mechanism in ((), ("EXTERNAL",)):
        async with connected(Line(amqp.port, lambda: context), mechanisms=mechanism) as client:
            if mechanism:
                assert await client.sasl("EXTERNAL", b"") is SaslCode.OK
            await client.open()
            await client.begin()
            clock.pass_seconds(1000)  # Node opens a link when there is something to send
            link = await sending(client, EVENTS)
            client.message(link, text("x"))
            assert isinstance(await client.outcome(), Accepted)
            clock.pass_seconds(100)  # a connection of X.509 needs no token
            client.message(link, text("x"))
            assert isinstance(await client.outcome(), Accepted)
            client.sender("devices/d2/messages/events")
            assert (await refusal(client)).condition == Condition.UNAUTHORIZED_ACCESS
            await client.leave()
    assert '"type":"x509"' in (await stored(hub))[-1].annotations["iothub-connection-auth-method"]
    nobody.sender(EVENTS)
    assert (await refusal(nobody)).condition == Condition.UNAUTHORIZED_ACCESS
