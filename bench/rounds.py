"""One round: so many new devices do the same thing, and what that cost server and client."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from OpenSSL import SSL

from bench.devices import Device
from bench.drive import Conversation, drive
from bench.link import Link, Place, Steps
from bench.processes import settled_cpu_seconds

ROUND_LIMIT = 30.0

Talk = Callable[[Link, Device], Steps]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is done, against which server process."""

    name: str
    talk: Talk
    place: Place
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    per_second: float
    server_ms: float
    """Processor time of the server for each device."""
    client_ms: float
    latencies: tuple[float, ...]


def run_round(task: Task, context: SSL.Context, devices: Sequence[Device], *, at_once: int) -> Round:
    """Let every device do the task once, `at_once` of them at any moment."""
    links: list[Link] = []

    def conversations() -> Iterator[Conversation]:
        for device in devices:
            link = Link(task.place, context, device.credential)
            links.append(link)
            yield Conversation(link, task.talk(link, device))

    count = len(devices)
    server, client = settled_cpu_seconds(task.pid), time.process_time()
    seconds = drive(conversations(), width=at_once, seconds=ROUND_LIMIT)
    client = time.process_time() - client
    server = settled_cpu_seconds(task.pid) - server
    return Round(
        per_second=count / seconds,
        server_ms=server / count * 1000,
        client_ms=client / count * 1000,
        latencies=tuple(link.answered - link.began for link in links),
    )
