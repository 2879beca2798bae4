"""A whole simulation: devices made of a seed, enrolled, switched on one after another, and what services do to them."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping
from math import inf
from pathlib import Path
from typing import TypeVar

from homeport.client import ClientError
from homeport.client.aio import HubClient, ProvisioningServiceClient
from homeport.clock import SystemClock
from homeport.simulation.device import Identity, Place, Run, SimulatedDevice
from homeport.simulation.factory import Factory, Provider
from homeport.simulation.measures import Measures, Step
from homeport.simulation.profile import Attestation, Profile

K = TypeVar("K", bound=str)

REGISTERING_AT_ONCE = 64
"""More at once only wait for each other, in the one processor that all simulated devices share."""


def draw_fleet(profile: Profile, seed: int, prefix: str) -> list[Identity]:
    """Return the devices of a profile, the same ones for the same seed."""
    dice = random.Random(f"{seed}:fleet")  # noqa: S311  # repeatable on purpose, and no secret
    attestations = _spread(profile.attestations, profile.devices, dice)
    transports = _spread(profile.transports, profile.devices, dice)
    width = len(str(profile.devices))
    return [
        Identity(
            name=(name := f"{prefix}-{number:0{width}}"),
            attestation=attestation,
            transport=transport,
            starts_after=profile.arrival * (number - 1) / profile.devices,
            dice=random.Random(f"{seed}:{name}"),  # noqa: S311  # likewise
        )
        for number, (attestation, transport) in enumerate(zip(attestations, transports, strict=True), start=1)
    ]


def _spread(shares: Mapping[K, int], count: int, dice: random.Random) -> Iterator[K]:
    """Deal out kinds so that each gets its share as closely as whole numbers allow, in an order of chance."""
    total = sum(shares.values())
    dealt: list[K] = []
    owed = dict.fromkeys(shares, 0.0)
    for _ in range(count):
        for kind, share in shares.items():
            owed[kind] += share / total
        most = max(owed, key=lambda kind: owed[kind])
        owed[most] -= 1
        dealt.append(most)
    dice.shuffle(dealt)
    return iter(dealt)


class Fleet:
    """One run of a profile."""

    def __init__(self, profile: Profile, place: Place, *, seed: int, prefix: str) -> None:
        self.identities = draw_fleet(profile, seed, prefix)
        self.measures = Measures()
        self.enrolled = 0
        self._profile = profile
        self._place = place
        self._seed = seed
        self.prefix = prefix
        self._devices: list[SimulatedDevice] = []
        self._run = Run()

    @property
    def seconds_left(self) -> float | None:
        """How long devices still stay; None while some have not registered yet."""
        return None if self._run.ends == inf else max(0.0, self._run.ends - time.monotonic())

    async def run(
        self,
        service: ProvisioningServiceClient,
        hubs: Mapping[str, HubClient],
        folder: Path,
        *,
        keep: bool,
        tick: Callable[[], None],
        stop: asyncio.Event,
    ) -> None:
        """Enroll, live, and clean up unless `keep`; `tick` is called as things go on, `stop` ends it early.

        `hubs` are services' clients by host name, for commands and for cleaning up; what is missing is left alone.
        Raises ClientError if the devices cannot be enrolled, or if there are devices of such names.
        """
        for host, hub in hubs.items():
            await self._refuse_others(host, hub)
        factory = Factory(service, folder, prefix=self.prefix, now=SystemClock().now(), tags=self._profile.tags)

        def one_more() -> None:
            self.enrolled += 1
            tick()

        providers: dict[str, Provider] = {}
        try:
            wanted: list[tuple[str, Attestation]] = [(each.name, each.attestation) for each in self.identities]
            providers = await factory.make(wanted, one_more)
            for identity in self.identities:
                self.measures.by_transport[identity.transport] += 1
                self.measures.by_attestation[identity.attestation] += 1
                self._devices.append(
                    SimulatedDevice(
                        identity, providers[identity.name], self._place, self._profile, self.measures, self._run
                    )
                )
            await self._live(hubs, tick, stop)
        finally:
            if not keep:
                await self._clean_up(factory, {name: each.registration_id for name, each in providers.items()}, hubs)

    async def _refuse_others(self, host: str, hub: HubClient) -> None:
        """Make sure that nobody's devices are taken over, and at the end deleted. Raises ClientError."""
        # A dot comes right behind a hyphen: what lies between the two begins with the prefix and the hyphen.
        between = f"deviceId > '{self.prefix}-' AND deviceId < '{self.prefix}.'"
        query = f"SELECT deviceId FROM devices WHERE {between}"  # noqa: S608  # the prefix was checked to be harmless
        async for found in hub.query(query, page_size=1):
            raise ClientError(
                f"{host} has devices whose names begin so already, such as {found['deviceId']}: "
                "choose another --seed or --prefix, or delete them"
            )

    async def _live(self, hubs: Mapping[str, HubClient], tick: Callable[[], None], stop: asyncio.Event) -> None:
        gate = asyncio.Semaphore(REGISTERING_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            living = [tasks.create_task(device.live(gate)) for device in self._devices]
            beside = [
                tasks.create_task(_ticking(tick)),
                tasks.create_task(self._command(hubs)),
                tasks.create_task(self._end()),
            ]
            ended = tasks.create_task(stop.wait())
            everybody = tasks.create_task(_all(living))
            await asyncio.wait({ended, everybody}, return_when=asyncio.FIRST_COMPLETED)
            for task in (*living, *beside, ended, everybody):
                task.cancel()
        tick()

    async def _end(self) -> None:
        """Let the run last as long as the profile says from when all devices are there."""
        for device in self._devices:
            await device.has_tried.wait()
        self._run.ends = time.monotonic() + self._profile.duration

    async def _command(self, hubs: Mapping[str, HubClient]) -> None:
        """Call methods of connected devices, one at each interval, whether or not the one before has come back."""
        commands = self._profile.commands
        if commands is None:
            return
        dice = random.Random(f"{self._seed}:commands")  # noqa: S311  # repeatable on purpose, and no secret
        async with asyncio.TaskGroup() as tasks:
            while True:
                await asyncio.sleep(commands.every)
                reachable = [each for each in self._devices if each.reachable and each.result is not None]
                if reachable:
                    tasks.create_task(self._call(dice.choice(reachable), hubs))

    async def _call(self, device: SimulatedDevice, hubs: Mapping[str, HubClient]) -> None:
        commands, result = self._profile.commands, device.result
        assert commands is not None
        assert result is not None
        hub = hubs.get(result.assigned_hub)
        if hub is None:
            return
        begun = time.monotonic()
        try:
            answer = await hub.call_method(result.device_id, commands.method, commands.payload)
        except ClientError as error:
            if device.reachable:  # whoever left meanwhile was not there to answer
                self.measures.fault(Step.COMMAND, error)
            return
        if answer.status != 200:
            self.measures.fault(Step.COMMAND, ClientError(f"the device answered {answer.status}"))
            return
        self.measures.took(Step.COMMAND, time.monotonic() - begun)

    async def _clean_up(
        self, factory: Factory, registrations: Mapping[str, str], hubs: Mapping[str, HubClient]
    ) -> None:
        await factory.clean_up(registrations.values())
        for device in self._devices:
            hub = None if device.result is None else hubs.get(device.result.assigned_hub)
            if hub is not None and device.result is not None:
                try:
                    await hub.delete_device(device.result.device_id)
                except ClientError:
                    continue  # it is gone already, or its hub is: nothing of ours to do


async def _ticking(tick: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(0.1)
        tick()


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)
