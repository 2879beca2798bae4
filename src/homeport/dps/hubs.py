"""The hubs devices are assigned to: list, create here, link elsewhere, weigh, unlink (contract dps.md 8.10).

A hub of our own is made by whoever serves it; this service only asks for it, and remembers the link.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from homeport.bus import Bus, HubsChanged
from homeport.clock import Clock
from homeport.dps.hub_health import HubHealth, HubHealthMonitor
from homeport.dps.model import LinkedHub
from homeport.dps.ports import LinkedHubStore, RegistrationStore
from homeport.errors import Code, HomeportError
from homeport.security.callers import SYSTEM, Caller
from homeport.security.sas import SasError, decode_key
from homeport.security.x509 import CertificateError, check_authorities
from homeport.values import replace

MAX_HUBS = 50
MAX_WEIGHT = 1000
MAX_DEVICES = 1_000_000_000
_MAX_REGION = 64
_REST_PER_COUNT = 20.0
"""Counting takes an eighth of a second where a million are registered: it is not done for more than 5 % of the time."""
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9\-]{0,61}[A-Za-z0-9])?")
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9\-_.]*[A-Za-z0-9])?")
_MAX_CONNECTION_STRING = 2048
_MAX_CA_CERTIFICATES = 64 * 1024


class HubAdministration(Protocol):
    """Whoever serves hubs in this installation."""

    async def create(self, name: str, host_names: Sequence[str]) -> str:
        """Make a hub and serve it; return the host name devices are sent to.

        May be repeated: an existing hub of that name with the same host names is left as it is. Raises
        HomeportError HUB_EXISTS if name or host names are another hub's, INVALID_REQUEST if they cannot be served.
        """
        ...


class Share(Struct, frozen=True, kw_only=True):
    """How a hub takes part in allocation; None leaves a value as it is, or takes the default.

    `max_devices` 0 takes the limit away, an empty `region` the region.
    """

    allocation_weight: int | None = None
    apply_allocation_policy: bool | None = None
    draining: bool | None = None
    max_devices: int | None = None
    region: str | None = None

    def applied_to(self, hub: LinkedHub) -> LinkedHub:
        """Return the hub with these values. Raises HomeportError INVALID_REQUEST for a value out of range."""
        weight, applies, most = self.allocation_weight, self.apply_allocation_policy, self.max_devices
        if weight is not None and not 1 <= weight <= MAX_WEIGHT:
            raise HomeportError(Code.INVALID_REQUEST, f"allocationWeight is not between 1 and {MAX_WEIGHT}.")
        if most is not None and not 0 <= most <= MAX_DEVICES:
            raise HomeportError(Code.INVALID_REQUEST, f"maxDevices is not between 1 and {MAX_DEVICES}, or 0 for none.")
        if self.region and len(self.region) > _MAX_REGION:
            raise HomeportError(Code.INVALID_REQUEST, f"region is longer than {_MAX_REGION} characters.")
        return replace(
            hub,
            allocation_weight=hub.allocation_weight if weight is None else weight,
            apply_allocation_policy=hub.apply_allocation_policy if applies is None else applies,
            draining=hub.draining if self.draining is None else self.draining,
            max_devices=hub.max_devices if most is None else most or None,
            region=hub.region if self.region is None else self.region or None,
        )


class HubStanding(Struct, frozen=True, kw_only=True):
    """A linked hub, how many devices are assigned to it or on their way, and how it was when last looked at."""

    hub: LinkedHub
    devices: int
    health: HubHealth | None


class HubService:
    """Answers administrators about linked hubs. `administration` None: this server serves no hubs of its own."""

    def __init__(
        self,
        *,
        hubs: LinkedHubStore,
        registrations: RegistrationStore,
        administration: HubAdministration | None,
        health: HubHealthMonitor,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._hubs = hubs
        self._registrations = registrations
        self._health = health
        self._counted: Mapping[str, int] = {}
        self._count_again_at = 0.0
        self._administration = administration
        self._bus = bus
        self._clock = clock

    async def all(self) -> Sequence[LinkedHub]:
        """Return every linked hub in name order."""
        return await self._hubs.all()

    async def standings(self) -> Sequence[HubStanding]:
        """Return every linked hub in name order, with its devices and its health."""
        hubs, devices = await self._hubs.all(), await self._devices()
        return [
            HubStanding(hub=hub, devices=devices.get(hub.host_name.lower(), 0), health=self._health.latest(hub))
            for hub in hubs
        ]

    async def _devices(self) -> Mapping[str, int]:
        """Count devices by hub; those of capped hubs are exact, others as old as counting them has earned."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._count_again_at:
            begun = loop.time()
            self._counted = await self._registrations.devices_by_hub()
            self._count_again_at = loop.time() + (loop.time() - begun) * _REST_PER_COUNT
        return {**self._counted, **await self._hubs.occupied()}

    async def standing(self, name: str) -> HubStanding:
        """Return one linked hub. Raises NOT_FOUND."""
        for standing in await self.standings():
            if standing.hub.name.lower() == name.lower():
                return standing
        raise HomeportError(Code.NOT_FOUND, "No hub of that name is linked.")

    async def check(self, name: str) -> HubStanding:
        """Look at one link now. Raises NOT_FOUND."""
        standing = await self.standing(name)
        return replace(standing, health=await self._health.check(standing.hub))

    async def create(self, name: str, host_names: Sequence[str], share: Share, *, by: Caller = SYSTEM) -> LinkedHub:
        """Make a hub here and link it. Raises HUB_EXISTS or INVALID_REQUEST."""
        if self._administration is None:
            raise HomeportError(Code.INVALID_REQUEST, "This server serves no hubs of its own.")
        if not host_names or any(_HOST.fullmatch(host) is None for host in host_names):
            raise HomeportError(Code.INVALID_REQUEST, "hostNames is not a list of at least one host name.")
        hub = share.applied_to(LinkedHub(name=name, host_name=host_names[0], created_at=self._clock.now()))
        await self._check_new(hub)
        primary = await self._administration.create(name, host_names)
        return await self._link(replace(hub, host_name=primary), by)

    async def link(
        self,
        name: str,
        connection_string: str,
        share: Share,
        *,
        ca_certificates: str | None = None,
        by: Caller = SYSTEM,
    ) -> LinkedHub:
        """Link a hub that runs elsewhere. Raises HUB_EXISTS or INVALID_REQUEST, which never repeats the key."""
        if ca_certificates:
            _check_authorities(ca_certificates)
        hub = share.applied_to(
            LinkedHub(
                name=name,
                host_name=_host_of(connection_string),
                connection_string=connection_string.strip(),
                ca_certificates=ca_certificates or None,
                created_at=self._clock.now(),
            )
        )
        await self._check_new(hub)
        return await self._link(hub, by)

    async def update(self, name: str, share: Share, *, by: Caller = SYSTEM) -> LinkedHub:
        """Change how a hub takes part. Raises NOT_FOUND or INVALID_REQUEST."""
        for hub in await self._hubs.all():
            if hub.name.lower() == name.lower():
                changed = share.applied_to(hub)
                await self._hubs.put(changed, create=False, by=by)
                await self._bus.publish(HubsChanged(name=hub.name))
                return changed
        raise HomeportError(Code.NOT_FOUND, "No hub of that name is linked.")

    async def unlink(self, name: str, *, by: Caller = SYSTEM) -> None:
        """Assign nothing more to a hub; the devices there stay. Raises NOT_FOUND."""
        await self._hubs.delete(name, by=by)
        await self._bus.publish(HubsChanged(name=name))

    async def _link(self, hub: LinkedHub, by: Caller) -> LinkedHub:
        await self._hubs.put(hub, create=True, by=by)
        await self._bus.publish(HubsChanged(name=hub.name))
        return hub

    async def _check_new(self, hub: LinkedHub) -> None:
        """Refuse early what the store would refuse later, before a hub is made for it."""
        if _NAME.fullmatch(hub.name) is None:
            raise HomeportError(
                Code.INVALID_REQUEST, "A hub's name is 1 to 63 letters, digits and hyphens, none at either end."
            )
        linked = await self._hubs.all()
        if len(linked) >= MAX_HUBS:
            raise HomeportError(Code.INVALID_REQUEST, f"At most {MAX_HUBS} hubs can be linked.")
        for other in linked:
            if other.name.lower() == hub.name.lower() or other.host_name.lower() == hub.host_name.lower():
                raise HomeportError(Code.HUB_EXISTS, f"The hub {other.name} ({other.host_name}) is linked already.")


def _check_authorities(text: str) -> None:
    if len(text) > _MAX_CA_CERTIFICATES:
        raise HomeportError(Code.INVALID_REQUEST, "caCertificates is too long.")
    try:
        check_authorities(text)
    except CertificateError as error:
        raise HomeportError(Code.INVALID_REQUEST, f"caCertificates: {error}.") from None


def _host_of(connection_string: str) -> str:
    if len(connection_string) > _MAX_CONNECTION_STRING:
        raise HomeportError(Code.INVALID_REQUEST, "The connection string is too long.")
    parts = dict(part.split("=", 1) for part in connection_string.strip().split(";") if "=" in part)
    for member in ("HostName", "SharedAccessKeyName", "SharedAccessKey"):
        if not parts.get(member):
            raise HomeportError(Code.INVALID_REQUEST, f"The connection string has no {member}.")
    try:
        decode_key(parts["SharedAccessKey"])
    except SasError as error:
        raise HomeportError(Code.INVALID_REQUEST, f"The connection string's SharedAccessKey: {error}.") from None
    # Devices are told the bare name: their clients know the ports (contract dps.md 3.4).
    host, colon, port = parts["HostName"].partition(":")
    if _HOST.fullmatch(host) is None or (colon and not (port.isascii() and port.isdigit())):
        raise HomeportError(Code.INVALID_REQUEST, "The connection string's HostName is not a host name.")
    return host
