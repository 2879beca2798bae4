"""Who acts in these tests: an operator with the services' APIs, and devices that know HTTPS or MQTT and TLS."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from homeport.app.directory import ConnectionInfo, DataDirectory
from homeport.client import (
    AttestationMechanism,
    Device,
    EnrollmentGroup,
    IndividualEnrollment,
    InitialTwin,
    NotFoundError,
    RegistrationState,
    Twin,
)
from homeport.client.aio import HomeportAdminClient, HubRegistryClient, ProvisioningServiceClient
from homeport.proto.mqtt import ConnAck, Connect, Connection, Event, PubAck, Publish, ReturnCode, Role
from homeport.security import sas

API_VERSION = "2021-06-01"
ISSUING_API_VERSION = "2026-11-01"
TOKEN_SECONDS = 3600
PATIENCE = 30.0
TOO_MANY = 429
"""Seconds after which a test gives up waiting for what must come."""


def clock_seconds() -> int:
    return int(time.time())


# ---------------------------------------------------------------- the operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A device as one hub knows it."""

    device: Device
    tags: Mapping[str, Any]
    desired: Mapping[str, Any]
    reported: Mapping[str, Any]

    @classmethod
    def of(cls, device: Device, twin: Twin) -> Self:
        assert twin.properties is not None
        desired, reported = (
            {key: value for key, value in section.items() if not key.startswith("$")}
            for section in (twin.properties.desired, twin.properties.reported)
        )
        return cls(device=device, tags=twin.tags, desired=desired, reported=reported)


class IssuingServiceClient(ProvisioningServiceClient):
    """Speaks the version in which enrollments say who issues certificates."""

    API_VERSION = ISSUING_API_VERSION


class Operator:
    """Works with one running server through its public APIs; an async context manager."""

    def __init__(self, data: Path) -> None:
        self._directory = DataDirectory(data)
        self._open = AsyncExitStack()
        self._hubs: dict[str, HubRegistryClient] = {}
        info = self.info
        self.service = IssuingServiceClient.create_from_connection_string(
            info.admin_connection_string, ca_file=info.ca_file
        )
        self.admin = HomeportAdminClient.create_from_connection_string(
            info.admin_connection_string, ca_file=info.ca_file
        )

    @property
    def info(self) -> ConnectionInfo:
        """What the server tells its clients now."""
        return self._directory.read_connection()

    def hub(self, name: str) -> HubRegistryClient:
        """Return the client of a hub of this server."""
        if name not in self._hubs:
            info = self.info
            client = HubRegistryClient.create_from_connection_string(
                info.hub_connection_strings[name], ca_file=info.ca_file
            )
            self._open.push_async_exit(client)
            self._hubs[name] = client
        return self._hubs[name]

    async def enroll_key(self, registration_id: str, **fields: Any) -> str:
        """Let one device in by a key that the service makes; return the key."""
        written = await self.service.create_or_update_individual_enrollment(
            IndividualEnrollment(
                registration_id=registration_id, attestation=AttestationMechanism.for_symmetric_key(), **fields
            )
        )
        return _primary_key(written.attestation)

    async def enroll_group(self, group_id: str, **fields: Any) -> str:
        """Let in all devices with a key derived from the one that is returned."""
        written = await self.service.create_or_update_enrollment_group(
            EnrollmentGroup(
                enrollment_group_id=group_id, attestation=AttestationMechanism.for_symmetric_key(), **fields
            )
        )
        return _primary_key(written.attestation)

    async def send_to(self, registration_id: str, hub: str) -> None:
        """Change an individual enrollment so that its device belongs to this hub alone."""
        enrollment = await self.service.get_individual_enrollment(registration_id)
        enrollment.iot_hubs = [hub]
        await self.service.create_or_update_individual_enrollment(enrollment)

    async def change_desired(self, hub: str, device_id: str, **desired: Any) -> None:
        """Change desired properties of a device's twin at a hub of this server."""
        parts = dict(part.split("=", 1) for part in self.info.hub_connection_strings[hub].split(";"))
        host, policy, key = parts["HostName"], parts["SharedAccessKeyName"], parts["SharedAccessKey"]
        token = sas.sign(quote(host, safe=""), sas.decode_key(key), clock_seconds() + TOKEN_SECONDS, policy)
        async with network(Place.of(self.info)) as http:
            answer = await http.patch(
                f"https://{host}/twins/{device_id}?api-version=2021-04-12",
                headers={"Authorization": token},
                json={"properties": {"desired": desired}},
            )
        assert answer.status_code == 200, answer.text

    async def registration(self, registration_id: str) -> RegistrationState | None:
        try:
            return await self.service.get_registration_state(registration_id)
        except NotFoundError:
            return None

    async def settled(self, registration_id: str) -> RegistrationState | None:
        """Wait until no operation of the device is open, without the device asking; return its record."""
        async with asyncio.timeout(PATIENCE):
            while True:
                state = await self.registration(registration_id)
                if state is None or state.status != "assigning":
                    return state
                await asyncio.sleep(0.05)

    async def homes(self, device_id: str) -> dict[str, Home]:
        """Return every hub of this server that knows the device, by its host name."""
        found = {}
        for name in self.info.hub_connection_strings:
            hub = self.hub(name)
            try:
                device, twin = await hub.get_device(device_id), await hub.get_twin(device_id)
            except NotFoundError:
                continue
            found[hub.host_name] = Home.of(device, twin)
        return found

    async def all_homes(self) -> dict[str, list[tuple[str, str]]]:
        """Return where each device lives: hub's host name and the identity's generation."""
        found: dict[str, list[tuple[str, str]]] = {}
        for name in self.info.hub_connection_strings:
            hub = self.hub(name)
            for device in await hub.list_devices():
                found.setdefault(device.device_id, []).append((hub.host_name, str(device.generation_id)))
        return found

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self.service)
        await self._open.enter_async_context(self.admin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()


def _primary_key(attestation: AttestationMechanism) -> str:
    assert attestation.symmetric_key is not None
    assert attestation.symmetric_key.primary_key is not None
    return attestation.symmetric_key.primary_key


def initial_twin(**desired: Any) -> InitialTwin:
    return InitialTwin.of(tags={"site": "north"}, desired=desired)


# ---------------------------------------------------------------- devices over HTTPS


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a provisioning service is, as it stands in a device's factory settings."""

    host: str
    id_scope: str
    ca_file: Path

    @classmethod
    def of(cls, info: ConnectionInfo) -> Self:
        return cls(host=info.global_endpoint, id_scope=info.id_scope, ca_file=Path(info.ca_file))

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the service said to a device."""

    status: int
    retry_after: int | None
    document: Mapping[str, Any]

    @property
    def operation_id(self) -> str:
        return str(self.document["operationId"])

    @property
    def state(self) -> Mapping[str, Any]:
        state: Mapping[str, Any] = self.document["registrationState"]
        return state

    @property
    def outcome(self) -> str:
        return str(self.document.get("status", ""))


@dataclass(slots=True, kw_only=True)
class KeyDevice:
    """A device with a symmetric key that speaks plain HTTPS, each request on its own."""

    registration_id: str
    key: str = field(repr=False)
    place: Place
    http: httpx.AsyncClient = field(repr=False)

    async def register(self, csr: str | None = None) -> Answer:
        """Raises httpx.TransportError when there is no answer. `csr` is a certificate request in Base64."""
        body = {"registrationId": self.registration_id}
        if csr is not None:
            body["csr"] = csr
        return await self._ask("PUT", "register", body)

    async def operation(self, operation_id: str) -> Answer:
        return await self._ask("GET", f"operations/{operation_id}", None)

    async def finished(self, answer: Answer) -> Answer:
        """Poll until the operation has ended.

        The wait the service asks for is shortened, until the poll budget is used up (contract dps.md 3.7).
        """
        operation_id = answer.operation_id
        async with asyncio.timeout(PATIENCE):
            while answer.status == TOO_MANY or answer.outcome == "assigning":
                assert answer.retry_after is not None
                await asyncio.sleep(answer.retry_after if answer.status == TOO_MANY else 0.1)
                answer = await self.operation(operation_id)
        return answer

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        place = self.place
        resource = quote(f"{place.id_scope}/registrations/{self.registration_id}", safe="")
        token = sas.sign(resource, sas.decode_key(self.key), clock_seconds() + TOKEN_SECONDS, "registration")
        response = await self.http.request(
            method,
            f"https://{place.host}/{place.id_scope}/registrations/{self.registration_id}/{path}",
            params={"api-version": API_VERSION if body is None or "csr" not in body else ISSUING_API_VERSION},
            headers={"Authorization": token},
            json=body,
        )
        retry_after = response.headers.get("retry-after")
        return Answer(
            status=response.status_code,
            retry_after=None if retry_after is None else int(retry_after),
            document=response.json(),
        )


@asynccontextmanager
async def network(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    """Open what devices send their HTTPS requests with."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(verify=place.trust(), timeout=PATIENCE, trust_env=False, limits=limits) as http:
        yield http


# ---------------------------------------------------------------- devices over MQTT


class MqttDevice:
    """A device connected to its hub: our engine over a TLS stream; an async context manager.

    Leaving it drops the connection without a goodbye. `address` is where to connect, if the hub's name is no address.
    """

    def __init__(
        self, hub: str, device_id: str, key: str, trust: ssl.SSLContext, *, address: str | None = None
    ) -> None:
        self._hub = hub
        self._address = address or hub
        self._device_id = device_id
        self._key = key
        self._trust = trust
        self._engine = Connection(Role.CLIENT)
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    def send(self, payload: bytes) -> int:
        """Send a telemetry message with QoS 1; return its packet id, which comes back in the acknowledgement."""
        topic = f"devices/{self._device_id}/messages/events/"
        packet_id = self._engine.send(Publish(topic=topic, payload=payload, qos=1))
        assert packet_id is not None
        self._writer.write(self._engine.outgoing())
        return packet_id

    @property
    def in_flight(self) -> int:
        return self._engine.in_flight

    async def acknowledged(self) -> Sequence[int]:
        """Return the packet ids of the next acknowledgements; empty at the end of the stream."""
        while True:
            events = await self._events()
            if not events:
                return ()
            acknowledged = [event.packet_id for event in events if isinstance(event, PubAck)]
            if acknowledged:
                return acknowledged

    async def report(self, **properties: Any) -> None:
        """Write reported properties, and wait until the hub has them."""
        topic = "$iothub/twin/PATCH/properties/reported/?$rid=1"
        self._engine.send(Publish(topic=topic, payload=json.dumps(properties).encode(), qos=1))
        self._writer.write(self._engine.outgoing())
        assert await self.acknowledged(), "the hub took the report"

    async def ended(self) -> None:
        """Wait until the other side has ended the connection."""
        while await self._events():
            pass

    async def _events(self) -> Sequence[Event]:
        while True:
            try:
                data = await self._reader.read(65536)
            except OSError:
                return ()
            if not data:
                return ()
            events = self._engine.receive(data)
            if events:
                return events

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(
            self._address, 8883, ssl=self._trust, server_hostname=self._hub
        )
        resource = quote(f"{self._hub}/devices/{self._device_id}", safe="")
        token = sas.sign(resource, sas.decode_key(self._key), clock_seconds() + TOKEN_SECONDS)
        self._engine.send(
            Connect(
                client_id=self._device_id,
                user_name=f"{self._hub}/{self._device_id}/?api-version=2021-04-12",
                password=token.encode(),
                keep_alive=60,
            )
        )
        self._writer.write(self._engine.outgoing())
        answer = (await self._events())[0]
        assert isinstance(answer, ConnAck)
        assert answer.return_code is ReturnCode.ACCEPTED
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.transport.abort()
