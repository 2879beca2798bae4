"""How provisioning reaches hubs: ours by a call in this process, any other over its registry REST API.

Both are the same HubLink; tests/contract/hublink proves them with one suite.
"""

from collections.abc import Awaitable, Callable
from typing import assert_never

from homeport.clock import Clock
from homeport.dps.joint import JointDevice
from homeport.dps.model import (
    DeviceSpec,
    HubCredential,
    HubDevice,
    LinkedHub,
    SasCredential,
    ThumbprintCredential,
    TwinContent,
    TwinWrite,
)
from homeport.dps.ports import HubLink, HubRefusedError, HubUnavailableError
from homeport.errors import Code, HomeportError
from homeport.hub.errors import HubCode, HubError
from homeport.hub.identities import InitialTwin
from homeport.hub.joining import Joining
from homeport.hub.model import Authentication, SasAuthentication, SelfSignedAuthentication
from homeport.hub.registry import Registry
from homeport.hub.twin_patch import TwinContentError
from homeport.hublinks.registry_rest import HubConnection, RegistryLink
from homeport.net.http_client import HttpClient


class LocalHubLink:
    """A hub of this very process."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def provision(self, spec: DeviceSpec) -> None:
        try:
            await self._registry.provision(
                spec.device_id,
                _authentication(spec.credential),
                iot_edge=spec.iot_edge,
                tags=spec.twin.tags,
                desired=spec.twin.desired,
                reported=spec.twin.reported,
                overwrite_twin=spec.twin_write is TwinWrite.ALWAYS,
                # The outcome is recorded in the same database next, and that write waits for the disk.
                durable=False,
            )
        except TwinContentError as error:
            raise HubRefusedError(str(error)) from error
        except HubError as error:
            if error.code is HubCode.SERVICE_UNAVAILABLE:
                raise HubUnavailableError(error.message) from error
            raise HubRefusedError(error.message) from error
        except HomeportError as error:
            raise _translated(error) from error

    async def read(self, device_id: str) -> HubDevice | None:
        try:
            device = await self._registry.read(device_id)
        except HomeportError as error:
            raise _translated(error) from error
        if device is None:
            return None
        twin = device.twin
        return HubDevice(
            device_id=device_id,
            iot_edge=device.identity.iot_edge,
            twin=TwinContent(tags=twin.tags, desired=twin.desired.content, reported=twin.reported.content),
        )

    async def remove(self, device_id: str) -> None:
        try:
            await self._registry.remove(device_id)
        except HomeportError as error:
            raise _translated(error) from error

    async def withdraw(self, device_id: str, thumbprint: str) -> None:
        try:
            await self._registry.withdraw(device_id, thumbprint)
        except HubError as error:
            if error.code is HubCode.SERVICE_UNAVAILABLE:
                raise HubUnavailableError(error.message) from error
            raise HubRefusedError(error.message) from error
        except HomeportError as error:
            raise _translated(error) from error

    async def check(self) -> None:
        """Return: what this process serves, it can reach."""


class HubLinkDirectory:
    """Finds the link for a linked hub. Owns the connections to hubs elsewhere."""

    def __init__(
        self,
        *,
        local: Callable[[str], Registry | None],
        joining: Callable[[str], Joining | None],
        look_again: Callable[[], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """`local` finds the registry of a hub that this process serves, by its name, `joining` what else it offers.

        `look_again` has it serve the hubs that other processes created meanwhile.
        """
        self._local = local
        self._joining = joining
        self._look_again = look_again
        self._clock = clock
        self._clients: dict[str | None, HttpClient] = {}
        self._remote: dict[tuple[str, str | None], RegistryLink] = {}

    def link(self, hub: LinkedHub) -> HubLink:
        if hub.connection_string is not None:
            return self._remote_link(hub.connection_string, hub.ca_certificates)
        registry = self._local(hub.name)
        return LocalHubLink(registry) if registry is not None else _NewLocalHubLink(hub.name, self._found)

    def new_device(self, hub: LinkedHub, spec: DeviceSpec) -> JointDevice | None:
        """As `JointHubs` has it: our own hubs, whose registry is in the same database."""
        joining = self._find_joining(hub)
        if joining is None or spec.iot_edge:
            return None  # an Edge device's system modules are writes of their own
        twin = InitialTwin(tags=spec.twin.tags, desired=spec.twin.desired, reported=spec.twin.reported)
        try:
            device = joining.new_device(spec.device_id, _authentication(spec.credential), twin)
        except TwinContentError:
            return None  # the long way says what is wrong with it
        return JointDevice(write=device.write, announce=device.announce)

    def known_device(self, hub: LinkedHub, spec: DeviceSpec) -> JointDevice | None:
        """As `JointHubs` has it: a device that our own hub need not change."""
        joining = self._find_joining(hub)
        if joining is None:
            return None
        device = joining.same_device(spec.device_id, _authentication(spec.credential), iot_edge=spec.iot_edge)
        return JointDevice(write=device.write, announce=device.announce)

    def _find_joining(self, hub: LinkedHub) -> Joining | None:
        return self._joining(hub.name) if hub.connection_string is None else None

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def _found(self, name: str) -> Registry | None:
        await self._look_again()
        return self._local(name)

    def _remote_link(self, connection_string: str, ca_certificates: str | None) -> RegistryLink:
        known = self._remote.get((connection_string, ca_certificates))
        if known is None:
            client = self._clients.get(ca_certificates)
            if client is None:
                client = self._clients[ca_certificates] = HttpClient(ca_pem=ca_certificates)
            known = RegistryLink(HubConnection.parse(connection_string), client, self._clock)
            self._remote[(connection_string, ca_certificates)] = known
        return known


class _NewLocalHubLink:
    """A hub of ours that this process does not serve yet: another one created it a moment ago."""

    def __init__(self, name: str, find: Callable[[str], Awaitable[Registry | None]]) -> None:
        self._name = name
        self._find = find

    async def provision(self, spec: DeviceSpec) -> None:
        await (await self._link()).provision(spec)

    async def read(self, device_id: str) -> HubDevice | None:
        return await (await self._link()).read(device_id)

    async def remove(self, device_id: str) -> None:
        await (await self._link()).remove(device_id)

    async def withdraw(self, device_id: str, thumbprint: str) -> None:
        await (await self._link()).withdraw(device_id, thumbprint)

    async def check(self) -> None:
        await self._link()

    async def _link(self) -> LocalHubLink:
        try:
            registry = await self._find(self._name)
        except HomeportError as error:
            raise _translated(error) from error
        if registry is None:
            raise HubUnavailableError(f"hub {self._name} is not served here", retry_after=1.0)
        return LocalHubLink(registry)


def _authentication(credential: HubCredential) -> Authentication:
    match credential:
        case SasCredential():
            return SasAuthentication(primary_key=credential.primary_key, secondary_key=credential.secondary_key)
        case ThumbprintCredential():
            return SelfSignedAuthentication(
                primary_thumbprint=credential.primary, secondary_thumbprint=credential.secondary
            )
        case _:
            assert_never(credential)


def _translated(error: HomeportError) -> HubUnavailableError | HubRefusedError:
    if error.code in {Code.UNAVAILABLE, Code.THROTTLED}:
        return HubUnavailableError(error.message, retry_after=error.retry_after)
    return HubRefusedError(error.message)
