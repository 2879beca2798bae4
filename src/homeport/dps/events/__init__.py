"""Lifecycle events: the journal's entries as CloudEvents, for webhooks and live streams. The journal is the outbox."""

from homeport.dps.events.cloud_event import cloud_event
from homeport.dps.events.delivery import EventDelivery
from homeport.dps.events.ports import Answer, SubscriptionStore, Webhook, WebhookError
from homeport.dps.events.service import SubscriptionService
from homeport.dps.events.worker import Tools

__all__ = [
    "Answer",
    "EventDelivery",
    "SubscriptionService",
    "SubscriptionStore",
    "Tools",
    "Webhook",
    "WebhookError",
    "cloud_event",
]
