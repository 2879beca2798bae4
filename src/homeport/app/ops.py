"""What operators and orchestrators ask: is it alive, and how much does it do (`/homeport/health`, `/homeport/metrics`).

Both answer without credentials, so they say nothing about devices and hold no names.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import cache

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from homeport import __version__
from homeport.dps.expiry import HolderKind, Scan
from homeport.dps.model import Attempt
from homeport.net.sites import raw_path
from homeport.net.stream import Peer
from homeport.security.expiry import THRESHOLDS

# From a cached answer on a laptop to a hub on another continent.
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """The service's counters, one registry per process object: no globals, so tests do not share them."""

    def __init__(self, *, is_bus_connected: Callable[[], bool] | None = None) -> None:
        """`is_bus_connected` is None where there is no bus."""
        self.registry = CollectorRegistry()
        self._attempts = Counter(
            "homeport_registration_attempts_total",
            "Register calls by transport and outcome.",
            ("transport", "outcome"),
            registry=self.registry,
        )
        self._refusals = Counter(
            "homeport_registration_refusals_total",
            "Refused register calls by error code.",
            ("code",),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "homeport_registration_seconds",
            "Time from the register call to its answer.",
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self._expiring = Gauge(
            "homeport_certificates_expiring",
            "Certificates by whose they are and the days (0: ended) within which they end, as of the daily scan.",
            ("kind", "within_days"),
            registry=self.registry,
        )
        self._hubs = Gauge(
            "homeport_linked_hubs",
            "Linked hubs by how they were when last looked at.",
            ("state",),
            registry=self.registry,
        )

        if is_bus_connected is not None:
            Gauge(
                "homeport_bus_connected", "1 while the bus to other processes can be reached.", registry=self.registry
            ).set_function(lambda: float(is_bus_connected()))

        # `labels` takes a lock and builds strings at every call; both sets of label values are small and ours.
        self._attempts_of = cache(self._attempts.labels)
        self._refusals_of = cache(self._refusals.labels)

    def count(self, attempt: Attempt) -> None:
        self._attempts_of(attempt.transport, attempt.outcome.value).inc()
        if attempt.code is not None:
            self._refusals_of(str(attempt.code)).inc()
        self._seconds.observe(attempt.duration_ms / 1000)

    def expiry(self, scan: Scan) -> None:
        """Take over what a scan found; each certificate counts in the nearest of the spans."""
        for kind in HolderKind:
            for days in (0, *(limit.days for limit in THRESHOLDS)):
                self._expiring.labels(kind.value, str(days)).set(scan.counts.get((kind, days), 0))

    def watch_hubs(self, count: Callable[[], Iterable[tuple[str, int]]]) -> None:
        """Ask `count` for the linked hubs in each state whenever the metrics are read."""

        def number(state: str) -> Callable[[], float]:
            return lambda: float(dict(count())[state])

        for state, _ in count():
            self._hubs.labels(state).set_function(number(state))

    def render(self) -> bytes:
        """Return the text format that Prometheus reads."""
        return generate_latest(self.registry)


class OperationsFrontEnd:
    """Answers `/homeport/health` and `/homeport/metrics` on every site."""

    def __init__(
        self,
        metrics: Metrics,
        is_healthy: Callable[[], Awaitable[bool]],
        is_shedding: Callable[[], bool],
        is_bus_connected: Callable[[], bool] | None = None,
    ) -> None:
        """`is_bus_connected` is None where there is no bus."""
        self._metrics = metrics
        self._is_healthy = is_healthy
        self._is_shedding = is_shedding
        self._is_bus_connected = is_bus_connected

    def owns(self, method: str, path: str) -> bool:
        """Own the two paths whatever the method is."""
        del method
        return path in {"/homeport/health", "/homeport/metrics"}

    async def handle(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        del peer
        if request.method not in {"GET", "HEAD"}:
            return web.json_response({"error": "Only GET is offered here."}, status=405, headers={"Allow": "GET, HEAD"})
        if raw_path(request) == "/homeport/metrics":
            return web.Response(body=self._metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})
        healthy = await self._is_healthy()
        # A server that sheds is well: whoever restarts it for that makes it worse.
        well = "shedding" if self._is_shedding() else "ok"
        body = {"status": well if healthy else "the database does not answer", "version": __version__}
        if self._is_bus_connected is not None:
            # Without it devices are served all the same: no reason to send them elsewhere.
            body["bus"] = "ok" if self._is_bus_connected() else "cannot be reached"
        return web.json_response(body, status=200 if healthy else 503)
