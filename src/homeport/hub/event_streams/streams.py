"""The Event Hubs-compatible endpoints of one hub: which there are, their settings, consumer groups, retention.

The built-in endpoint is always there; its event hub name is the hub's. What is appended and read is telemetry.py's.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from homeport.bus import Bus, TelemetryStored
from homeport.clock import Clock
from homeport.errors import HomeportError
from homeport.hub.errors import HubCode, HubError
from homeport.hub.event_streams.receivers import Receivers
from homeport.hub.event_streams.receivers_elsewhere import ReceiversElsewhere
from homeport.hub.model import BUILT_IN, ConsumerGroup, EventStream, Hub, Outgoing, StoredTelemetry, Telemetry
from homeport.hub.ports import EventStreamStore, OpenEventLog
from homeport.hub.telemetry import TelemetryStream
from homeport.peers import Peers
from homeport.security.callers import SYSTEM, Caller
from homeport.values import replace

DEFAULT_GROUP: Final = "$Default"
MAX_GROUPS: Final = 20
"""Consumer groups of an endpoint besides `$Default`."""
MAX_STREAMS: Final = 10
"""Endpoints with names of their own."""
MAX_PARTITIONS: Final = 32
SHORTEST, LONGEST = timedelta(days=1), timedelta(days=7)
LEAST_BYTES: Final = 1 << 20
LOOK_AGAIN: Final = 5.0
"""Seconds after which hints that were lost, and endpoints that another process made, are noticed."""
RETAIN_EVERY: Final = 30.0
RETAIN_ROWS: Final = 500
RETAIN_PAUSE: Final = 0.02
"""Seconds between two steps of retention, for those who write: 25,000 events a second go at most."""

_RESERVED: Final = frozenset({BUILT_IN, "messages", "devices", "fallback"})
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,48}[A-Za-z0-9])?")

_log = logging.getLogger(__name__)


def event_hub_name(hub: Hub) -> str:
    """Return what a hub's built-in endpoint is called: the hub's name, unless that begins another address."""
    return f"{hub.name}-{BUILT_IN}" if hub.name.lower() in _RESERVED else hub.name


class EventStreams:
    """A hub's endpoints. All methods with a name take it in any letter case and raise HubError."""

    def __init__(
        self,
        *,
        hub: Callable[[], Hub],
        store: EventStreamStore,
        log: OpenEventLog,
        bus: Bus,
        peers: Peers,
        clock: Clock,
    ) -> None:
        """`hub` tells the hub as it is now; `log` opens the streams of its event log."""
        self._hub = hub
        self._store = store
        self._log = log
        self._bus = bus
        self._clock = clock
        self._open: dict[str, TelemetryStream] = {}
        self._settings: dict[str, EventStream] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self.receivers = Receivers()
        self.owners = ReceiversElsewhere(hub=hub().name, here=self.receivers, bus=bus, peers=peers)
        self.built_in = self._opened(EventStream(name=BUILT_IN, created_at=hub().created_at))

    # ------------------------------------------------------------ endpoints

    @property
    def event_hub_name(self) -> str:
        """What the built-in endpoint is called in addresses."""
        return event_hub_name(self._hub())

    async def all(self) -> Sequence[EventStream]:
        """Return the endpoints, the built-in one first."""
        await self._reload()
        built_in, *others = self._settings.values()
        return [built_in, *sorted(others, key=lambda stream: stream.name.lower())]

    async def settings(self, name: str) -> EventStream:
        """Return an endpoint as it is stored. Raises OPERATION_NOT_FOUND."""
        await self._reload()
        found = self._settings.get(name.lower())
        if found is None:
            raise _no_endpoint(name)
        return found

    async def open(self, name: str) -> TelemetryStream:
        """Return an endpoint's events. Raises OPERATION_NOT_FOUND."""
        found = self._open.get(name.lower())
        if found is None:
            await self._reload()
            found = self._open.get(name.lower())
        if found is None:
            raise _no_endpoint(name)
        return found

    async def find(self, event_hub: str) -> EventStream | None:
        """Find an endpoint by its event hub name: the endpoint's own; the built-in one has the hub's name as well."""
        key = BUILT_IN if event_hub.lower() == self.event_hub_name.lower() else event_hub.lower()
        if key not in self._settings:
            await self._reload()
        return self._settings.get(key)

    async def create(
        self,
        name: str,
        *,
        partitions: int | None = None,
        retention: timedelta | None = None,
        max_bytes: int | None = None,
        by: Caller = SYSTEM,
    ) -> EventStream:
        """Make an endpoint. Raises ARGUMENT_INVALID, also if there is one of that name."""
        if not _NAME.fullmatch(name) or name.lower() in _RESERVED or name.lower() == self.event_hub_name.lower():
            raise _invalid(
                "An endpoint's name has 1 to 50 letters, digits, dots, hyphens and underscores, and is neither the "
                f"hub's name nor one of {', '.join(sorted(_RESERVED))}."
            )
        made = EventStream(name=name, created_at=self._clock.now())
        if partitions is not None:
            if not 1 <= partitions <= MAX_PARTITIONS:
                raise _invalid(f"An endpoint has 1 to {MAX_PARTITIONS} partitions.")
            made = replace(made, partitions=partitions)
        made = _retaining(made, retention=retention, max_bytes=max_bytes)
        await self._reload()
        if len(self._settings) > MAX_STREAMS:
            raise _invalid(f"A hub has at most {MAX_STREAMS} endpoints of its own besides the built-in one.")
        try:
            await self._store.create(made, by=by)
        except ValueError as error:
            raise _invalid(str(error)) from None
        self._opened(made)
        return made

    async def configure(
        self, name: str, *, retention: timedelta | None = None, max_bytes: int | None = None, by: Caller = SYSTEM
    ) -> EventStream:
        """Change how long an endpoint keeps events, and how much; `max_bytes` 0 takes that limit away."""
        before = await self.settings(name)
        changed = _retaining(before, retention=retention, max_bytes=max_bytes)
        await self._store.save(changed, before=before, by=by)
        self._settings[changed.name.lower()] = changed
        return changed

    async def remove(self, name: str, *, by: Caller = SYSTEM) -> None:
        """Remove an endpoint with its events; the built-in one stays."""
        if name.lower() == BUILT_IN:
            raise _invalid("The built-in endpoint cannot be removed.")
        try:
            await self._store.remove(name, by=by)
        except KeyError:
            raise _no_endpoint(name) from None
        await self._reload()

    # ------------------------------------------------------------ what is appended

    async def append(self, message: Telemetry) -> None:
        """Store a message in the built-in endpoint; it is durable when this returns."""
        await self.built_in.append(message)

    async def append_all(self, messages: Sequence[Outgoing]) -> None:
        """Store messages in their endpoints, all of them or none; they are durable when this returns."""
        self.stored(await self.built_in.log.append_all(messages))

    def stored(self, stored: Sequence[StoredTelemetry]) -> None:
        """Learn that this process has stored events: their readers have them, and others are hinted at them."""
        for each in stored:
            stream = self._open.get(each.endpoint.lower())
            if stream is not None:
                stream.stored(each)

    # ------------------------------------------------------------ consumer groups

    async def groups(self, name: str = BUILT_IN) -> Sequence[ConsumerGroup]:
        """Return an endpoint's consumer groups, `$Default` first."""
        stream = await self.settings(name)
        return [ConsumerGroup(name=DEFAULT_GROUP, created_at=stream.created_at), *await self._store.groups(stream.name)]

    async def has_group(self, name: str, group: str) -> bool:
        """Tell whether an endpoint has this consumer group, in any letter case."""
        if group.lower() == DEFAULT_GROUP.lower():
            return True
        return any(each.name.lower() == group.lower() for each in await self._store.groups(name))

    async def create_group(self, group: str, *, name: str = BUILT_IN, by: Caller = SYSTEM) -> ConsumerGroup:
        """Make a consumer group. Raises ARGUMENT_INVALID; the group that is there already is returned."""
        stream = await self.settings(name)
        if group.lower() != DEFAULT_GROUP.lower() and not _NAME.fullmatch(group):
            raise _invalid("A consumer group's name has 1 to 50 letters, digits, dots, hyphens and underscores.")
        for each in await self.groups(name):
            if each.name.lower() == group.lower():
                return each
        made = ConsumerGroup(name=group, created_at=self._clock.now())
        try:
            await self._store.create_group(stream.name, made, limit=MAX_GROUPS, by=by)
        except ValueError:
            return next(each for each in await self.groups(name) if each.name.lower() == group.lower())
        except OverflowError as error:
            raise _invalid(str(error)) from None
        return made

    async def remove_group(self, group: str, *, name: str = BUILT_IN, by: Caller = SYSTEM) -> None:
        """Remove a consumer group; who reads in it goes on until it attaches anew. `$Default` stays."""
        if group.lower() == DEFAULT_GROUP.lower():
            raise _invalid(f"{DEFAULT_GROUP} cannot be removed.")
        try:
            await self._store.remove_group((await self.settings(name)).name, group, by=by)
        except KeyError:
            raise HubError(HubCode.OPERATION_NOT_FOUND, f"There is no consumer group {group}.") from None

    # ------------------------------------------------------------ beside answering

    async def run(self) -> None:
        """Hint at what is appended, wake readers, drop what is too old, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for stream in self._open.values():
                tasks.create_task(stream.run())
            tasks.create_task(self.owners.run())
            tasks.create_task(self._hear())
            tasks.create_task(self._look_again())
            tasks.create_task(self._retain())

    async def _hear(self) -> None:
        """Wake those who read what another process has stored."""
        hub = self._hub().name
        async with self._bus.subscribe(TelemetryStored) as events:
            async for event in events:
                if isinstance(event, TelemetryStored) and event.hub == hub:
                    stream = self._open.get(event.stream)
                    if stream is not None:
                        stream.heard(event.partition)

    async def _look_again(self) -> None:
        while True:
            await self._clock.sleep(LOOK_AGAIN)
            try:
                await self._reload()
            except HomeportError as error:
                _log.warning("hub %s: its endpoints cannot be read: %s", self._hub().name, error)
            for stream in self._open.values():
                stream.wake_readers()

    async def _retain(self) -> None:
        while True:
            await self._clock.sleep(RETAIN_EVERY)
            try:
                for settings in tuple(self._settings.values()):
                    await self._retain_one(settings)
                while await self._store.sweep(limit=RETAIN_ROWS):
                    await self._clock.sleep(RETAIN_PAUSE)
            except HomeportError as error:
                _log.warning("hub %s: old events cannot be dropped now: %s", self._hub().name, error)

    async def _retain_one(self, settings: EventStream) -> None:
        stream = self._open.get(settings.name.lower())
        while stream is not None and await stream.log.retain(
            enqueued_after=self._clock.now() - settings.retention, max_bytes=settings.max_bytes, limit=RETAIN_ROWS
        ):
            await self._clock.sleep(RETAIN_PAUSE)

    # ------------------------------------------------------------ inside

    async def _reload(self) -> None:
        """Open what another process made, close what it removed, take over changed settings."""
        found = {stream.name.lower(): stream for stream in await self._store.all()}
        built_in = found.pop(BUILT_IN, None) or EventStream(name=BUILT_IN, created_at=self._hub().created_at)
        self._settings = {BUILT_IN: built_in, **found}
        for key in [key for key in self._open if key not in self._settings]:
            self._open.pop(key).close()
        for stream in found.values():
            self._opened(stream)

    def _opened(self, stream: EventStream) -> TelemetryStream:
        key = stream.name.lower()
        self._settings[key] = stream
        found = self._open.get(key)
        if found is not None and found.created_at == stream.created_at:
            return found
        if found is not None:
            found.close()  # it was removed, and is another one now
        hub = self._hub().name
        log = self._log(hub, stream=key, partitions=stream.partitions)
        made = self._open[key] = TelemetryStream(
            hub=hub, stream=key, log=log, bus=self._bus, clock=self._clock, created_at=stream.created_at
        )
        if self._tasks is not None:
            self._tasks.create_task(made.run())
        return made


def _retaining(stream: EventStream, *, retention: timedelta | None, max_bytes: int | None) -> EventStream:
    if retention is not None:
        if not SHORTEST <= retention <= LONGEST:
            raise _invalid(f"Events are kept for {SHORTEST.days} to {LONGEST.days} days.")
        stream = replace(stream, retention=retention)
    if max_bytes is not None:
        if max_bytes and max_bytes < LEAST_BYTES:
            raise _invalid(f"A limit by size is at least {LEAST_BYTES} bytes; 0 is none.")
        stream = replace(stream, max_bytes=max_bytes or None)
    return stream


def _invalid(message: str) -> HubError:
    return HubError(HubCode.ARGUMENT_INVALID, message)


def _no_endpoint(name: str) -> HubError:
    return HubError(HubCode.OPERATION_NOT_FOUND, f"There is no endpoint {name}.")
