"""One suite for every HubLink: a hub of this process, and a hub reached over its registry REST API."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from homeport.app.hub_links import LocalHubLink
from homeport.app.hub_stores import hub_stores
from homeport.app.pki import create_root_ca, issue_server_certificate
from homeport.bus import LocalBus
from homeport.clock import SystemClock
from homeport.dps.model import DeviceSpec, SasCredential, ThumbprintCredential, TwinContent, TwinWrite
from homeport.dps.ports import HubLink, HubRefusedError, HubUnavailableError
from homeport.hub.frontends.site import hub_site
from homeport.hub.hubs import Hubs
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import ConnectionState, DeviceStatus, SasAuthentication, SelfSignedAuthentication
from homeport.hub.served_hub import ServedHub
from homeport.hublinks.registry_rest import HubConnection, RegistryLink
from homeport.net.certificates import ServerCertificates
from homeport.net.http_client import HttpClient
from homeport.net.http_server import HttpServer
from homeport.net.listener import Listener
from homeport.net.mqtt_server import MqttServer
from homeport.net.sites import Sites
from homeport.security.sas import encode_key
from homeport.store import open_stores
from homeport.values import replace

HOST = "127.0.55.1"
KEYS = SasCredential(primary_key=b"p" * 32, secondary_key=b"s" * 32)
TWIN = TwinContent(tags={"site": "north"}, desired={"interval": 5, "nested": {"a": 1}})
SPEC = DeviceSpec(device_id="dev:1%#", credential=KEYS, iot_edge=False, twin=TWIN)


@dataclass(frozen=True, slots=True)
class Place:
    """A hub, the link under test, and the registry to look behind it."""

    link: HubLink
    hub: ServedHub


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[ServedHub]:
    async with AsyncExitStack() as stack, open_stores(":memory:") as stores, HttpClient() as http:
        opened = await stack.enter_async_context(
            hub_stores(stores, tmp_path, http, clock=SystemClock(), random=secrets.token_bytes)
        )
        hubs = Hubs(
            store=stores.hubs,
            stores=opened,
            bus=LocalBus(),
            clock=SystemClock(),
            random=secrets.token_bytes,
        )
        yield await hubs.create("hub1", [HOST])


@pytest.fixture(params=["in process", "over REST"])
async def place(request: pytest.FixtureRequest, hub: ServedHub) -> AsyncIterator[Place]:
    if request.param == "in process":
        yield Place(LocalHubLink(hub.registry), hub)
        return
    async with served(hub) as (port, ca_pem), HttpClient(ca_pem=ca_pem) as http:
        owner = next(policy for policy in hub.hub.policies if policy.name == "iothubowner")
        connection = HubConnection.parse(connection_string(port, owner.name, owner.primary_key))
        yield Place(RegistryLink(connection, http, SystemClock()), hub)


@asynccontextmanager
async def served(hub: ServedHub) -> AsyncIterator[tuple[int, str]]:
    """Serve the hub's API; yield its port, and the authority that vouches for it."""
    clock = SystemClock()
    ca = create_root_ca(name="root", now=clock.now())
    pair = issue_server_certificate(ca, names=[HOST], now=clock.now())
    sites = Sites([hub_site(hub, clock)])
    server = HttpServer(sites, MqttServer(sites, clock))
    certificates = ServerCertificates(pair.certificate, pair.key)
    async with Listener(server, certificates, port=0, addresses=[HOST], grace=1.0) as listener:
        yield listener.addresses[0].port, ca.certificate.decode()


def connection_string(port: int, policy: str, key: bytes) -> str:
    return f"HostName={HOST}:{port};SharedAccessKeyName={policy};SharedAccessKey={encode_key(key)}"


async def test_a_new_device_gets_identity_and_twin_at_once(place: Place) -> None:
    await place.link.provision(SPEC)
    device = await place.hub.registry.read(SPEC.device_id)
    assert device is not None
    assert device.identity.authentication == SasAuthentication(primary_key=b"p" * 32, secondary_key=b"s" * 32)
    assert device.identity.status is DeviceStatus.ENABLED
    assert device.identity.connection_state is ConnectionState.DISCONNECTED
    assert device.twin.tags == {"site": "north"}
    assert device.twin.desired.content == {"interval": 5, "nested": {"a": 1}}
    assert device.twin.reported.content == {}


async def test_thumbprints(place: Place) -> None:
    credential = ThumbprintCredential(primary="AB" * 32, secondary="CD" * 32)
    await place.link.provision(replace(SPEC, credential=credential, iot_edge=True))
    device = await place.hub.registry.read(SPEC.device_id)
    assert device is not None
    assert device.identity.authentication == SelfSignedAuthentication(
        primary_thumbprint="AB" * 32, secondary_thumbprint="CD" * 32
    )
    assert device.identity.iot_edge


async def test_repeating_changes_nothing(place: Place) -> None:
    await place.link.provision(SPEC)
    first = await place.hub.registry.read(SPEC.device_id)
    await place.link.provision(SPEC)
    second = await place.hub.registry.read(SPEC.device_id)
    assert first is not None
    assert second is not None
    assert second.identity.generation_id == first.identity.generation_id
    assert second.identity.authentication == first.identity.authentication
    assert second.twin == first.twin


async def test_an_existing_device_is_taken_over_and_keeps_its_twin(place: Place) -> None:
    await place.hub.registry.create(IdentityWrite(device_id=SPEC.device_id, status_reason="made by hand"))
    await place.hub.twins.patch(SPEC.device_id, tags={"by": "hand"}, desired=None, expected_version=None)
    await place.link.provision(SPEC)
    device = await place.hub.registry.read(SPEC.device_id)
    assert device is not None
    assert device.identity.authentication == SasAuthentication(primary_key=b"p" * 32, secondary_key=b"s" * 32)
    assert device.identity.status_reason == "made by hand"
    assert device.twin.tags == {"by": "hand"}


async def test_a_reset_writes_over_the_twin(place: Place) -> None:
    await place.link.provision(replace(SPEC, twin=TwinContent(tags={"old": 1}, desired={"old": {"deep": 2}})))
    await place.hub.twins.report(SPEC.device_id, {"stays": True})
    await place.link.provision(replace(SPEC, twin_write=TwinWrite.ALWAYS))
    device = await place.hub.registry.read(SPEC.device_id)
    assert device is not None
    assert device.twin.tags == {"site": "north"}
    assert device.twin.desired.content == {"interval": 5, "nested": {"a": 1}}
    assert device.twin.reported.content == {"stays": True}


@pytest.mark.parametrize("exists", [False, True])
async def test_a_migrated_twin_carries_reported_properties(place: Place, exists: bool) -> None:
    if exists:
        await place.link.provision(SPEC)
        await place.hub.twins.report(SPEC.device_id, {"stale": 1, "firmware": {"version": 1, "old": True}})
    moved = replace(TWIN, reported={"firmware": {"version": 7}})
    await place.link.provision(replace(SPEC, twin=moved, twin_write=TwinWrite.ALWAYS))
    device = await place.hub.registry.read(SPEC.device_id)
    assert device is not None
    assert device.twin.reported.content == {"firmware": {"version": 7}}
    assert device.twin.tags == {"site": "north"}


async def test_what_is_read_can_be_written_elsewhere(place: Place) -> None:
    await place.link.provision(replace(SPEC, iot_edge=True))
    await place.hub.twins.report(SPEC.device_id, {"firmware": {"version": 7}})
    read = await place.link.read(SPEC.device_id)
    assert read is not None
    assert read.iot_edge
    assert read.twin == replace(TWIN, reported={"firmware": {"version": 7}})


async def test_a_missing_device_reads_as_none_and_may_be_removed(place: Place) -> None:
    assert await place.link.read("nobody") is None
    await place.link.remove("nobody")
    await place.link.provision(SPEC)
    await place.link.remove(SPEC.device_id)
    assert await place.hub.registry.read(SPEC.device_id) is None


async def test_a_twin_the_hub_does_not_take_is_a_refusal(place: Place) -> None:
    too_large = TwinContent(tags={"text": ["x" * 4000] * 3}, desired={})
    with pytest.raises(HubRefusedError):
        await place.link.provision(replace(SPEC, twin=too_large))
    assert await place.hub.registry.read(SPEC.device_id) is None


async def test_a_link_that_works_is_found_to_work_and_nothing_changes(place: Place) -> None:
    await place.link.provision(SPEC)
    before = await place.hub.registry.read(SPEC.device_id)
    await place.link.check()
    assert await place.hub.registry.read(SPEC.device_id) == before


async def test_a_link_without_the_rights_says_which_is_missing(hub: ServedHub) -> None:
    """Over REST only: a hub of this process asks for no rights."""
    async with served(hub) as (port, ca_pem), HttpClient(ca_pem=ca_pem) as http:
        for policy, missing in (
            ("registryRead", "RegistryWrite"),
            ("service", "RegistryRead"),
            ("device", "RegistryRead"),
        ):
            found = next(each for each in hub.hub.policies if each.name == policy)
            link = RegistryLink(
                HubConnection.parse(connection_string(port, policy, found.primary_key)), http, SystemClock()
            )
            with pytest.raises(HubRefusedError, match=missing) as caught:
                await link.check()
            assert caught.value.unauthorized
        wrong = RegistryLink(
            HubConnection.parse(connection_string(port, "iothubowner", b"w" * 32)), http, SystemClock()
        )
        with pytest.raises(HubRefusedError, match="401") as caught:
            await wrong.check()
        assert caught.value.unauthorized
        with pytest.raises(HubRefusedError) as caught:
            await wrong.provision(SPEC)
        assert caught.value.unauthorized


async def test_a_hub_out_of_reach_is_unavailable() -> None:
    async with HttpClient(seconds=5.0) as http:
        connection = HubConnection.parse(
            f"HostName={HOST}:1;SharedAccessKeyName=iothubowner;SharedAccessKey={encode_key(b'k' * 32)}"
        )
        link = RegistryLink(connection, http, SystemClock())
        with pytest.raises(HubUnavailableError):
            await link.provision(SPEC)


def test_a_connection_string_never_shows_its_key() -> None:
    connection = HubConnection.parse(
        "HostName=h.example;SharedAccessKeyName=p;SharedAccessKey=c2VjcmV0c2VjcmV0c2VjcmV0"
    )
    assert "secret" not in repr(connection)
    with pytest.raises(ValueError, match="SharedAccessKey"):
        HubConnection.parse("HostName=h.example;SharedAccessKeyName=p")


# ---------------------------------------------------------------- certificates that are taken back

OLD, NEW = "AB" * 32, "cd" * 32


def with_certificates(primary: str, secondary: str) -> DeviceSpec:
    return replace(SPEC, credential=ThumbprintCredential(primary=primary, secondary=secondary))


async def thumbprints(place: Place) -> tuple[str | None, str | None]:
    authentication = (await place.hub.registry.get(SPEC.device_id)).authentication
    assert isinstance(authentication, SelfSignedAuthentication)
    return authentication.primary_thumbprint, authentication.secondary_thumbprint


@pytest.mark.parametrize(
    ("named", "left"),
    [
        ((NEW, OLD), (NEW, NEW)),
        ((OLD, NEW), (NEW, NEW)),
        ((OLD, OLD), ("0" * 64, "0" * 64)),
        ((NEW, NEW), (NEW, NEW)),
    ],
)
async def test_a_withdrawn_certificate_is_accepted_no_more(
    place: Place, named: tuple[str, str], left: tuple[str, str]
) -> None:
    await place.link.provision(with_certificates(*named))
    for _ in range(2):
        await place.link.withdraw(SPEC.device_id, OLD.lower())
        assert await thumbprints(place) == left
    device = await place.hub.registry.read(SPEC.device_id)
    assert device is not None
    assert device.twin.tags == {"site": "north"}
    await place.link.provision(with_certificates(NEW, NEW))
    assert await thumbprints(place) == (NEW, NEW)


async def test_withdrawing_what_is_not_there_is_fine(place: Place) -> None:
    await place.link.withdraw("nobody", OLD)
    await place.link.provision(SPEC)
    before = await place.hub.registry.get(SPEC.device_id)
    await place.link.withdraw(SPEC.device_id, OLD)
    assert await place.hub.registry.get(SPEC.device_id) == before
