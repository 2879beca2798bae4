"""AMQP for listeners and WebSockets: one conversation for each stream.

Never here: what is said in it.
"""

from homeport.clock import Clock
from homeport.net.amqp_conversation import Conversation
from homeport.net.amqp_limits import AmqpLimits
from homeport.net.conversations import ConversationServer
from homeport.net.sites import Sites

__all__ = ["AmqpLimits", "AmqpServer"]


class AmqpServer(ConversationServer):
    """Speaks AMQP 1.0 on any stream."""

    def __init__(self, sites: Sites, clock: Clock, limits: AmqpLimits | None = None) -> None:
        allowed = limits or AmqpLimits()
        super().__init__(lambda stream, host: Conversation(stream, host, sites, clock, allowed))
