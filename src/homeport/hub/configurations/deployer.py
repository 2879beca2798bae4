"""Brings twins to what configurations want of them, and counts how far that is (contract hub.md 11.3).

A pass looks at every twin and writes what differs, so that it may be repeated, or broken off, at any time. A change of
a twin, an identity or a configuration asks for a pass soon, and there is one every few minutes; a pass is followed by
ten times its own length of rest, so that large hubs are not kept busy by small changes. Of several processes one makes
the passes; that two do for a moment, when one takes over from another, does no harm.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import msgspec

from homeport.bus import Bus, DeviceChanged, NodesChanged, PassWanted
from homeport.clock import Clock
from homeport.hub import translate
from homeport.hub.configurations.content import (
    EDGE_AGENT,
    applied,
    chosen,
    edge_modules,
    named_modules,
    statuses,
)
from homeport.hub.configurations.metrics import APPLIED, TARGETED, Tally, edge_report
from homeport.hub.configurations.ports import ConfigurationStore
from homeport.hub.configurations.targets import Targets, targets_of
from homeport.hub.errors import HubCode, HubError
from homeport.hub.identifiers import identity_id, module_of
from homeport.hub.identities import SYSTEM_MODULES, IdentityWrite
from homeport.hub.model import (
    Configuration,
    Device,
    JsonObject,
    NoAuthentication,
    Settings,
)
from homeport.hub.query import Source
from homeport.hub.registry import Registry
from homeport.hub.twin_patch import difference
from homeport.hub.twins import Twins

QUIET_SECONDS = 0.5
"""How long changes gather before a pass."""
PERIOD_SECONDS = 300.0
_REST = 10
_RETRY_SECONDS = 10.0
_PAGE = 500
_AT_ONCE = 50
"""Twins worked for at a time: their writes share commits."""
_MANAGED_BY = "iotEdge"

_log = logging.getLogger(__name__)


class Deployer:
    """Applies the configurations of one hub."""

    def __init__(
        self,
        *,
        hub: str,
        store: ConfigurationStore,
        registry: Registry,
        twins: Twins,
        bus: Bus,
        clock: Clock,
        is_mine: Callable[[], bool],
    ) -> None:
        """`is_mine` tells whether this process makes the passes."""
        self._hub = hub
        self._store = store
        self._registry = registry
        self._twins = twins
        self._bus = bus
        self._clock = clock
        self._is_mine = is_mine
        self._wanted = asyncio.Event()
        self._wanted.set()
        twins.watch(lambda _: self.wake())

    def wake(self) -> None:
        """Ask for a pass: something has changed that may matter."""
        self._wanted.set()

    async def run(self) -> None:
        """Make passes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._remind())
            while True:
                await self._wanted.wait()
                await self._clock.sleep(QUIET_SECONDS)
                self._wanted.clear()
                if not self._is_mine():
                    await self._bus.publish(PassWanted(hub=self._hub))
                    continue
                before = self._clock.now()
                try:
                    await self.look()
                except Exception:
                    _log.exception("hub %s: configurations could not be applied; trying again", self._hub)
                    self.wake()
                    await self._clock.sleep(_RETRY_SECONDS)
                length: timedelta = self._clock.now() - before
                await self._clock.sleep(length.total_seconds() * _REST)

    async def look(self) -> None:
        """Make one pass over all twins, if there is any configuration."""
        configurations, traces = await self._store.all(), await self._store.traces()
        if not configurations and not traces:
            return
        plan = [(each, targets_of(each)) for each in configurations]
        tally = Tally(configurations)
        for modules in (False, True):
            after: str | None = None
            while True:
                page = await self._registry.page(after=after, limit=_PAGE, modules=modules)
                for start in range(0, len(page.items), _AT_ONCE):
                    async with asyncio.TaskGroup() as tasks:
                        for device in page.items[start : start + _AT_ONCE]:
                            tasks.create_task(self._look_at(device, plan, tally))
                after = page.after
                if after is None:
                    break
                await asyncio.sleep(0)
        await self._store.record(tally.results(), rid_of=traces)

    async def deploy(self, device_id: str, modules: Mapping[str, Settings]) -> None:
        """Write the content of a deployment to one Edge device. Raises HubError for content that no twin can have."""
        await self._write_modules(device_id, {name: [settings] for name, settings in modules.items()})

    async def _look_at(self, device: Device, plan: Sequence[tuple[Configuration, Targets]], tally: Tally) -> None:
        identity = device.identity
        module_id = module_of(identity.device_id)
        document = msgspec.to_builtins(translate.twin_document(device))
        tally.add_row(Source.DEVICES if module_id is None else Source.MODULES, document)
        targeting = [each for each, targets in plan if targets.selects(identity, document)]
        try:
            await self._apply(device, [each for each in targeting if each.content.modules is None], tally)
            if module_id is None and identity.iot_edge:
                deployments = [each for each in targeting if each.content.modules is not None]
                await self._apply_deployments(identity.device_id, deployments, tally)
        except HubError as error:
            # Deleted or written by others meanwhile, or a twin that would be too large: the next pass tries again.
            _log.info("hub %s: %s was passed over: %s", self._hub, identity.device_id, error.message)

    async def _apply(self, device: Device, targeting: Sequence[Configuration], tally: Tally) -> None:
        """Bring one twin to what the winner among these wants."""
        if module_of(device.identity.device_id) == EDGE_AGENT:
            return  # what it shows is of deployments
        written = chosen(targeting)
        tally.add(targeting, TARGETED)
        for each in written:
            await self._write(device, [each.content.device or each.content.module or {}])
        await self._show(device, statuses(targeting, written))
        tally.add(written, APPLIED)

    async def _apply_deployments(self, device_id: str, targeting: Sequence[Configuration], tally: Tally) -> None:
        """Bring the modules of one Edge device to what its base deployment and the layers above want."""
        written = chosen(targeting)
        tally.add(targeting, TARGETED)
        if written:
            await self._write_modules(device_id, edge_modules(written))
        agent = await self._registry.find(identity_id(device_id, EDGE_AGENT))
        if agent is None:
            return
        await self._show(agent, statuses(targeting, written))
        tally.add(written, APPLIED)
        report = edge_report(agent.twin)
        if report is not None:
            tally.add(written, report.value)

    async def _show(self, device: Device, shown: dict[str, str]) -> None:
        if device.twin.configurations != shown:
            await self._twins.show_configurations(device.identity.device_id, shown)

    async def _write_modules(self, device_id: str, modules: Mapping[str, Sequence[Settings]]) -> None:
        """Write to modules what they are to have, the Edge agent last: it begins when all is there."""
        wanted = set(modules)
        agent_settings = modules.get(EDGE_AGENT, [])
        content: JsonObject = {}
        for settings in agent_settings:
            content = applied(content, settings)
        wanted |= named_modules(content)
        present = {module_of(each.device_id) or "": each for each in await self._registry.modules(device_id)}
        for name in sorted(wanted - present.keys()):
            await self._create(identity_id(device_id, name))
        for name in sorted(modules, key=lambda name: (name == EDGE_AGENT, name)):
            module = await self._registry.find(identity_id(device_id, name))
            if module is not None:
                await self._write(module, modules[name])
        if agent_settings:
            for name, identity in present.items():
                if name not in wanted and name not in SYSTEM_MODULES and identity.managed_by == _MANAGED_BY:
                    await self._registry.delete(identity.device_id, expected_etag=None)

    async def _create(self, identity: str) -> None:
        write = IdentityWrite(device_id=identity, authentication=NoAuthentication(), managed_by=_MANAGED_BY)
        try:
            await self._registry.create(write)
        except HubError as error:
            if error.code is not HubCode.MODULE_ALREADY_EXISTS:
                raise

    async def _write(self, device: Device, layers: Sequence[Settings]) -> None:
        content = wanted = device.twin.desired.content
        for settings in layers:
            wanted = applied(wanted, settings)
        patch = difference(content, wanted)
        if patch:
            await self._twins.patch(device.identity.device_id, tags=None, desired=patch, expected_version=None)

    async def _listen(self) -> None:
        async with self._bus.subscribe(DeviceChanged, PassWanted, NodesChanged) as events:
            async for event in events:
                match event:
                    case DeviceChanged(hub=self._hub):
                        self.wake()
                    case PassWanted(hub=self._hub) if self._is_mine():
                        self.wake()
                    case NodesChanged():
                        self.wake()  # it may be this one's turn now

    async def _remind(self) -> None:
        while True:
            await self._clock.sleep(PERIOD_SECONDS)
            self.wake()
