"""What stands between the network and the work: IP filter, arrivals, admission; and how it is measured."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from homeport.app.config import Config
from homeport.app.ip_filtering import LiveIpFilter
from homeport.clock import Clock
from homeport.dps.administration import IpFilterStore
from homeport.dps.admission import Admission
from homeport.net.arrivals import Arrivals
from homeport.net.screening import Screen
from homeport.security.policies import Random


class Protection(Struct, frozen=True, kw_only=True):
    """One process's; connections are counted over all listeners."""

    ip_filter: LiveIpFilter
    screen: Screen
    arrivals: Arrivals
    admission: Admission
    trusted_proxies: Sequence[str]

    @property
    def is_shedding(self) -> bool:
        """Whether work was lately refused because there was more than this process can do."""
        return self.admission.is_shedding or self.arrivals.is_shedding

    @property
    def background(self) -> Sequence[Callable[[], Coroutine[Any, Any, None]]]:
        """What must run beside the listeners."""
        return (self.ip_filter.run,)


async def protection(
    config: Config, store: IpFilterStore, registry: CollectorRegistry, *, clock: Clock, random: Random
) -> Protection:
    """Make the parts, with the IP filter's rules as they stand now. Raises HomeportError if they cannot be read."""
    ip_filter = LiveIpFilter(store, clock, enabled=config.ip_filter)
    await ip_filter.refresh()
    admission = Admission(clock, random, rates=config.limits.rates, gate=config.limits.gate)
    made = Protection(
        ip_filter=ip_filter,
        screen=Screen(ip_filter.allows),
        arrivals=Arrivals(
            config.limits.arrivals, now=asyncio.get_running_loop().time, is_busy=lambda: admission.is_busy
        ),
        admission=admission,
        trusted_proxies=config.trusted_proxies,
    )
    registry.register(_Figures(made))
    return made


class _Figures(Collector):
    """Reads the counters where they are kept, when somebody asks."""

    def __init__(self, made: Protection) -> None:
        self._protection = made

    def collect(self) -> Iterator[Metric]:
        arrivals, admission = self._protection.arrivals, self._protection.admission
        for name, value, text in (
            ("homeport_connections", arrivals.connections, "Open connections of devices and API clients."),
            ("homeport_handshakes", arrivals.handshakes, "TLS handshakes under way."),
            ("homeport_handshakes_waiting", arrivals.waiting, "Connections that wait to shake hands."),
            ("homeport_shedding", int(self._protection.is_shedding), "1 while there is more work than can be done."),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        refused = CounterMetricFamily("homeport_connections_refused", "Connections reset at once.", labels=["limit"])
        for limit, count in arrivals.refused.items():
            refused.add_metric([limit.value], count)
        filtered = CounterMetricFamily(
            "homeport_ip_filter_refused", "Connections and requests refused by the IP filter.", labels=["door"]
        )
        for door, count in self._protection.ip_filter.refused.items():
            filtered.add_metric([door.value], count)
        throttled = CounterMetricFamily("homeport_throttled", "Calls over a rate.", labels=["call", "scope"])
        for (call, scope), count in admission.throttled.items():
            throttled.add_metric([call.value, scope.value], count)
        shed = CounterMetricFamily("homeport_shed", "Calls that got no turn in time.", labels=["call"])
        in_flight = GaugeMetricFamily("homeport_calls_in_flight", "Calls being worked on.", labels=["call"])
        waiting = GaugeMetricFamily("homeport_calls_waiting", "Calls that wait for their turn.", labels=["call"])
        for call, gate in admission.gates.items():
            shed.add_metric([call.value], gate.refused)
            in_flight.add_metric([call.value], gate.in_flight)
            waiting.add_metric([call.value], gate.waiting)
        yield from (refused, filtered, throttled, shed, in_flight, waiting)
