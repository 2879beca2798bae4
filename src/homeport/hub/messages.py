"""Cloud-to-device messages of one hub: queued for a device, delivered to whoever receives for it (contract hub.md 19).

The rules of a queue are `message_lock`'s; how a message travels is the front-ends'.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from msgspec import Struct

from homeport.bus import Bus, HintsLost, MessageQueued
from homeport.clock import Clock
from homeport.hub import message_lock
from homeport.hub.errors import HubCode, HubError
from homeport.hub.identifiers import not_found
from homeport.hub.message_lock import Settlement
from homeport.hub.model import Change, CloudMessage, DeviceStatus, Lock, QueuedMessage, QueueSettings
from homeport.hub.ports import DeviceStore, MessageStore
from homeport.hub.queue_settings import QueueSettingsStore
from homeport.security.policies import Random

T = TypeVar("T")

MAX_BYTES = 64 * 1024
MAX_QUEUED = 50
CONNECTION_LOCK = timedelta(days=1)
"""A connection ends its locks itself; this is for the one that a dead process has left."""
_SWEEP_SECONDS = 2.0
_SWEPT = 100
_WOKEN = 500

_log = logging.getLogger(__name__)


class Delivery(Struct, frozen=True, kw_only=True):
    """A message that was taken, to be settled with the token of its lock."""

    queued: QueuedMessage
    message: CloudMessage

    @property
    def token(self) -> str:
        assert self.queued.lock is not None, "what is delivered is locked"
        return self.queued.lock.token


class Messages:
    """The queues of one hub. A target is a device id, or `{device}/{module}`."""

    def __init__(
        self,
        *,
        hub: str,
        store: MessageStore,
        devices: DeviceStore,
        settings: QueueSettingsStore,
        bus: Bus,
        clock: Clock,
        random: Random,
    ) -> None:
        self._hub = hub
        self._store = store
        self._devices = devices
        self._settings = settings
        self._bus = bus
        self._clock = clock
        self._random = random
        self._listeners: dict[str, Callable[[], None]] = {}

    async def send(self, target: str, message: CloudMessage) -> int:
        """Queue a message, durably, and return its sequence number.

        Raises HubError DEVICE_NOT_FOUND or MODULE_NOT_FOUND (also of a disabled device), QUEUE_FULL, MESSAGE_TOO_LARGE.
        """
        size = len(message.body) + sum(
            len(name) + len(value) for part in (message.system, message.properties) for name, value in part.items()
        )
        if size > MAX_BYTES:
            raise HubError(HubCode.MESSAGE_TOO_LARGE, f"A cloud-to-device message has at most {MAX_BYTES} bytes.")
        identity = await self._devices.get_identity(target)
        if identity is None or identity.status is DeviceStatus.DISABLED:
            raise not_found(target)
        # What time has brought makes room first.
        await self._age(target)
        number = await self._store.append(target, message, limit=MAX_QUEUED)
        await self._announce(target)
        return number

    async def settings(self) -> QueueSettings:
        """Return how this hub keeps messages, as it is now."""
        return await self._settings.get()

    async def receive(self, target: str, *, life: timedelta | None, of_connection: bool) -> Delivery | None:
        """Take the next message for `life`, None: the hub's lock; None if none waits. Unsettled, it comes back."""
        if life is None:
            life = (await self._settings.get()).lock
        rules = await self._rules()
        lock = Lock(
            token=str(uuid.UUID(bytes=self._random(16), version=4)),
            until=self._clock.now() + life,
            of_connection=of_connection,
        )
        queued = await self._change(target, lambda queue: message_lock.lock_next(queue, lock, **rules))
        if queued is None:
            return None
        message = await self._store.read(target, queued.sequence_number)
        # Purged in between, it is nobody's any more.
        return None if message is None else Delivery(queued=queued, message=message)

    async def settle(self, target: str, token: str, settlement: Settlement) -> None:
        """End a delivery. Raises HubError MESSAGE_LOCK_LOST."""
        rules = await self._rules()
        await self._change(target, lambda queue: message_lock.settle(queue, token, settlement, **rules))
        if settlement is Settlement.ABANDON:
            await self._announce(target)

    async def take_over(self, target: str) -> None:
        """Void the locks of earlier connections, as a new one begins to receive."""
        rules = await self._rules()
        if await self._change(target, lambda queue: message_lock.release(queue, **rules)):
            await self._announce(target)

    async def purge(self, target: str) -> int:
        """Empty a queue and return how many messages it had."""
        now = self._clock.now()
        return await self._change(target, lambda queue: message_lock.purge(queue, now=now))

    async def counts(self, targets: Collection[str]) -> Mapping[str, int]:
        """Return how many messages wait in those of these queues that are not empty."""
        return await self._store.counts(targets)

    def listen(self, target: str, wake: Callable[[], None]) -> None:
        """Call this when messages may wait, in place of an earlier listener of the same queue; it must not wait."""
        self._listeners[target] = wake

    def forget(self, target: str, wake: Callable[[], None]) -> None:
        """Stop calling this listener; another one of the same queue stays."""
        if self._listeners.get(target) is wake:
            del self._listeners[target]

    async def run(self) -> None:
        """Wake listeners for what other processes queue, and do what time brings, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self._sweep())

    async def _rules(self) -> message_lock.Rules:
        most = (await self._settings.get()).max_deliveries
        return {"now": self._clock.now(), "max_deliveries": most}

    async def _age(self, target: str) -> None:
        rules = await self._rules()
        await self._change(target, lambda queue: message_lock.age(queue, **rules))

    async def _change(self, target: str, decide: Callable[[Sequence[QueuedMessage]], Change[T]]) -> T:
        return await self._store.change(target, decide)

    async def _announce(self, target: str) -> None:
        await self._bus.publish(MessageQueued(hub=self._hub, target=target))

    async def _watch(self) -> None:
        async with self._bus.subscribe(MessageQueued, HintsLost) as events:
            async for event in events:
                if isinstance(event, MessageQueued) and event.hub == self._hub:
                    self._wake(event.target)
                elif isinstance(event, HintsLost):
                    await self._wake_all()

    def _wake(self, target: str) -> None:
        wake = self._listeners.get(target)
        if wake is not None:
            wake()

    async def _wake_all(self) -> None:
        """Wake those for whom messages wait: nobody may have said so."""
        targets = tuple(self._listeners)
        try:
            for start in range(0, len(targets), _WOKEN):
                for target in await self._store.counts(targets[start : start + _WOKEN]):
                    self._wake(target)
        except Exception:
            _log.exception("hub %s: could not look who has messages; they come with the next one", self._hub)

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(_SWEEP_SECONDS)
            try:
                for target in await self._store.due(self._clock.now(), limit=_SWEPT):
                    await self._age(target)
                    await self._announce(target)
            except Exception:
                _log.exception("hub %s: queues could not be looked after; trying again", self._hub)
