"""What the AMQP front-end for services of one hub is given: messages to devices, and what is told of them."""

from msgspec import Struct

from homeport.clock import Clock
from homeport.hub.messages import Messages
from homeport.hub.notices import Feedback, FileNotifications


class ServiceSide(Struct, frozen=True, kw_only=True):
    """One hub as services see it over AMQP."""

    hub: str
    messages: Messages
    feedback: Feedback
    file_notifications: FileNotifications
    clock: Clock
