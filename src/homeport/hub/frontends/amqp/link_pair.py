"""Two links that belong together: the directions of a device's twin, or of its methods (contract hub.md 16.2)."""

from collections.abc import Callable
from typing import Final

from homeport.hub.errors import HubCode, HubError
from homeport.hub.frontends.amqp.errors import link_error
from homeport.net.amqp_handlers import AmqpReceiver, AmqpSender
from homeport.proto.amqp import Error

Detach = Callable[[AmqpReceiver | AmqpSender, Error], None]
"""Ends a link of the device, with a reason."""

_CORRELATION_ID: Final = "com.microsoft:channel-correlation-id"


class LinkPair:
    """A pair of one identity on one connection. Links with an equal correlation id are one; a new pair ends the old."""

    def __init__(self, detach: Detach) -> None:
        self.incoming: AmqpReceiver | None = None
        """The link on which the client sends."""
        self.outgoing: AmqpSender | None = None
        """The link on which the client receives."""
        self._detach = detach
        self._key: object = None

    def take_incoming(self, link: AmqpReceiver) -> None:
        self._begin(link)
        self._end(self.incoming)
        self.incoming = link

    def take_outgoing(self, link: AmqpSender) -> None:
        self._begin(link)
        self._end(self.outgoing)
        self.outgoing = link

    def drop(self, link: AmqpReceiver | AmqpSender) -> None:
        """Learn that a link has ended."""
        if link is self.incoming:
            self.incoming = None
        if link is self.outgoing:
            self.outgoing = None
        if self.incoming is None and self.outgoing is None:
            self._key = None

    def _begin(self, link: AmqpReceiver | AmqpSender) -> None:
        key = (link.attached.properties or {}).get(_CORRELATION_ID)
        if key is None:
            return
        if self._key is not None and key != self._key:
            self._end(self.incoming)
            self._end(self.outgoing)
        self._key = key

    def _end(self, link: AmqpReceiver | AmqpSender | None) -> None:
        if link is not None:
            self.drop(link)
            replaced = HubError(HubCode.DISPLACED, "Another link of the same kind has taken its place.")
            self._detach(link, link_error(replaced))
