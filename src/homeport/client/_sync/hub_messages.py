# Made by scripts/unasync.py: change its twin in _async instead.
"""The client of what services and devices send each other through a hub (contract hub.md 18)."""

from typing import Any

import httpx

from homeport.client._sync.http import segment
from homeport.client._sync.message_sender import MessageSender
from homeport.client._sync.service_client import ServiceClient
from homeport.client.answers import decode
from homeport.client.hub_message_models import (
    CloudToDeviceMessage,
    FeedbackBatch,
    FeedbackRecord,
    FileNotification,
    FileNotificationDelivery,
)

_FEEDBACK = "/messages/serviceBound/feedback"
_FILES = "/messages/serviceBound/filenotifications"


class HubMessagesClient(ServiceClient):
    """Sends messages to devices, and takes what became of them. Raises ProvisioningServiceError or TransportError."""

    def message_sender(self) -> MessageSender:
        """Return what sends many messages over one connection (AMQP in a WebSocket); close it."""
        session = self._session
        return MessageSender(
            self.host_name, session.authority, session.proof, context=session.context, seconds=session.seconds
        )

    def send_message(self, device_id: str, message: CloudToDeviceMessage, *, module_id: str | None = None) -> None:
        """Queue one message for a device or module, over a connection of its own; see `MessageSender.send`."""
        with self.message_sender() as sender:
            sender.send(device_id, message, module_id=module_id)

    def receive_feedback(self) -> FeedbackBatch | None:
        """Take what became of messages that asked for it; None if nothing waits.

        Complete the batch within a minute, or it comes again.
        """
        response = self._session.send("GET", _FEEDBACK, repeatable=True)
        if response.status_code == 204:
            return None
        return FeedbackBatch(records=decode(response.content, list[FeedbackRecord]), lock_token=_lock(response))

    def complete_feedback(self, batch: FeedbackBatch) -> None:
        """Drop a batch: it is dealt with."""
        self._session.send("DELETE", f"{_FEEDBACK}/{segment(batch.lock_token)}", repeatable=True)

    def abandon_feedback(self, batch: FeedbackBatch) -> None:
        """Give a batch back: it comes again at once."""
        self._session.send("POST", f"{_FEEDBACK}/{segment(batch.lock_token)}/abandon", repeatable=True)

    def receive_file_notification(self) -> FileNotificationDelivery | None:
        """Take the notification of a file that a device has uploaded, like feedback."""
        response = self._session.send("GET", _FILES, repeatable=True)
        if response.status_code == 204:
            return None
        return FileNotificationDelivery(
            notification=decode(response.content, FileNotification), lock_token=_lock(response)
        )

    def complete_file_notification(self, delivery: FileNotificationDelivery) -> None:
        """Drop a notification: it is dealt with."""
        self._session.send("DELETE", f"{_FILES}/{segment(delivery.lock_token)}", repeatable=True)

    def abandon_file_notification(self, delivery: FileNotificationDelivery) -> None:
        """Give a notification back: it comes again at once."""
        self._session.send("POST", f"{_FILES}/{segment(delivery.lock_token)}/abandon", repeatable=True)


def _lock(response: httpx.Response) -> str:
    tag: Any = response.headers.get("etag", "")
    return str(tag).strip('"')
