# Made by scripts/unasync.py: change its twin in _async instead.
"""The administrator's client of the fault lab (`/homeport/faults`)."""

from collections.abc import Sequence
from typing import Any

import msgspec

from homeport.client._sync.http import only, segment
from homeport.client._sync.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.fault_models import Fault, FaultInjection, FaultMessages

_FAULTS = "/homeport/faults"


class FaultClient(ServiceClient):
    """Lets things go wrong. Every method raises ProvisioningServiceError or TransportError.

    NotFoundError says that the lab is closed, if the server was started without `--fault-lab`.
    """

    def faults(self) -> list[Fault]:
        """Return the faults that wait or are active, then the last that have ended."""
        return self._get(_FAULTS, list[Fault])

    def fault(self, fault_id: str) -> Fault:
        """Return one fault. NotFoundError if there is none."""
        return self._get(f"{_FAULTS}/{segment(fault_id)}", Fault)

    def start_drop(self, *, interval: float | None = None, orderly: bool = False, **whom: Any) -> Fault:
        """Cut open connections once, or every `interval` seconds; without a word, or `orderly`.

        `whom` and when, here and below: `devices` and `hubs` (ids; all if left out), `prefix`, `query` (a condition
        over twins), `start`, `duration` (seconds; until stopped if left out), `probability` (1.0) and `seed`.
        """
        return self._start("drop", {"intervalSeconds": interval, "orderly": orderly or None}, **whom)

    def start_latency(self, least: float, most: float | None = None, *, at: str = "hub", **whom: Any) -> Fault:
        """Answer later, by `least` to `most` milliseconds; `at` a `hub` or the `provisioning` service."""
        return self._start("latency", {"at": at, "minimumMs": least, "maximumMs": most}, **whom)

    def start_throttling(self, *, retry_after: int | None = None, at: str = "hub", **whom: Any) -> Fault:
        """Refuse calls with 429, to come back after `retry_after` seconds."""
        return self._start("throttle", {"at": at, "retryAfterSeconds": retry_after}, **whom)

    def start_errors(self, *, status: int = 503, at: str = "hub", **whom: Any) -> Fault:
        """Let calls fail with 500 or 503."""
        return self._start("error", {"at": at, "status": status}, **whom)

    def start_clock_shift(self, seconds: float, *, at: str = "hub", **whom: Any) -> Fault:
        """Judge proofs by a clock that is wrong by so many seconds; negative is slow."""
        return self._start("clock", {"at": at, "shiftSeconds": seconds}, **whom)

    def start_outage(self, *, status: int = 503, sides: Sequence[str] | None = None, **whom: Any) -> Fault:
        """Let hubs refuse their `devices` (404, 500 or 503), be out of reach for `provisioning`, or both."""
        return self._start("outage", {"status": status, "sides": sides}, **whom)

    def stop_fault(self, fault_id: str) -> None:
        """End a fault now; one that has ended stays so. NotFoundError if there is none."""
        self._session.send("DELETE", f"{_FAULTS}/{segment(fault_id)}", repeatable=True)

    def fault_history(
        self, *, fault_id: str | None = None, device_id: str | None = None, limit: int = 100
    ) -> list[FaultInjection]:
        """Return what was done to whom, newest first; at most 1000."""
        query = only({"fault": fault_id, "deviceId": device_id, "limit": str(limit)})
        response = self._session.send("GET", f"{_FAULTS}/history", query=query, repeatable=True)
        return decode(response.content, list[FaultInjection])

    def fault_messages(self) -> list[FaultMessages]:
        """Return which hubs obey their devices' fault injection messages."""
        return self._get(f"{_FAULTS}/messages", list[FaultMessages])

    def switch_fault_messages(self, hub: str, *, enabled: bool) -> FaultMessages:
        """Let a hub obey its devices' fault injection messages, or not. NotFoundError if there is no such hub."""
        path = f"{_FAULTS}/messages/{segment(hub)}"
        body = msgspec.json.encode({"enabled": enabled})
        return decode((self._session.send("PUT", path, body=body, repeatable=True)).content, FaultMessages)

    def _start(
        self,
        kind: str,
        effect: dict[str, Any],
        *,
        devices: Sequence[str] | None = None,
        hubs: Sequence[str] | None = None,
        prefix: str | None = None,
        query: str | None = None,
        start: float | None = None,
        duration: float | None = None,
        probability: float | None = None,
        seed: int | None = None,
    ) -> Fault:
        wanted = {
            "kind": kind,
            **effect,
            "devices": devices,
            "hubs": hubs,
            "prefix": prefix,
            "query": query,
            "startInSeconds": start,
            "durationSeconds": duration,
            "probability": probability,
            "seed": seed,
        }
        document = {member: value for member, value in wanted.items() if value is not None}
        response = self._session.send("POST", _FAULTS, body=msgspec.json.encode(document), repeatable=False)
        return decode(response.content, Fault)
