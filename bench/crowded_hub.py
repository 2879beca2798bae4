"""Very many devices on one hub: they all connect at once, and then stay and say nothing.

The yardsticks are a bare handshake of the same listener, and an empty process's own memory.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.conversations import connect_hub, shake_hands
from bench.devices import Device, Service
from bench.drive import Conversation, drive
from bench.figures import latencies_ms, significant
from bench.hub import HubKeys
from bench.link import Link, client_context
from bench.processes import cpu_seconds, memory_mib, settled_cpu_seconds

ROUND_LIMIT = 300.0
_NETWORK = "127.91.{}.{}"
"""Devices come from addresses of their own: the server counts connections by address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """So many devices; so long they are watched when they are all there."""

    tls: str = "1.3"
    devices: int = 2000
    idle_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Latencies are from the first packet until the hub has accepted the device."""

    tls: str
    devices: int
    storm_seconds: float
    per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    server_cpu_ms: float
    """Processor time of the server for each device that came in."""
    handshake_cpu_ms: float
    ratio: float
    before_mib: float
    """Resident memory when nobody was connected."""
    idle_mib: float
    """The same when all were."""
    kib_each: float
    idle_cpu_percent: float


def measure(
    service: Service, server_pid: int, connection_string: str, plan: Plan, say: Callable[[str], None]
) -> Report:
    keys = HubKeys(service, connection_string)
    say("crowded hub: devices are created")
    devices = keys.devices("bench-crowd", plan.devices)
    context = client_context(plan.tls)
    say("crowded hub: bare handshakes")
    handshake = _handshakes(service, server_pid, plan)
    before = memory_mib(server_pid)
    say("crowded hub: all connect")
    links = [Link(service.mqtt, context, source=_source(number)) for number in range(len(devices))]
    used = settled_cpu_seconds(server_pid)
    took = drive(_arrivals(links, devices, keys.host), width=len(links), seconds=ROUND_LIMIT)
    used = (settled_cpu_seconds(server_pid) - used) / len(devices) * 1000
    latencies = latencies_ms([link.answered - link.began for link in links])
    say("crowded hub: all are idle")
    idle = cpu_seconds(server_pid)
    time.sleep(plan.idle_seconds)
    idle = (cpu_seconds(server_pid) - idle) / plan.idle_seconds * 100
    filled = memory_mib(server_pid)
    drive((Conversation(link, link.close()) for link in links), width=len(links), seconds=ROUND_LIMIT)
    return Report(
        tls=plan.tls,
        devices=len(devices),
        storm_seconds=significant(took),
        per_second=significant(len(devices) / took),
        **latencies,
        server_cpu_ms=significant(used),
        handshake_cpu_ms=significant(handshake),
        ratio=significant(used / handshake),
        before_mib=significant(before),
        idle_mib=significant(filled),
        kib_each=significant((filled - before) * 1024 / len(devices)),
        idle_cpu_percent=significant(idle),
    )


def _arrivals(links: Sequence[Link], devices: Sequence[Device], host: str) -> list[Conversation]:
    return [
        Conversation(link, connect_hub(link, device.name, host, device.token))
        for link, device in zip(links, devices, strict=True)
    ]


def _handshakes(service: Service, pid: int, plan: Plan) -> float:
    """Return the server's milliseconds for a connection that is opened and left."""
    context = client_context(plan.tls)
    count = min(plan.devices, 500)
    links = [Link(service.mqtt, context, source=_source(number)) for number in range(count)]
    used = settled_cpu_seconds(pid)
    drive((Conversation(link, shake_hands(link)) for link in links), width=count, seconds=ROUND_LIMIT)
    return (settled_cpu_seconds(pid) - used) / count * 1000


def _source(number: int) -> str:
    return _NETWORK.format(number // 250 % 250, number % 250 + 1)
