"""Puts the fault lab together with the hubs, their links and the provisioning service."""

from collections.abc import Sequence
from typing import Any

from homeport.app.hub_links import HubLinkDirectory
from homeport.dps.model import DeviceSpec, HubDevice, LinkedHub
from homeport.dps.ports import HubLink, HubRefusedError, HubUnavailableError, LinkedHubStore
from homeport.dps.translate_faults import MAX_DEVICES
from homeport.errors import Code, HomeportError
from homeport.faults import FaultLab, Occasion, Place, Point
from homeport.hub.hubs import Hubs
from homeport.hub.query.errors import QueryError
from homeport.hub.selection import read_selection, select

_REFUSED = 404


class FaultedLinks(HubLinkDirectory):
    """Links to hubs that may be out by the lab's will."""

    def __init__(self, lab: FaultLab, **parts: Any) -> None:
        super().__init__(**parts)
        self._lab = lab

    def link(self, hub: LinkedHub) -> HubLink:
        return _FaultedLink(super().link(hub), hub.name, self._lab)

    def _find_joining(self, hub: LinkedHub) -> None:  # noqa: ARG002  # in a lab every device takes the long way
        return None


class _FaultedLink:
    """A HubLink; every call is an occasion."""

    def __init__(self, link: HubLink, hub: str, lab: FaultLab) -> None:
        self._link = link
        self._hub = hub
        self._lab = lab

    async def provision(self, spec: DeviceSpec) -> None:
        self._obey(spec.device_id)
        await self._link.provision(spec)

    async def read(self, device_id: str) -> HubDevice | None:
        self._obey(device_id)
        return await self._link.read(device_id)

    async def remove(self, device_id: str) -> None:
        self._obey(device_id)
        await self._link.remove(device_id)

    async def withdraw(self, device_id: str, thumbprint: str) -> None:
        self._obey(device_id)
        await self._link.withdraw(device_id, thumbprint)

    async def check(self) -> None:
        self._obey("")
        await self._link.check()

    def _obey(self, device_id: str) -> None:
        """Raise HubUnavailableError or HubRefusedError while the hub is out."""
        occasion = Occasion(place=Place.PROVISIONING, point=Point.LINK, device_id=device_id, hub=self._hub)
        refusal = self._lab.ask(occasion).refusal
        if refusal is None:
            return
        if refusal.status == _REFUSED:
            raise HubRefusedError(refusal.text)
        raise HubUnavailableError(refusal.text)


class LabHubs:
    """The hubs that faults may be about (FaultHubs)."""

    def __init__(self, hubs: Hubs, linked: LinkedHubStore) -> None:
        self._hubs = hubs
        self._linked = linked

    async def names(self) -> Sequence[str]:
        return sorted({*(hub.name for hub in await self._linked.all()), *(served.name for served in self._hubs)})

    async def select(self, query: str, hubs: Sequence[str] | None) -> frozenset[str]:
        wanted = None if hubs is None else {name.lower() for name in hubs}
        try:
            selection = read_selection(query)
            found: set[str] = set()
            for served in self._hubs:
                if wanted is not None and served.name.lower() not in wanted:
                    continue
                async for device, _ in select(served.registry, selection, ""):
                    found.add(device.identity.device_id)
                    if len(found) > MAX_DEVICES:
                        raise HomeportError(
                            Code.INVALID_REQUEST, f"The query finds more than {MAX_DEVICES} devices; narrow it."
                        )
        except QueryError as error:
            raise HomeportError(Code.INVALID_QUERY, error.message) from None
        return frozenset(found)

    def obeying(self) -> Sequence[tuple[str, bool]]:
        return [(served.name, served.hub.fault_messages) for served in self._hubs]

    async def obey(self, hub: str, *, wanted: bool) -> bool:
        name = next((served.name for served in self._hubs if served.name.lower() == hub.lower()), hub)
        return await self._hubs.obey_fault_messages(name, wanted=wanted) is not None
