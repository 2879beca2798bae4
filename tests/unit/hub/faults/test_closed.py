"""Without the fault lab a hub's switch does nothing, and nothing stands in the way of its devices."""

from homeport.hub.frontends.site import hub_site
from homeport.hub.hubs import Hubs
from homeport.hub.identities import IdentityWrite
from homeport.hub.responder import DeviceResponder
from homeport.net.mqtt_server import MqttServer
from homeport.net.sites import Sites
from tests.net.certs import Identity
from tests.unit.hub.amqp_client import KEYS, TOKEN, stored
from tests.unit.hub.clients import dialled
from tests.unit.hub.conftest import NAME, MakeHubs, ManualClock, listening, running

FAULT = "devices/d1/messages/events/AzIoTHub_FaultOperationType=KillTcp"


async def test_a_fault_message_is_telemetry(make_hubs: MakeHubs, clock: ManualClock, server_identity: Identity) -> None:
    hubs: Hubs = make_hubs()
    hub = await hubs.create(NAME, ["localhost"])
    await hubs.obey_fault_messages(NAME, wanted=True)
    assert hub.device_side.faults is None
    assert type(hub.responder) is DeviceResponder
    await hub.registry.create(IdentityWrite(device_id="d1", authentication=KEYS))
    server = MqttServer(Sites([hub_site(hub, clock)]), clock)
    async with running(hub), listening(server, server_identity) as line, dialled(line.port, line.context) as device:
        await device.connect("d1", TOKEN)
        await device.publish(FAULT, b"x")
        await device.publish(FAULT, b"y")
    assert [each.body for each in await stored(hub)] == [b"x", b"y"]


async def test_another_process_learns_of_the_switch(make_hubs: MakeHubs) -> None:
    first, second = make_hubs(), make_hubs()
    await first.create(NAME, ["localhost"])
    await second.load(alone=False)
    assert await first.obey_fault_messages("nobody", wanted=True) is None
    await first.obey_fault_messages(NAME, wanted=True)
    await second.load(alone=False)
    served = second.get(NAME)
    assert served is not None
    assert served.hub.fault_messages
