"""A provisioning storm: ten seconds' worth of devices at the same moment, who come back when told to.

What is asked: is the server as fast as without a storm, does it answer what it accepts, is its memory bounded, are
those who are in already served, and how soon is all as before.
"""

import heapq
import json
import random
import resource
import select
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from OpenSSL import SSL

from bench.conversations import ask, register_https
from bench.devices import Device, KeyGroup, Service
from bench.figures import latencies_ms, median, percentile, significant
from bench.link import Link, PeerEndedError
from bench.processes import memory_mib, settled_cpu_seconds
from bench.rounds import Task, run_round

_POLL_SECONDS = 2.0
"""What SDKs do, and the poll budget allows."""
_FIRST_BACKOFF, _LONGEST_BACKOFF = 1.0, 8.0
"""Of a device whose connection was refused, and which was told nothing."""
_SAMPLE_SECONDS = 0.25
_AS_BEFORE = 2.0
_RECOVERY_LIMIT = 10.0
_HEAD_START = 1.0
_AT_A_TIME = 500

Pause = float
Story = Generator[int | Pause, None, None]
"""A device's doings; yields what it waits for: an epoll event, or so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`times` as many devices at once as the server registers in a second, from `addresses` networks."""

    tls: str = "1.3"
    times: float = 10
    addresses: int = 500
    bystanders: int = 20
    peak_count: int = 1000
    at_once: int = 50
    probes: int = 20
    """Registrations one at a time that say what is usual."""
    seconds: float = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Latencies are of accepted attempts, from the first packet to the answer."""

    devices: int
    addresses: int
    peak_per_second: float
    storm_seconds: float
    storm_per_second: float
    ratio: float
    """Of the storm's throughput to the peak's."""
    peak_cpu_ms: float
    storm_cpu_ms: float
    """Processor time of the server for each device that got in, refusals and the bystanders' polls included."""
    attempts: int
    throttled: int
    """Attempts answered 429."""
    reset: int
    """Attempts whose connection was refused."""
    assigning: int
    """Attempts that were accepted, and had to poll."""
    p50_ms: float
    p90_ms: float
    p99_ms: float
    poll_p50_ms: float
    poll_p99_ms: float
    polls: int
    idle_mib: float
    most_mib: float
    after_mib: float
    recovery_seconds: float
    """From the last device's answer until a registration takes less than twice what it took before."""


@dataclass(slots=True)
class Storm:
    """What happens to the devices; `left` are not in yet."""

    service: Service
    context: SSL.Context
    latencies: list[float] = field(default_factory=list)
    polls: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    left: int = 0
    last_answer: float = 0.0

    def device(self, device: Device, source: str, holder: list[Link]) -> Story:
        """Register until it is done, as an honest client does."""
        backoff = _FIRST_BACKOFF
        while True:
            link = Link(self.service.https, self.context, device.credential, source=source)
            holder[:] = [link]
            try:
                path = f"/{self.service.id_scope}/registrations/{device.name}/register"
                yield from link.open()
                status, headers, body = yield from ask(link, device, "PUT", path, self.service.address)
            except (OSError, PeerEndedError, SSL.Error):
                link.socket.close()
                self.outcomes["reset"] += 1
                yield backoff * random.uniform(0.5, 1.5)  # spreads retries
                backoff = min(backoff * 2, _LONGEST_BACKOFF)
                continue
            while status == 202 and b'"status":"assigning"' in body:
                self.outcomes["assigning"] += 1
                yield float(headers["retry-after"])
                operation = json.loads(body)["operationId"]
                path = f"/{self.service.id_scope}/registrations/{device.name}/operations/{operation}"
                status, headers, body = yield from ask(link, device, "GET", path, self.service.address)
            link.socket.close()
            if status in {200, 202} and b'"status":"assigned"' in body:
                self.latencies.append(link.answered - link.began)
                self.last_answer = link.answered
                self.left -= 1
                return
            if status != 429:
                raise RuntimeError(f"{status} {body!r}")
            self.outcomes["throttled"] += 1
            yield float(headers["retry-after"]) + random.random()  # clients are not in step

    def bystander(self, device: Device, source: str, holder: list[Link]) -> Story:
        """Register before the storm, and poll on the same connection until it is over."""
        link = Link(self.service.https, self.context, device.credential, source=source)
        holder[:] = [link]
        base = f"/{self.service.id_scope}/registrations/{device.name}"
        yield from link.open()
        _, _, body = yield from ask(link, device, "PUT", f"{base}/register", self.service.address)
        operation = json.loads(body)["operationId"]
        while self.left:
            yield _POLL_SECONDS
            began = time.perf_counter()
            path = f"{base}/operations/{operation}"
            status, _, body = yield from ask(link, device, "GET", path, self.service.address)
            if status != 200:
                raise RuntimeError(f"a poll was answered {status} {body!r}")
            self.polls.append(time.perf_counter() - began)
        link.socket.close()


def measure(service: Service, pid: int, plan: Plan, say: Callable[[str], None]) -> Report:
    """Measure the peak, then the storm, then the calm after it."""
    allow_many_connections()
    group = KeyGroup(service, "bench-storm", tls=plan.tls)
    task = Task(
        name="https",
        talk=lambda link, device: register_https(link, device, service.id_scope, service.address),
        place=service.https,
        pid=pid,
    )
    say("storm: what the server can do")
    run_round(task, group.context, group.devices("storm-warm", min(plan.peak_count, 100)), at_once=10)
    peaks = [
        run_round(task, group.context, group.devices(f"storm-peak-{number}", plan.peak_count), at_once=plan.at_once)
        for number in range(3)
    ]
    peak = median([each.per_second for each in peaks])
    calm = [
        run_round(task, group.context, group.devices(f"storm-calm-{number}", 1), at_once=1).latencies[0]
        for number in range(plan.probes)
    ]
    count = max(1, round(peak * plan.times))
    say(f"storm: {count} devices at once")
    idle, processor = memory_mib(pid), settled_cpu_seconds(pid)
    storm = Storm(service, group.context, left=count)
    sources = [f"127.{10 + number // 250}.{number % 250}.1" for number in range(plan.addresses)]
    most, seconds = rage(storm, group.devices("storm", count), group.devices("bystander", plan.bystanders), sources,
                          pid, plan.seconds)  # fmt: skip
    processor = settled_cpu_seconds(pid) - processor
    recovered = storm.last_answer
    number = 0
    while recovered - storm.last_answer < _RECOVERY_LIMIT:
        (latency,) = run_round(task, group.context, group.devices(f"storm-after-{number}", 1), at_once=1).latencies
        recovered = time.perf_counter()
        if latency < median(calm) * _AS_BEFORE:
            break
        number += 1
    polls = sorted(storm.polls)
    return Report(
        devices=count,
        addresses=plan.addresses,
        peak_per_second=significant(peak),
        storm_seconds=significant(seconds),
        peak_cpu_ms=median([each.server_ms for each in peaks]),
        storm_cpu_ms=significant(processor / count * 1000),
        storm_per_second=significant(count / seconds),
        ratio=significant(count / seconds / peak),
        attempts=count + storm.outcomes["throttled"] + storm.outcomes["reset"],
        throttled=storm.outcomes["throttled"],
        reset=storm.outcomes["reset"],
        assigning=storm.outcomes["assigning"],
        **latencies_ms(storm.latencies),
        poll_p50_ms=significant(percentile(polls, 50) * 1000) if polls else 0.0,
        poll_p99_ms=significant(percentile(polls, 99) * 1000) if polls else 0.0,
        polls=len(polls),
        idle_mib=significant(idle),
        most_mib=significant(most),
        after_mib=significant(memory_mib(pid)),
        recovery_seconds=significant(recovered - storm.last_answer),
    )


def rage(
    storm: Storm, devices: Sequence[Device], bystanders: Sequence[Device], sources: Sequence[str], pid: int,
    limit: float,
) -> tuple[float, float]:  # fmt: skip
    """Let it happen; return the server's largest memory in MiB, and the seconds until the last device is in."""
    began = time.perf_counter()
    wakes: list[tuple[float, int]] = []
    stories: dict[int, tuple[Story, list[Link]]] = {}
    for number, device in enumerate((*bystanders, *devices)):
        holder: list[Link] = []
        bystands = number < len(bystanders)
        tell = storm.bystander if bystands else storm.device
        stories[number] = (tell(device, sources[number % len(sources)], holder), holder)
        # Those who are to be in already get a moment.
        heapq.heappush(wakes, (began if bystands else began + _HEAD_START, number))
    most, sample = memory_mib(pid), began
    with select.epoll() as poll:
        watches = _Watches(poll)
        while stories:
            now = time.perf_counter()
            if now - began > limit:
                raise TimeoutError(f"{storm.left} devices are not in after {limit:g} s")
            if now >= sample:
                most, sample = max(most, memory_mib(pid)), now + _SAMPLE_SECONDS
            ready = [number for descriptor, _ in poll.poll(_until(wakes)) if (number := watches.who(descriptor)) >= 0]
            while wakes and wakes[0][0] <= now and len(ready) < _AT_A_TIME:
                ready.append(heapq.heappop(wakes)[1])
            for number in ready:
                story, holder = stories[number]
                wanted = next(story, None)
                watches.watch(number, holder[0], wanted if isinstance(wanted, int) else None)
                if wanted is None:
                    del stories[number]
                elif isinstance(wanted, float):
                    heapq.heappush(wakes, (time.perf_counter() + wanted, number))
    return most, storm.last_answer - began - _HEAD_START


def _until(wakes: Sequence[tuple[float, int]]) -> float:
    soonest = wakes[0][0] - time.perf_counter() if wakes else _SAMPLE_SECONDS
    return max(0.0, min(soonest, _SAMPLE_SECONDS))


class _Watches:
    """Which story waits for which descriptor; a closed socket leaves epoll by itself, and its number is used again."""

    def __init__(self, poll: select.epoll) -> None:
        self._poll = poll
        self._numbers: dict[int, int] = {}
        self._watched: dict[int, tuple[Link, int, int]] = {}

    def who(self, descriptor: int) -> int:
        return self._numbers.get(descriptor, -1)

    def watch(self, number: int, link: Link, events: int | None) -> None:
        """Watch this link for the story from now on; None: watch nothing."""
        before, descriptor, watched = self._watched.get(number, (None, -1, 0))
        if events is not None and before is link:
            if events != watched:
                self._poll.modify(descriptor, events)
                self._watched[number] = (link, descriptor, events)
            return
        if before is not None:
            del self._watched[number]
            if self._numbers.get(descriptor) == number:
                del self._numbers[descriptor]
            if before.socket.fileno() >= 0:
                self._poll.unregister(descriptor)
        if events is not None:
            descriptor = link.socket.fileno()
            self._poll.register(descriptor, events)
            self._numbers[descriptor] = number
            self._watched[number] = (link, descriptor, events)


def allow_many_connections() -> None:
    """Raise the limit of open files as far as this process may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
