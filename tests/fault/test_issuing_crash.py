"""Kill -9 while a certificate is issued, revoked, or the master key is rotated: nothing is half done afterwards.

The killed server and its successor are real processes on one data directory.
"""

import asyncio
import base64
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from homeport.client import TransportError
from homeport.hub.model import SelfSignedAuthentication
from homeport.security.x509 import parse_der
from homeport.store import open_stores
from tests.fault.actors import Answer, KeyDevice, Operator, Place, network
from tests.fault.dying_server import program
from tests.issuing import device_key, request_text
from tests.server import HomeportServer

ADDRESSES = ("127.0.62.1",)
DEVICE = "holder"
FIRST, SECOND = device_key("crash first"), device_key("crash second")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A data directory in which `holder` has a certificate, and `newcomer` may ask for one."""

    data: Path
    keys: dict[str, str]
    chain: list[str]

    def copied(self, folder: Path) -> Path:
        shutil.copytree(self.data, folder / "data")
        return folder / "data"


async def _build(data: Path) -> Plant:
    with HomeportServer(data, ADDRESSES) as server:
        async with Operator(data) as operator:
            await operator.admin.create_certificate_authority("plant")
            await operator.admin.create_certificate_authority("line", issuer="plant")
            keys = {
                name: await operator.enroll_key(name, certificate_authority_name="line")
                for name in (DEVICE, "newcomer")
            }
            answer = await asked(operator, keys, DEVICE, request_text(DEVICE, FIRST))
        assert server.stop() == 0
    return Plant(data=data, keys=keys, chain=answer.state["issuedCertificateChain"])


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return asyncio.run(_build(tmp_path_factory.mktemp("issuing") / "plant"))


async def asked(operator: Operator, keys: dict[str, str], name: str, csr: str) -> Answer:
    """Let a device register with a request, and poll if it must."""
    place = Place.of(operator.info)
    async with network(place) as http:
        device = KeyDevice(registration_id=name, key=keys[name], place=place, http=http)
        answer = await device.finished(await device.register(csr))
    assert answer.outcome == "assigned", answer
    return answer


async def told(operator: Operator, device: str, *kinds: str) -> list[str]:
    """Return the serial numbers that the journal tells of, in its order."""
    wanted = kinds or ("certificate.issued", "certificate.renewed")
    entries = [each async for each in operator.admin.audit() if each.subject == f"devices/{device}"]
    return [each.entry["data"]["serialNumber"] for each in entries if each.kind in wanted]


async def thumbprints_on_disk(data: Path, device_id: str) -> set[str | None]:
    async with open_stores(data / "homeport.db", read_only=True) as stores:
        (hub,) = await stores.hubs.all()
        device = await stores.devices(hub.name).get(device_id)
    if device is None or not isinstance(device.identity.authentication, SelfSignedAuthentication):
        return set()
    authentication = device.identity.authentication
    return {authentication.primary_thumbprint, authentication.secondary_thumbprint}


def thumbprint(chain: list[str]) -> str:
    return parse_der(base64.b64decode(chain[0])).info.sha256_thumbprint


@pytest.mark.parametrize(
    ("device", "step", "moment"),
    [
        ("newcomer", "open", "after"),
        ("newcomer", "provision", "after"),
        ("newcomer", "save:1", "after"),
        (DEVICE, "open", "after"),
        (DEVICE, "provision", "before"),
        (DEVICE, "provision", "after"),
        (DEVICE, "save:1", "after"),
    ],
)
async def test_a_certificate_is_issued_wholly_or_not_at_all(
    plant: Plant, tmp_path: Path, device: str, step: str, moment: str
) -> None:
    data = plant.copied(tmp_path)
    csr = request_text(device, SECOND)
    with HomeportServer(data, ADDRESSES, program=program(step, moment)) as server:
        async with Operator(data) as operator, network(Place.of(operator.info)) as http:
            asking = KeyDevice(registration_id=device, key=plant.keys[device], place=Place.of(operator.info), http=http)
            with pytest.raises(httpx.TransportError):
                await asking.register(csr)
        assert await asyncio.to_thread(server.wait) == -signal.SIGKILL

    with HomeportServer(data, ADDRESSES) as server:
        async with Operator(data) as operator:
            await operator.settled(device)
            issued = [each async for each in operator.admin.issued_certificates(registration_id=device)]
            mine = [each for each in issued if each.sha256_thumbprint != thumbprint(plant.chain)]
            assert len(mine) <= 1
            assert await told(operator, device) == [each.serial_number for each in issued]
            if (step, moment) == ("save:1", "after"):
                assert len(mine) == 1, "the outcome was on disk"
            # The device asks again with the same key: what was issued is given again, else it is issued now.
            answer = await asked(operator, plant.keys, device, csr)
            chain = answer.state["issuedCertificateChain"]
            if mine:
                assert mine[0].sha256_thumbprint == thumbprint(chain)
            again = [each async for each in operator.admin.issued_certificates(registration_id=device)]
            assert len(again) == len(issued) - len(mine) + 1
            assert sorted(await told(operator, device)) == sorted(each.serial_number for each in again)
        assert server.stop() == 0
    accepted = await thumbprints_on_disk(data, device)
    assert thumbprint(chain) in accepted
    assert all(each in {thumbprint(chain), thumbprint(plant.chain)} for each in accepted)


@pytest.mark.parametrize(("step", "moment"), [("revoke", "after"), ("withdraw", "before"), ("withdraw", "after")])
async def test_what_was_marked_revoked_is_cut_off_by_the_next_process(
    plant: Plant, tmp_path: Path, step: str, moment: str
) -> None:
    data = plant.copied(tmp_path)
    with HomeportServer(data, ADDRESSES, program=program(step, moment)) as server:
        async with Operator(data) as operator:
            with pytest.raises(TransportError):
                await operator.admin.revoke_device_certificates(DEVICE, reason="keyCompromise")
        assert await asyncio.to_thread(server.wait) == -signal.SIGKILL

    with HomeportServer(data, ADDRESSES) as server:
        async with Operator(data) as operator:
            async with asyncio.timeout(20):
                while True:
                    (issued,) = [each async for each in operator.admin.issued_certificates(registration_id=DEVICE)]
                    if issued.withdrawn:
                        break
                    await asyncio.sleep(0.05)
            assert issued.status == "revoked"
            assert await told(operator, DEVICE, "certificate.revoked") == [issued.serial_number]
            revocation_list = await operator.admin.get_revocation_list("line")
            assert issued.serial_number in f"{int.from_bytes(revocation_list.der):X}"
        assert server.stop() == 0
    assert thumbprint(plant.chain) not in await thumbprints_on_disk(data, DEVICE)


@pytest.mark.parametrize(
    ("step", "moment"),
    [("reseal:1", "before"), ("reseal:1", "after"), ("forget", "before")],
)
async def test_a_rotation_of_the_master_key_loses_no_key(plant: Plant, tmp_path: Path, step: str, moment: str) -> None:
    data = plant.copied(tmp_path)
    with HomeportServer(data, ADDRESSES, program=program(step, moment)) as server:
        async with Operator(data) as operator:
            with pytest.raises(TransportError):
                await operator.admin.rotate_master_key()
        assert await asyncio.to_thread(server.wait) == -signal.SIGKILL

    with HomeportServer(data, ADDRESSES):
        async with Operator(data) as operator:
            await asked(operator, plant.keys, "newcomer", request_text("newcomer", FIRST))
            # Told before the old key is forgotten; one that broke off earlier is told when it is repeated.
            known = [each async for each in operator.admin.audit() if each.kind == "masterKey.rotated"]
            assert len(known) == (step == "forget")
            rotated = await operator.admin.rotate_master_key()
            assert rotated.resealed == 2
            (last,) = [each async for each in operator.admin.audit() if each.kind == "masterKey.rotated"][len(known) :]
            assert last.entry["data"] == {"keyName": rotated.key_name, "resealed": 2}
            await asked(operator, plant.keys, "newcomer", request_text("newcomer", SECOND))
    assert len((data / "master.key").read_text().split()) == 1
