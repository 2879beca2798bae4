"""The hubs this Homeport serves: created, found by host name, kept running (contract hub.md 1, 2.1).

A hub's parts are put together in `served_hub.py`. Sockets, sites and certificates are the application's business.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterator, Sequence

from homeport.bus import Bus, HubsChanged
from homeport.clock import Clock
from homeport.faults import FaultLab
from homeport.hub.authorities import RevocationCheck, never_revoked
from homeport.hub.faults import HubConnections
from homeport.hub.hub_stores import OpenHubStores
from homeport.hub.model import Hub, Policy
from homeport.hub.ports import HubStore
from homeport.hub.served_hub import ServedHub
from homeport.peers import Alone, Peers
from homeport.security.policies import Random, default_hub_policies
from homeport.values import replace

RELOAD_SECONDS = 2.0
"""How long a hub that another process created may go unnoticed: hints stay in one process, and looking costs little."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,48}[A-Za-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45}")

_log = logging.getLogger(__name__)


class Hubs:
    """All hubs of this Homeport, by name and by host name."""

    def __init__(
        self,
        *,
        store: HubStore,
        stores: OpenHubStores,
        bus: Bus,
        clock: Clock,
        random: Random,
        revoked: RevocationCheck = never_revoked,
        opened: Callable[[ServedHub], None] = lambda _: None,
        peers: Peers | None = None,
        is_first: Callable[[], bool] = lambda: True,
        faults: FaultLab | None = None,
    ) -> None:
        """Serve what `store` holds; `stores` opens a hub's own stores.

        `opened` is called once for each hub as soon as it can answer, also for those that come later.
        `peers` are the other processes, if there are any, and `is_first` tells whether this one does what only one of
        them should.
        """
        self._store = store
        self._stores = stores
        self._revoked = revoked
        self._peers = peers or Alone()
        self._is_first = is_first
        self._bus = bus
        self._clock = clock
        self._random = random
        self._opened = opened
        self._faults = faults
        self._served: dict[str, ServedHub] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def __iter__(self) -> Iterator[ServedHub]:
        return iter(tuple(self._served.values()))

    def get(self, name: str) -> ServedHub | None:
        return self._served.get(name)

    def find(self, host: str) -> ServedHub | None:
        """Return the hub that answers to a host name, in any letter case, with or without a port."""
        wanted = _bare(host)
        for served in self._served.values():
            if any(_bare(name) == wanted for name in served.hub.host_names):
                return served
        return None

    async def load(self, *, alone: bool = True) -> None:
        """Open the stored hubs. `alone` says that no other process serves them.

        Then nobody is connected yet, and what runs jobs by its lease is dead.
        """
        known = set(self._served)
        await self._reload()
        if alone:
            for served in self:
                if served.name not in known:
                    await served.devices.disconnect_all(now=self._clock.now(), tell=served.sessions.tell)
                    await served.job_store.release()
                    await served.transfer_store.release()
                    await served.routing.release()

    async def create(self, name: str, host_names: Sequence[str]) -> ServedHub:
        """Create a hub with the default policies and serve it. Raises ValueError with what is wrong."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"a hub's name has 1 to 50 letters, digits and hyphens inside; {name!r} is none")
        if not host_names:
            raise ValueError("a hub needs at least one host name")
        for host in host_names:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is not a host name (no port, no scheme)")
        policies = tuple(
            Policy(
                name=policy.name,
                primary_key=policy.primary_key,
                secondary_key=policy.secondary_key,
                rights=frozenset(right.value for right in policy.rights),
            )
            for policy in default_hub_policies(self._random)
        )
        hub = Hub(name=name, host_names=tuple(host_names), policies=policies, created_at=self._clock.now())
        await self._store.create(hub)
        served = await self._open(hub)
        await self._bus.publish(HubsChanged(name=name))
        return served

    async def obey_fault_messages(self, name: str, *, wanted: bool) -> Hub | None:
        """Let a hub obey its devices' fault injection messages, or not; None: there is no such hub."""
        served = self._served.get(name)
        if served is None:
            return None
        hub = replace(served.hub, fault_messages=wanted)
        await self._store.replace(hub)
        served.update(hub)
        await self._bus.publish(HubsChanged(name=name))
        return hub

    async def run(self) -> None:
        """Keep all hubs running and look out for new ones, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for served in self:
                tasks.create_task(served.run())
            tasks.create_task(self._watch())
            tasks.create_task(self._poll())

    async def _open(self, hub: Hub) -> ServedHub:
        known = self._served.get(hub.name)
        if known is not None:
            known.update(hub)
            return known
        served = ServedHub(
            hub,
            stores=self._stores(hub.name),
            revoked=self._revoked,
            bus=self._bus,
            peers=self._peers,
            is_first=self._is_first,
            clock=self._clock,
            random=self._random,
            faults=self._faults,
        )
        # Before the first message: it goes where the routes say.
        await served.routing.refresh()
        known = self._served.setdefault(hub.name, served)
        if known is not served:
            return known
        if self._faults is not None:
            self._faults.attend(hub.name, HubConnections(served.sessions))
        if self._tasks is not None:
            self._tasks.create_task(served.run())
        self._opened(served)
        return served

    async def _reload(self) -> None:
        for hub in await self._store.all():
            await self._open(hub)

    async def _watch(self) -> None:
        async with self._bus.subscribe(HubsChanged) as events:
            async for _ in events:
                await self._reload_calmly()

    async def _poll(self) -> None:
        while True:
            await self._clock.sleep(RELOAD_SECONDS)
            await self._reload_calmly()

    async def _reload_calmly(self) -> None:
        try:
            await self._reload()
        except Exception:
            _log.exception("the hubs could not be read; trying again")


def _bare(host: str) -> str:
    """Take the port off a host name, and what does not distinguish names."""
    if host.count(":") == 1:
        host = host.partition(":")[0]
    return host.rstrip(".").lower()
