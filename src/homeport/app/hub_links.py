"""How provisioning reaches hubs: ours by a call in this process, any other over its registry REST API.

Both are the same HubLink; tests/contract/hublink proves them with one suite.
"""

from collections.abc import Callable
from typing import assert_never

from homeport.clock import Clock
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


class HubLinkDirectory:
    """Finds the link for a linked hub. Owns the connections to hubs elsewhere."""

    def __init__(self, *, local: Callable[[str], Registry | None], clock: Clock) -> None:
        """`local` finds the registry of a hub that this process serves, by its name."""
        self._local = local
        self._clock = clock
        self._clients: dict[str | None, HttpClient] = {}
        self._remote: dict[tuple[str, str | None], RegistryLink] = {}

    def link(self, hub: LinkedHub) -> HubLink:
        if hub.connection_string is not None:
            return self._remote_link(hub.connection_string, hub.ca_certificates)
        registry = self._local(hub.name)
        return LocalHubLink(registry) if registry is not None else _Absent(hub.name)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    def _remote_link(self, connection_string: str, ca_certificates: str | None) -> RegistryLink:
        known = self._remote.get((connection_string, ca_certificates))
        if known is None:
            client = self._clients.get(ca_certificates)
            if client is None:
                client = self._clients[ca_certificates] = HttpClient(ca_pem=ca_certificates)
            known = RegistryLink(HubConnection.parse(connection_string), client, self._clock)
            self._remote[(connection_string, ca_certificates)] = known
        return known


class _Absent:
    """A hub of ours that this process does not serve yet; another process created it a moment ago."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def provision(self, spec: DeviceSpec) -> None:
        raise self._unavailable(spec.device_id)

    async def read(self, device_id: str) -> HubDevice | None:
        raise self._unavailable(device_id)

    async def remove(self, device_id: str) -> None:
        raise self._unavailable(device_id)

    def _unavailable(self, device_id: str) -> HubUnavailableError:
        return HubUnavailableError(f"{device_id}: hub {self._name} is not served here yet", retry_after=1.0)


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
