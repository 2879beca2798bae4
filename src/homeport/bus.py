"""Hints that something changed. Events carry ids, never state: the store is the truth, and losing one costs a poll.

What an event means to its reader is the reader's business; this module only names them and hands them on. Events travel
between processes as JSON of their fields: a field may be added with a default, and none may change its meaning.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from homeport.values import hiding


class RegistrationOpened(Struct, frozen=True, kw_only=True):
    """An operation was opened and is not finished yet."""

    registration_id: str


class RegistrationFinished(Struct, frozen=True, kw_only=True):
    """An operation reached its final status."""

    registration_id: str


class HubsChanged(Struct, frozen=True, kw_only=True):
    """A hub was created, linked, changed or removed."""

    name: str


class DeviceChanged(Struct, frozen=True, kw_only=True):
    """A device identity was created, updated or deleted; its open connections must be looked at."""

    hub: str
    device_id: str


class ConnectionChanged(Struct, frozen=True, kw_only=True):
    """A device connected to its hub or left it."""

    hub: str
    device_id: str


class TelemetryStored(Struct, frozen=True, kw_only=True):
    """A device-to-cloud message is durable and can be read from this offset of this partition of a hub's endpoint."""

    hub: str
    stream: str
    device_id: str
    partition: int
    offset: int


class MessageQueued(Struct, frozen=True, kw_only=True):
    """A cloud-to-device message waits for a device or module, or waits again."""

    hub: str
    target: str


class HubAuthoritiesChanged(Struct, frozen=True, kw_only=True):
    """The CA certificates of a hub changed; connections that came in by them must be looked at."""

    hub: str


class TwinChanged(Struct, frozen=True, kw_only=True):
    """The twin of a device or module has a new version."""

    hub: str
    device_id: str


class SessionOpened(Struct, frozen=True, kw_only=True):
    """A device or module opened a connection at this node; older ones at other nodes are displaced."""

    hub: str
    device_id: str
    node: str
    at: datetime


@hiding("change")
class DesiredChanged(Struct, frozen=True, kw_only=True):
    """Desired properties have a new version. The one event with content: the store keeps no single changes."""

    hub: str
    device_id: str
    version: int
    change: dict[str, Any]


class PartitionOwned(Struct, frozen=True, kw_only=True):
    """A receiver with an epoch reads a partition at this node; it shares with nobody of that epoch or below."""

    hub: str
    stream: str
    group: str
    partition: int
    epoch: int
    node: str


class PassWanted(Struct, frozen=True, kw_only=True):
    """Something changed that configurations may care for."""

    hub: str


class NodesChanged(Struct, frozen=True, kw_only=True):
    """A process has begun or ceased to serve."""

    node: str


class HintsLost(Struct, frozen=True, kw_only=True):
    """Events of other processes since this moment may not have come; never leaves its own process."""

    since: datetime


Event = (
    RegistrationOpened
    | RegistrationFinished
    | HubsChanged
    | DeviceChanged
    | ConnectionChanged
    | TelemetryStored
    | MessageQueued
    | HubAuthoritiesChanged
    | TwinChanged
    | SessionOpened
    | DesiredChanged
    | PartitionOwned
    | PassWanted
    | NodesChanged
    | HintsLost
)


class BusError(Exception):
    """The bus cannot be used at all; the message says why."""


class Bus(Protocol):
    """Publish and subscribe between the parts of the service, in one process or several."""

    async def publish(self, event: Event) -> None:
        """Hand the event to everyone who listens now; never waits for a slow reader."""
        ...

    def subscribe(self, *kinds: type[Event]) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Listen to these kinds of event until the context ends."""
        ...


class LocalBus:
    """A bus within one process and one event loop.

    A reader that falls `backlog` events behind loses the oldest ones, which the contract of hints allows.
    """

    def __init__(self, backlog: int = 1024) -> None:
        self._backlog = backlog
        self._readers: dict[asyncio.Queue[Event], tuple[type[Event], ...]] = {}

    async def publish(self, event: Event) -> None:
        for queue, kinds in self._readers.items():
            if isinstance(event, kinds):
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(event)

    @asynccontextmanager
    async def subscribe(self, *kinds: type[Event]) -> AsyncIterator[AsyncIterator[Event]]:
        queue: asyncio.Queue[Event] = asyncio.Queue(self._backlog)
        self._readers[queue] = kinds
        try:
            yield _drain(queue)
        finally:
            del self._readers[queue]


async def _drain(queue: asyncio.Queue[Event]) -> AsyncIterator[Event]:
    while True:
        yield await queue.get()
