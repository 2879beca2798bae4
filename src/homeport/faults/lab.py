"""The faults of one process: started, obeyed, stopped, and what they did. All of it ends with the process.

Nothing is stored: a server that was restarted is whole again, whatever was tried on it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from homeport.clock import Clock
from homeport.faults.decisions import NOTHING, Occasion, Point, Verdict, decide, happens, shift_of
from homeport.faults.model import Drop, Effect, Fault, Injection, Kind, Outage, Place, State, Target
from homeport.values import replace

MAX_FAULTS: Final = 100
"""Waiting or active at the same time."""
MAX_ENDED: Final = 100
"""How many that have ended stay listed."""
MAX_HISTORY: Final = 10_000
MAX_COUNTED: Final = 100_000
"""Devices and kinds of calls counted apart under one fault; the longest counted begin anew beyond that."""

_log = logging.getLogger(__name__)


class Connections(Protocol):
    """The open connections of one hub in this process."""

    def connected(self) -> Sequence[str]:
        """Return who is connected: devices and modules."""
        ...

    def cut(self, identity: str, *, orderly: bool) -> str | None:
        """End a connection soon, without waiting; return its transport, None if it has ended already."""
        ...


@dataclass(slots=True, kw_only=True)
class Standing:
    """A fault, and how it is going."""

    fault: Fault
    injected: int = 0
    """How often it had its way."""
    rounds: int = 0
    begun: bool = False
    numbers: dict[tuple[str, Point], int] = field(default_factory=dict, repr=False)
    """Calls so far, by device and kind."""

    def number(self, occasion: Occasion) -> int:
        """Return the number of a call, from 0."""
        key = (occasion.device_id, occasion.point)
        number = self.numbers.pop(key, 0)
        if len(self.numbers) >= MAX_COUNTED:
            del self.numbers[next(iter(self.numbers))]
        self.numbers[key] = number + 1
        return number

    @property
    def next_round(self) -> datetime | None:
        """When connections are to be cut next; None for a fault that cuts none, or no more."""
        match self.fault.effect:
            case Drop(interval=None):
                return self.fault.starts_at if not self.rounds else None
            case Drop(interval=interval):
                assert interval is not None
                return self.fault.starts_at + timedelta(seconds=interval * self.rounds)
            case Outage(devices=True):
                return self.fault.starts_at if not self.rounds else None
            case _:
                return None


class FaultLab:
    """Asked at every occasion while the server was started with it; `run` is to be run beside."""

    def __init__(self, clock: Clock, random: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._random = random
        self._started = 0
        self._standing: dict[str, Standing] = {}
        """Waiting and active, in the order of their start."""
        self._ended: deque[Standing] = deque(maxlen=MAX_ENDED)
        self._history: deque[Injection] = deque(maxlen=MAX_HISTORY)
        self._hubs: dict[str, Connections] = {}
        self._changed = asyncio.Event()

    # ------------------------------------------------------------ for administrators

    def start(
        self,
        effect: Effect,
        target: Target,
        *,
        delay: float = 0.0,
        duration: float | None = None,
        probability: float = 1.0,
        seed: int | None = None,
        query: str | None = None,
        by: str = "",
    ) -> Standing:
        """Start a fault after `delay` seconds, for `duration` seconds or until it is stopped.

        Raises ValueError if there are too many.
        """
        if len(self._standing) >= MAX_FAULTS:
            raise ValueError(f"{MAX_FAULTS} faults are waiting or active; stop some first")
        self._started += 1
        starts_at = self._clock.now() + timedelta(seconds=delay)
        fault = Fault(
            id=f"f-{self._started}",
            effect=effect,
            target=target,
            probability=probability,
            seed=int.from_bytes(self._random(4)) if seed is None else seed,
            starts_at=starts_at,
            ends_at=None if duration is None else starts_at + timedelta(seconds=duration),
            query=query,
            by=by,
        )
        standing = self._standing[fault.id] = Standing(fault=fault)
        self._look()
        self._changed.set()
        return standing

    def stop(self, fault_id: str) -> Standing | None:
        """End a fault now; None if there is no such fault waiting or active."""
        standing = self._standing.get(fault_id)
        if standing is None:
            return None
        now = self._clock.now()
        standing.fault = replace(standing.fault, ends_at=now)
        self._look()
        self._changed.set()
        return standing

    def get(self, fault_id: str) -> Standing | None:
        self._look()
        return self._standing.get(fault_id) or next((each for each in self._ended if each.fault.id == fault_id), None)

    def all(self) -> list[Standing]:
        """Return those that wait or are active, then the last that have ended, newest first."""
        self._look()
        return [*self._standing.values(), *reversed(self._ended)]

    def state(self, standing: Standing) -> State:
        return State.ENDED if standing.fault.id not in self._standing else standing.fault.state(self._clock.now())

    def history(
        self, *, fault_id: str | None = None, device_id: str | None = None, limit: int = 100
    ) -> list[Injection]:
        """Return what was done, newest first. `device_id` means its modules, too."""
        found: list[Injection] = []
        for each in reversed(self._history):
            if fault_id is not None and each.fault_id != fault_id:
                continue
            if device_id is not None and device_id not in (each.device_id, each.device_id.partition("/")[0]):
                continue
            found.append(each)
            if len(found) >= limit:
                break
        return found

    # ------------------------------------------------------------ for those who obey

    def ask(self, occasion: Occasion) -> Verdict:
        """Decide what happens to a call, and take note of it."""
        if not self._standing:
            return NOTHING
        verdict = decide(self._active(), occasion, lambda fault: self._standing[fault.id].number(occasion))
        for fault, detail in verdict.injected:
            self._note(fault, occasion, detail)
        return verdict

    def shift(self, place: Place, device_id: str, hub: str | None = None) -> timedelta:
        """Return by how much the clock is wrong for a device's proof."""
        return timedelta(seconds=shift_of(self._active(), place, device_id, hub)) if self._standing else timedelta()

    def in_force(self, place: Place, device_id: str) -> list[str]:
        """Say which faults lie over a device's call that no verdict tells of: clock shifts, hubs out of reach."""
        told = []
        for fault in self._active():
            match fault.effect:
                case Outage(provisioning=True) if place is Place.PROVISIONING and fault.target.covers_device(device_id):
                    hubs = "all hubs" if fault.target.hubs is None else ", ".join(sorted(fault.target.hubs))
                    told.append(f"fault {fault.id}: provisioning cannot reach {hubs}")
                case _ if shift_of((fault,), place, device_id, None):
                    told.append(f"fault {fault.id}: {fault.describe()}")
                case _:
                    pass
        return told

    def attend(self, hub: str, connections: Connections) -> None:
        """Let the lab cut this hub's connections."""
        self._hubs[hub] = connections

    def note_message(self, device_id: str, hub: str, transport: str, detail: str) -> None:
        """Take note of what a device's own fault injection message has done."""
        _log.warning("fault lab: %s on %s of hub %s: %s", transport, device_id, hub, detail)
        self._add("", Kind.MESSAGE, device_id, hub, Point.SESSION, transport, detail)

    async def run(self) -> None:
        """Cut connections when it is time, and say what begins and ends, until cancelled."""
        while True:
            self._changed.clear()
            due = self._look()
            async with asyncio.TaskGroup() as tasks:
                alarm = tasks.create_task(self._alarm(due))
                await self._changed.wait()
                alarm.cancel()

    # ------------------------------------------------------------ inside

    def _active(self) -> Iterator[Fault]:
        now = self._clock.now()
        return (each.fault for each in tuple(self._standing.values()) if each.fault.state(now) is State.ACTIVE)

    def _look(self) -> datetime | None:
        """Do what is due; return when the next thing is."""
        now = self._clock.now()
        moments: list[datetime] = []
        for standing in tuple(self._standing.values()):
            fault = standing.fault
            if fault.starts_at <= now and not standing.begun and fault.state(now) is State.ACTIVE:
                standing.begun = True
                _log.warning(
                    "fault lab: %s begins: %s, %s, seed %d", fault.id, fault.describe(), whom(fault), fault.seed
                )
            while (due := standing.next_round) is not None and due <= now and fault.state(due) is State.ACTIVE:
                self._cut(standing)
            over = fault.state(now) is State.ENDED or (isinstance(fault.effect, Drop) and standing.next_round is None)
            if over:
                del self._standing[fault.id]
                standing.numbers.clear()
                self._ended.append(standing)
                _log.warning("fault lab: %s has ended; it was injected %s", fault.id, _times(standing.injected))
                continue
            next_round = standing.next_round
            moments += [at for at in (fault.starts_at, fault.ends_at, next_round) if at is not None and at > now]
        return min(moments, default=None)

    def _cut(self, standing: Standing) -> None:
        fault, number = standing.fault, standing.rounds
        standing.rounds += 1
        orderly = isinstance(fault.effect, Drop) and fault.effect.orderly
        for hub, connections in self._hubs.items():
            if not fault.target.covers_hub(hub):
                continue
            for identity in sorted(connections.connected()):
                if not fault.target.covers_device(identity) or not happens(fault, identity, Point.SESSION, number):
                    continue
                transport = connections.cut(identity, orderly=orderly)
                if transport is not None:
                    occasion = Occasion(
                        place=Place.HUB, point=Point.SESSION, device_id=identity, hub=hub, transport=transport
                    )
                    self._note(fault, occasion, "connection closed" if orderly else "connection cut")

    def _note(self, fault: Fault, occasion: Occasion, detail: str) -> None:
        self._standing[fault.id].injected += 1
        self._add(fault.id, fault.kind, occasion.device_id, occasion.hub, occasion.point, occasion.transport, detail)

    def _add(
        self, fault_id: str, kind: Kind, device_id: str, hub: str | None, point: Point, transport: str, detail: str
    ) -> None:
        self._history.append(
            Injection(
                at=self._clock.now(),
                fault_id=fault_id,
                kind=kind,
                device_id=device_id,
                hub=hub,
                point=point,
                transport=transport,
                detail=detail,
            )
        )

    async def _alarm(self, at: datetime | None) -> None:
        if at is not None:
            await self._clock.sleep(max(0.0, (at - self._clock.now()).total_seconds()))
            self._changed.set()


def whom(fault: Fault) -> str:
    """Say in a few words who is meant."""
    target = fault.target
    hubs = "" if target.hubs is None else f" of {', '.join(sorted(target.hubs))}"
    place = " at provisioning" if target.place is Place.PROVISIONING else hubs
    if target.devices is not None:
        shown = sorted(target.devices)
        names = ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
        return f"{names or 'no device'}{place}"
    if target.prefix is not None:
        return f"{target.prefix}*{place}"
    if fault.kind is Kind.OUTAGE:
        return hubs.removeprefix(" of ") or "all hubs"
    return f"all devices{place}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
