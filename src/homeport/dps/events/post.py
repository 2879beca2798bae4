"""One event to one webhook: the request, the handshake before the first one, and what an answer means."""

import re
from collections.abc import Mapping
from typing import Any, assert_never

from msgspec import Struct

from homeport.dps.events.cloud_event import binary, structured
from homeport.dps.events.ports import Answer, Webhook, WebhookError
from homeport.dps.model import Mode, Subscription
from homeport.security.webhooks import signature

LONGEST_WAIT = 3600
"""Seconds. A webhook that asks for more is asked again after that."""
_AGAIN = frozenset({408, 425, 429})


class Delivered(Struct, frozen=True):
    """The webhook took the event."""


class Later(Struct, frozen=True):
    """It did not now; `after` is in seconds, None if it did not say."""

    reason: str
    after: int | None = None


class Never(Struct, frozen=True):
    """It refuses this event; trying again will not help."""

    reason: str


Result = Delivered | Later | Never


async def post(webhook: Webhook, subscription: Subscription, event: Mapping[str, Any], *, seconds: int) -> Result:
    """Send an event; `seconds` is the time now, since 1970."""
    match subscription.mode:
        case Mode.STRUCTURED:
            headers, body = structured(event)
        case Mode.BINARY:
            headers, body = binary(event)
        case _:
            assert_never(subscription.mode)
    if subscription.secret is not None:
        headers |= signature(subscription.secret, str(event["id"]), seconds, body)
    try:
        answer = await webhook.call(
            "POST", subscription.url, headers=headers, body=body, ca_certificates=subscription.ca_certificates
        )
    except WebhookError as error:
        return Later(str(error))
    return judge(answer)


def judge(answer: Answer) -> Result:
    """Say what an answer means: success, once more, or never (a redirect is none of ours to follow)."""
    if 200 <= answer.status < 300:
        return Delivered()
    reason = f"the webhook answered {answer.status}"
    if answer.status in _AGAIN or answer.status >= 500:
        wait = answer.headers.get("retry-after", "").strip()
        after = min(int(wait[:9]), LONGEST_WAIT) if re.fullmatch(r"[0-9]+", wait) else None
        return Later(reason, after)
    return Never(reason)


async def handshake(webhook: Webhook, subscription: Subscription, origin: str) -> str | None:
    """Ask whether the address wants events of this origin (CloudEvents webhook 4); returns why not, None if it does."""
    try:
        answer = await webhook.call(
            "OPTIONS",
            subscription.url,
            headers={"WebHook-Request-Origin": origin},
            body=None,
            ca_certificates=subscription.ca_certificates,
        )
    except WebhookError as error:
        return str(error)
    allowed = answer.headers.get("webhook-allowed-origin", "").strip()
    if 200 <= answer.status < 300 and allowed.lower() in {"*", origin.lower()}:
        return None
    told = f"with WebHook-Allowed-Origin {allowed[:100]!r}" if allowed else "without WebHook-Allowed-Origin"
    return f"it answered the handshake (OPTIONS, WebHook-Request-Origin: {origin}) with {answer.status}, {told}"
