"""The hub of this folder obeys its devices' fault injection messages."""

import os

import pytest

from homeport.faults import FaultLab
from homeport.hub.hubs import Hubs
from homeport.hub.identities import IdentityWrite
from homeport.hub.served_hub import ServedHub
from tests.unit.hub.amqp_client import KEYS
from tests.unit.hub.conftest import HOST, NAME, MakeHubs, ManualClock


@pytest.fixture
def lab(clock: ManualClock) -> FaultLab:
    return FaultLab(clock, os.urandom)


@pytest.fixture
def hubs(make_hubs: MakeHubs, lab: FaultLab) -> Hubs:
    return make_hubs(faults=lab)


@pytest.fixture
async def hub(hubs: Hubs) -> ServedHub:
    hub = await hubs.create(NAME, [HOST, "localhost"])
    await hubs.obey_fault_messages(NAME, wanted=True)
    for device_id in ("d1", "d2"):
        await hub.registry.create(IdentityWrite(device_id=device_id, authentication=KEYS))
    return hub
