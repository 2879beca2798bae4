"""Which devices are connected, here and now, and what the registry is told about it (contract hub.md 13.10, 13.12).

A session is one accepted connection, whatever its transport. Sockets and topics are the front-ends' business.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from homeport.bus import Bus, ConnectionChanged, DeviceChanged, SessionOpened
from homeport.clock import Clock
from homeport.hub.authentication import Accepted, CertificatePath, Proof, still_holds
from homeport.hub.certificate_proof import NO_TRUST, HubTrust
from homeport.hub.identifiers import device_of, module_of
from homeport.hub.model import CaAuthentication, ConnectionState, DeviceIdentity, MessageSource
from homeport.hub.ports import DeviceStore, TellConnection
from homeport.hub.telling import Telling
from homeport.peers import Peers
from homeport.values import replace

STATE_DELAY = 0.2
"""Seconds between a changed connection state and its transaction: a storm of reconnects shares one."""
ACTIVITY_DELAY = 10.0
"""Seconds between transactions that record last activities."""
RETRY_DELAY = 2.0

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """One accepted connection of a device."""

    device_id: str
    generation_id: str
    proof: Proof
    expires_at: datetime | None
    connected_at: datetime
    end: Callable[[], None] = field(repr=False)
    """Closes the connection soon, without waiting; may be called more than once."""
    transport: str = ""
    cut: Callable[[bool], None] | None = field(default=None, repr=False)
    """Ends it as a fault would, in order or without a word; None: only `end` is offered."""
    ended: str | None = None
    """Why the hub ended it, once it has."""
    displaced: bool = False
    """It was ended by a newer connection of the same identity."""


class Sessions:
    """The open connections of one hub in this process, at most one per identity: a device or a module.

    Connection states and activities reach the store in batches; `overlay` shows them before they are written.
    """

    def __init__(
        self,
        *,
        hub: str,
        store: DeviceStore,
        telling: Telling,
        bus: Bus,
        peers: Peers,
        clock: Clock,
        trust: Callable[[], Awaitable[HubTrust]],
    ) -> None:
        """`trust` tells the hub's CA certificates as they are now."""
        self._hub = hub
        self._trust = trust
        self._telling = telling
        self._store = store
        self._bus = bus
        self._node = peers.node
        self._clock = clock
        self._open: dict[str, Session] = {}
        self._modules: dict[str, set[str]] = {}
        """The modules with an open session, by their device."""
        self._states: dict[str, tuple[ConnectionState, datetime]] = {}
        self._activity: dict[str, datetime] = {}
        self._writing_states: dict[str, tuple[ConnectionState, datetime]] = {}
        self._writing_activity: dict[str, datetime] = {}
        self._write = asyncio.Lock()
        self._state_changed = asyncio.Event()
        self._changes = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def devices(self) -> int:
        """How many devices are connected, modules not counted."""
        return len(self._open) - sum(len(modules) for modules in self._modules.values())

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._open.values()))

    def current(self, device_id: str) -> Session | None:
        """Return the open connection of the device, if it has one in this process."""
        return self._open.get(device_id)

    @property
    def changes(self) -> int:
        """How many changes of identities have been seen; see `open`."""
        return self._changes

    async def open(
        self, identity: DeviceIdentity, accepted: Accepted, end: Callable[[], None], *, since: int | None = None
    ) -> Session:
        """Begin a session; an older one of the same device is ended (contract hub.md 13.10).

        `since` is the value of `changes` from before the identity was read: if identities have changed since,
        this one is read again, and the session may be returned already `ended`.
        """
        now = self._clock.now()
        session = Session(
            device_id=identity.device_id,
            generation_id=identity.generation_id,
            proof=accepted.proof,
            expires_at=accepted.expires_at,
            connected_at=now,
            end=end,
        )
        older = self._open.get(identity.device_id)
        self._open[identity.device_id] = session
        if module_of(identity.device_id) is not None:
            self._modules.setdefault(device_of(identity.device_id), set()).add(identity.device_id)
        if older is not None:
            self.displace(older)
        self._note(identity.device_id, ConnectionState.CONNECTED, now)
        self._activity[identity.device_id] = now
        if since is not None and since != self._changes:
            await self._review(identity.device_id)
        if self._node:
            await self._bus.publish(SessionOpened(hub=self._hub, device_id=identity.device_id, node=self._node, at=now))
        await self._bus.publish(ConnectionChanged(hub=self._hub, device_id=identity.device_id))
        return session

    def displace(self, session: Session) -> None:
        """End a session, since there is a newer one, here or elsewhere."""
        session.displaced = True
        self._end(session, "the device opened a new connection")

    async def renew(self, session: Session, accepted: Accepted, *, since: int) -> None:
        """Let a session go on with a new proof; `since` as for `open`."""
        session.proof = accepted.proof
        session.expires_at = accepted.expires_at
        if since != self._changes:
            await self._review(session.device_id)

    async def leave(self, session: Session) -> None:
        """Take note that the connection of this session has ended; a newer one of the same device is not affected."""
        if self._open.get(session.device_id) is not session:
            return
        del self._open[session.device_id]
        self._forget_module(session.device_id)
        self._note(session.device_id, ConnectionState.DISCONNECTED, self._clock.now())
        await self._bus.publish(ConnectionChanged(hub=self._hub, device_id=session.device_id))

    def _forget_module(self, device_id: str) -> None:
        if module_of(device_id) is not None:
            modules = self._modules[device_of(device_id)]
            modules.discard(device_id)
            if not modules:
                del self._modules[device_of(device_id)]

    def active(self, device_id: str, now: datetime) -> None:
        """Take note that the device sent or received something."""
        self._activity[device_id] = now

    def overlay(self, identity: DeviceIdentity) -> DeviceIdentity:
        """Return the identity as it will look when everything pending is written."""
        device_id = identity.device_id
        change = self._states.get(device_id) or self._writing_states.get(device_id)
        activity = self._activity.get(device_id) or self._writing_activity.get(device_id)
        if change is not None and change[0] is not identity.connection_state:
            identity = replace(identity, connection_state=change[0], connection_state_updated_at=change[1])
        if activity is not None and activity > identity.last_activity_at:
            identity = replace(identity, last_activity_at=activity)
        return identity

    @property
    def tell(self) -> TellConnection | None:
        """What is told of new connection states; None if nobody wants to know."""
        return self._telling.connection if self._telling.wanted(MessageSource.CONNECTION_STATE) else None

    async def run(self) -> None:
        """Keep the registry informed and look after changed identities, until cancelled; then write what is left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write_states())
                tasks.create_task(self._write_activity())
                tasks.create_task(self._watch())
        finally:
            await self.flush()

    async def authorities_changed(self) -> None:
        """End the sessions that came in by a CA certificate that is none of the hub's any more."""
        self._changes += 1
        trust = await self._trust()
        for session in self:
            proof = session.proof
            if isinstance(proof, CertificatePath) and proof.path.anchor.der not in trust.verified:
                self._end(session, "its CA certificate is none of the hub's any more")

    async def review_all(self) -> None:
        """End the sessions whose identities have changed unheard of."""
        self._changes += 1
        for session in self:
            await self._review_one(session.device_id)

    def restate(self) -> None:
        """Write all states again: others took this process for dead."""
        for session in self:
            self._note(session.device_id, ConnectionState.CONNECTED, session.connected_at)

    def is_pending(self, device_id: str) -> bool:
        """Tell whether a state of the device is not written yet."""
        return device_id in self._states or device_id in self._writing_states

    async def flush(self) -> None:
        """Write what is pending now; what cannot be written stays pending and is logged."""
        await self._flush(activity=True)

    def _note(self, device_id: str, state: ConnectionState, now: datetime) -> None:
        self._states[device_id] = (state, now)
        self._state_changed.set()

    def _end(self, session: Session, why: str) -> None:
        _log.info("hub %s: connection of device %r ended: %s", self._hub, session.device_id, why)
        session.ended = why
        session.end()

    async def _write_states(self) -> None:
        while True:
            await self._state_changed.wait()
            await self._clock.sleep(STATE_DELAY)
            self._state_changed.clear()
            if not await self._flush(activity=False):
                await self._clock.sleep(RETRY_DELAY)

    async def _write_activity(self) -> None:
        while True:
            await self._clock.sleep(ACTIVITY_DELAY)
            await self._flush(activity=True)

    async def _flush(self, *, activity: bool) -> bool:
        async with self._write:
            self._writing_states, self._states = self._states, {}
            if activity:
                self._writing_activity, self._activity = self._activity, {}
            try:
                if self._writing_states or self._writing_activity:
                    told = await self._store.touch(
                        states={device_id: state for device_id, (state, _) in self._writing_states.items()},
                        activity=self._writing_activity,
                        now=max((at for _, at in self._writing_states.values()), default=self._clock.now()),
                        at={device_id: at for device_id, (_, at) in self._writing_states.items()},
                        node=self._node,
                        tell=self.tell,
                    )
                    self._telling.stored(told)
            except Exception:
                _log.exception("hub %s: connection states could not be written; trying again", self._hub)
                self._states = self._writing_states | self._states
                self._activity = self._writing_activity | self._activity
                if self._states:
                    self._state_changed.set()
                return False
            finally:
                self._writing_states, self._writing_activity = {}, {}
            return True

    async def _watch(self) -> None:
        async with self._bus.subscribe(DeviceChanged) as events:
            async for event in events:
                if isinstance(event, DeviceChanged) and event.hub == self._hub:
                    self._changes += 1
                    await self._review(event.device_id)

    async def _review(self, device_id: str) -> None:
        """End the sessions of a device and its modules if what let them in no longer holds (contract hub.md 2.7)."""
        await self._review_one(device_id)
        if module_of(device_id) is None:
            for module in tuple(self._modules.get(device_id, ())):
                await self._review_one(module)

    async def _review_one(self, device_id: str) -> None:
        if device_id not in self._open:
            return
        trust = NO_TRUST
        try:
            identity = await self._store.get_identity(device_id)
            if identity is not None and isinstance(identity.authentication, CaAuthentication):
                trust = await self._trust()
        except Exception:
            _log.exception("hub %s: device %r could not be looked at; its connection ends", self._hub, device_id)
            identity = None
        session = self._open.get(device_id)
        if session is not None and not still_holds(identity, session.generation_id, session.proof, trust):
            self._end(session, "the device was disabled, deleted or given other credentials")
