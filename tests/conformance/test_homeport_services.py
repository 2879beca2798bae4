"""Our own administrators' clients, blocking and asynchronous: enrollments, the record of why, hubs, live telemetry."""

import asyncio
import base64
import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self

import pytest
from azure.iot.device import IoTHubDeviceClient, Message
from msgspec.structs import replace

import homeport.client
import homeport.client.aio
from homeport.client import (
    AttestationMechanism,
    BadRequestError,
    ConflictError,
    ConnectionChange,
    EnrollmentGroup,
    IndividualEnrollment,
    InitialTwin,
    NotFoundError,
    PreconditionFailedError,
    ProvisioningDeviceClient,
    ReprovisionPolicy,
    SymmetricKeySecurityProvider,
    TelemetryMessage,
    UnauthorizedError,
)
from tests.certificates import make_certificate
from tests.conformance.conftest import Service
from tests.conformance.test_python_provisioning import unique

pytestmark = [pytest.mark.conformance, pytest.mark.parametrize("style", ["blocking", "asyncio"])]

SDK = "Python: homeport.client"
EVENT_SECONDS = 20.0
ITERATING = frozenset({"attempts", "registrations", "query", "device_jobs"})


class Awaitable:
    """A blocking client whose methods can be awaited, so that one test proves both worlds."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        if inspect.isgeneratorfunction(method) or name.startswith("query_") or name in ITERATING:
            return lambda *args, **named: _each(method(*args, **named))
        return lambda *args, **named: asyncio.to_thread(method, *args, **named)


async def _each(items: Iterator[Any]) -> AsyncIterator[Any]:
    while True:
        item = await asyncio.to_thread(next, items, items)
        if item is items:
            return
        yield item


def client_of(name: str, style: str, service: Service, connection_string: str) -> Any:
    options = {"ca_file": service.values["HOMEPORT_CA_FILE"]}
    if style == "asyncio":
        return getattr(homeport.client.aio, name).create_from_connection_string(connection_string, **options)
    return Awaitable(getattr(homeport.client, name).create_from_connection_string(connection_string, **options))


@pytest.fixture
async def operator(service: Service, style: str) -> AsyncIterator[Any]:
    text = service.values["HOMEPORT_DPS_CONNECTION_STRING"]
    async with client_of("ProvisioningServiceClient", style, service, text) as client:
        yield client


@pytest.fixture
async def admin(service: Service, style: str) -> AsyncIterator[Any]:
    text = service.values["HOMEPORT_DPS_CONNECTION_STRING"]
    async with client_of("HomeportAdminClient", style, service, text) as client:
        yield client


@pytest.fixture
async def hub(service: Service, style: str) -> AsyncIterator[Any]:
    text = service.hub_connection_string(service.host)
    async with client_of("HubClient", style, service, text) as client:
        yield client


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def with_key(registration_id: str, **more: Any) -> IndividualEnrollment:
    attestation = AttestationMechanism.for_symmetric_key(primary_key=key(), secondary_key=key())
    return IndividualEnrollment(registration_id=registration_id, attestation=attestation, **more)


def key_of(enrollment: IndividualEnrollment) -> str:
    keys = enrollment.attestation.symmetric_key
    assert keys is not None
    assert keys.primary_key is not None
    return keys.primary_key


async def register(service: Service, enrollment: IndividualEnrollment) -> Any:
    provider = SymmetricKeySecurityProvider(enrollment.registration_id, key_of(enrollment))
    client = ProvisioningDeviceClient.create(
        service.host, service.id_scope, provider, transport="https", ca_file=service.values["HOMEPORT_CA_FILE"]
    )
    return await asyncio.to_thread(client.register)


@pytest.mark.matrix(sdk=SDK, feature="individual enrollments, etags, typed errors", transport="https")
async def test_individual_enrollment_life_cycle(service: Service, operator: Any) -> None:
    wanted = with_key(
        unique("own-ind"),
        device_id="wanted-name",
        initial_twin=InitialTwin.of(tags={"site": "north"}, desired={"interval": 5}),
        reprovision_policy=ReprovisionPolicy(update_hub_assignment=True, migrate_device_data=False),
        allocation_policy="static",
        iot_hubs=[service.host],
        optional_device_information={"line": 7},
    )
    registration_id = wanted.registration_id

    created = await operator.create_or_update_individual_enrollment(wanted)
    assert created.etag
    assert created.attestation == wanted.attestation
    assert (created.allocation_policy, created.iot_hubs) == ("static", [service.host])
    assert created.optional_device_information == {"line": 7}
    with pytest.raises(ConflictError) as conflict:
        await operator.create_or_update_individual_enrollment(wanted)
    assert (conflict.value.status, conflict.value.code) == (409, 409201)
    assert conflict.value.tracking_id

    read = await operator.get_individual_enrollment(registration_id)
    assert read.attestation.symmetric_key is None
    assert read.registration_state.status == "unassigned"
    assert read.initial_twin == wanted.initial_twin
    assert await operator.get_individual_attestation_mechanism(registration_id) == wanted.attestation

    # Written back as it was read, without its keys: they stay.
    read.provisioning_status = "disabled"
    updated = await operator.create_or_update_individual_enrollment(read)
    assert updated.etag != created.etag
    assert updated.attestation == wanted.attestation
    assert updated.created_date_time_utc == created.created_date_time_utc
    with pytest.raises(PreconditionFailedError):
        await operator.create_or_update_individual_enrollment(read)
    with pytest.raises(PreconditionFailedError):
        await operator.delete_individual_enrollment(registration_id, etag=created.etag)

    forced = await operator.create_or_update_individual_enrollment(wanted, force=True)
    await operator.delete_individual_enrollment(registration_id, etag=forced.etag)
    with pytest.raises(NotFoundError) as missing:
        await operator.get_individual_enrollment(registration_id)
    assert missing.value.code == 404201
    with pytest.raises(NotFoundError):
        await operator.delete_individual_enrollment(registration_id)


@pytest.mark.matrix(sdk=SDK, feature="enrollment groups and their registrations", transport="https")
async def test_group_life_cycle(operator: Any) -> None:
    root = make_certificate(unique("own service root"), ca=True)
    group = EnrollmentGroup(
        enrollment_group_id=unique("own-grp"), attestation=AttestationMechanism.for_x509_signing(root.pem)
    )
    created = await operator.create_or_update_enrollment_group(group)
    info = created.attestation.x509.signing_certificates.primary.info
    assert info.subject_name == root.certificate.subject.rfc4514_string()
    with pytest.raises(ConflictError) as conflict:
        await operator.create_or_update_enrollment_group(group)
    assert conflict.value.code == 409202
    found = [item.enrollment_group_id async for item in operator.query_enrollment_groups(page_size=3)]
    assert group.enrollment_group_id in found
    assert [state async for state in operator.query_registration_states(group.enrollment_group_id)] == []
    await operator.delete_enrollment_group(group.enrollment_group_id)
    with pytest.raises(NotFoundError) as missing:
        await operator.get_enrollment_group(group.enrollment_group_id)
    assert missing.value.code == 404202


@pytest.mark.matrix(sdk=SDK, feature="queries with paging", transport="https")
async def test_pages(operator: Any) -> None:
    wanted = [unique("own-page") for _ in range(5)]
    for registration_id in wanted:
        await operator.create_or_update_individual_enrollment(with_key(registration_id))
    items, continuation = [], None
    while True:
        page = await operator.page_individual_enrollments(page_size=2, continuation=continuation)
        assert len(page.items) <= 2
        items += [item.registration_id for item in page.items]
        continuation = page.continuation
        if continuation is None:
            break
    assert set(wanted) <= set(items)
    assert len(items) == len(set(items))
    assert [item.registration_id async for item in operator.query_individual_enrollments(page_size=2)] == items


@pytest.mark.matrix(sdk=SDK, feature="refused documents and queries are typed errors", transport="https")
async def test_refusals(service: Service, operator: Any, style: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        await operator.create_or_update_individual_enrollment(with_key(unique("own"), iot_hubs=["elsewhere.example"]))
    assert refused.value.code == 400000
    assert "elsewhere.example" in refused.value.message
    with pytest.raises(BadRequestError) as misread:
        await operator.page_individual_enrollments("SELECT nothing")
    assert misread.value.code == 400005
    wrong = ";".join(
        f"SharedAccessKey={key()}" if part.startswith("SharedAccessKey=") else part
        for part in service.values["HOMEPORT_DPS_CONNECTION_STRING"].split(";")
    )
    async with client_of("ProvisioningServiceClient", style, service, wrong) as stranger:
        with pytest.raises(UnauthorizedError) as unauthorized:
            await stranger.get_individual_enrollment("any")
    assert unauthorized.value.code == 401002


@pytest.mark.matrix(sdk=SDK, feature="registrations, attempts and their why", transport="https")
async def test_why(service: Service, operator: Any, admin: Any) -> None:
    enrollment = await operator.create_or_update_individual_enrollment(with_key(unique("own-why")))
    registration_id = enrollment.registration_id
    assert await admin.why(registration_id) == []
    result = await register(service, enrollment)

    state = await operator.get_registration_state(registration_id)
    assert (state.status, state.assigned_hub, state.device_id) == ("assigned", result.assigned_hub, registration_id)
    (attempt,) = await admin.why(registration_id)
    assert attempt.outcome == "assigned"
    assert [check.name for check in attempt.checks][:3] == ["id scope", "token resource", "enrollment"]
    assert all(check.passed for check in attempt.checks)
    assert await admin.find_attempt(attempt.tracking_id) == attempt
    with pytest.raises(NotFoundError):
        await admin.find_attempt("00000000-0000-0000-0000-000000000000")
    assert (await admin.page_attempts(page_size=1)).items == [attempt]
    listed = [item async for item in admin.registrations(page_size=50)]
    (mine,) = [item for item in listed if item.registration_id == registration_id]
    assert (mine.attestation, mine.enrollment_group_id) == ("symmetricKey", None)

    await operator.delete_registration_state(registration_id)
    with pytest.raises(NotFoundError) as missing:
        await operator.get_registration_state(registration_id)
    assert missing.value.code == 404203


@pytest.mark.matrix(sdk=SDK, feature="linked hubs", transport="https")
async def test_hubs(service: Service, admin: Any) -> None:
    hubs = {hub.name: hub for hub in await admin.hubs()}
    assert {"hub1", "hub2", "hub3"} <= set(hubs)
    assert (hubs["hub1"].host_name, hubs["hub1"].local) == (service.host, True)
    with pytest.raises(ConflictError) as conflict:
        await admin.create_hub("hub2", host_names=["127.0.53.9"])
    assert conflict.value.code == 409204
    changed = await admin.update_hub("hub3", allocation_weight=7, apply_allocation_policy=False)
    assert (changed.allocation_weight, changed.apply_allocation_policy) == (7, False)
    again = await admin.update_hub("hub3", allocation_weight=1, apply_allocation_policy=True)
    # Looked at again since it was changed, and devices come meanwhile.
    assert replace(again, health=None, devices=0) == replace(hubs["hub3"], health=None, devices=0)
    assert (await admin.check_hub("HUB3")).health.state == "healthy"
    with pytest.raises(BadRequestError):
        await admin.update_hub("hub3", allocation_weight=0)
    with pytest.raises(NotFoundError):
        await admin.unlink_hub("no-such-hub")


@pytest.mark.matrix(sdk=SDK, feature="hub registry: devices, twins, statistics", transport="https")
async def test_hub_registry(service: Service, operator: Any, hub: Any) -> None:
    before = await hub.get_registry_statistics()
    enrollment = with_key(
        unique("own-reg"), iot_hubs=[service.host], initial_twin=InitialTwin.of(tags={"floor": 3}, desired={"a": 1})
    )
    await operator.create_or_update_individual_enrollment(enrollment)
    await register(service, enrollment)
    device_id = enrollment.registration_id

    device = await hub.get_device(device_id)
    assert (device.status, device.connection_state) == ("enabled", "Disconnected")
    assert device.authentication.symmetric_key.primary_key == key_of(enrollment)
    assert (await hub.get_twin(device_id)).tags == {"floor": 3}
    assert (await hub.get_registry_statistics()).total_device_count == before.total_device_count + 1
    assert device_id in {twin.device_id async for twin in hub.query_twins(page_size=2)}
    assert device_id in {listed.device_id for listed in await hub.list_devices()}
    with pytest.raises(PreconditionFailedError):
        await hub.delete_device(device_id, etag="c3RhbGU=")
    await hub.delete_device(device_id, etag=device.etag)
    with pytest.raises(NotFoundError) as missing:
        await hub.get_twin(device_id)
    assert missing.value.code == "DeviceNotFound"


@pytest.mark.matrix(sdk=SDK, feature="live telemetry and connections", transport="https")
async def test_live_telemetry(service: Service, operator: Any, hub: Any) -> None:
    enrollment = with_key(unique("own-live"), iot_hubs=[service.host])
    await operator.create_or_update_individual_enrollment(enrollment)
    await register(service, enrollment)
    device_id = enrollment.registration_id
    device = IoTHubDeviceClient.create_from_symmetric_key(
        key_of(enrollment),
        service.host,
        device_id,
        server_verification_cert=service.ca,
    )

    async def send() -> None:
        await asyncio.to_thread(device.connect)
        message = Message("21.5")
        message.custom_properties["plant"] = "north & south"
        await asyncio.to_thread(device.send_message, message)

    def seen_both() -> bool:
        return {"Connected", "21.5"} <= {getattr(event, "connection_state", None) or event.body for event in seen}

    seen: list[Any] = []
    async with asyncio.timeout(EVENT_SECONDS), asyncio.TaskGroup() as group:
        async for event in hub.monitor(kinds=["telemetry", "connection"], device_id=device_id, replay=1):
            seen.append(event)
            if len(seen) == 1:
                group.create_task(send())
            elif len(seen) == 3 and seen_both():
                group.create_task(asyncio.to_thread(device.shutdown))
            elif len(seen) > 3:
                break

    (message,) = [event for event in seen if isinstance(event, TelemetryMessage)]
    assert (message.body, message.properties) == ("21.5", {"plant": "north & south"})
    states = [event.connection_state for event in seen if isinstance(event, ConnectionChange)]
    assert states == ["Disconnected", "Connected", "Disconnected"]
    (replayed,) = await hub.telemetry(device_id)
    assert replayed == message
    assert await hub.telemetry_count(device_id) == 1
    async for event in hub.monitor(kinds=["telemetry"], device_id=device_id, replay=5):
        assert event == message
        break
    with pytest.raises(NotFoundError):
        await anext(hub.monitor(device_id="no-such-device"))
