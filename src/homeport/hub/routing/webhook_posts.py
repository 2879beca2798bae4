"""Posts the messages of one partition to a webhook, one after the other, each until it is taken."""

import asyncio
import logging
import re

from homeport.clock import Clock
from homeport.hub.model import StoredTelemetry, WebhookEndpoint
from homeport.hub.routing.couriers import Couriers, DeliveryError, Posted, Progress, backoff, woken
from homeport.hub.routing.documents import webhook_request
from homeport.hub.telemetry import TelemetryStream
from homeport.security.policies import Random

LONGEST_WAIT = 3600
"""Seconds. A webhook that asks for more is asked again after that."""
_AT_ONCE = 64
_NEVER = frozenset({400, 413, 415, 422})
"""The webhook says that it is this message it does not take. Anything else may be mended, and is tried again."""

_log = logging.getLogger(__name__)


async def post_partition(
    hub: str,
    endpoint: WebhookEndpoint,
    stream: TelemetryStream,
    partition: int,
    *,
    progress: Progress,
    couriers: Couriers,
    clock: Clock,
    random: Random,
) -> None:
    """Go on until cancelled."""
    wake = asyncio.Event()
    position = progress.position(partition)
    with stream.reading(partition, wake) as tail:
        while True:
            wake.clear()
            found = await tail.read(position, _AT_ONCE)
            for stored in found:
                await _post(hub, endpoint, stored, progress, couriers, clock, random)
                position = stored.offset + 1
            if not found:
                await woken(wake)


async def _post(
    hub: str,
    endpoint: WebhookEndpoint,
    stored: StoredTelemetry,
    progress: Progress,
    couriers: Couriers,
    clock: Clock,
    random: Random,
) -> None:
    """Send a message until the webhook takes it, or says that it never will."""
    attempts = 0
    while True:
        headers, body = webhook_request(hub, endpoint, stored, int(clock.now().timestamp()))
        wait: float | None = None
        try:
            answer = await couriers.post(endpoint, headers, body)
        except DeliveryError as error:
            reason = str(error)
        else:
            if 200 <= answer.status < 300:
                progress.done(stored.partition, stored.offset + 1)
                return
            reason = f"the webhook answered {answer.status}"
            if answer.status in _NEVER:
                _log.warning(
                    "hub %s: endpoint %s refuses message %d of partition %d: %s",
                    hub, endpoint.name, stored.offset, stored.partition, reason,
                )  # fmt: skip
                progress.skipped(stored.partition, stored.offset + 1, reason)
                return
            wait = _asked(answer)
        progress.failed(reason)
        await clock.sleep(backoff(attempts, random) if wait is None else wait)
        attempts += 1


def _asked(answer: Posted) -> float | None:
    """Return how many seconds the webhook asks us to wait."""
    text = answer.headers.get("retry-after", "").strip()
    return min(int(text[:9]), LONGEST_WAIT) if re.fullmatch(r"[0-9]+", text) else None
