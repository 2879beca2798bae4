"""What the hub needs from the world.

A store method is one whole transaction; each suite in tests/contract proves an implementation of these.
Every store object but HubStore serves one hub.
"""

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from homeport.hub.model import (
    Change,
    CloudMessage,
    ConnectionState,
    ConsumerGroup,
    Device,
    DeviceIdentity,
    EventStream,
    Hub,
    KeptFilters,
    Outgoing,
    PartitionState,
    QueuedMessage,
    RegistryStatistics,
    Sought,
    StoredTelemetry,
    Telemetry,
    Twin,
    Waiting,
)
from homeport.paging import Page
from homeport.security.callers import SYSTEM, Caller

TellDeleted = Callable[[Device], Sequence[Outgoing]]
"""What is told of the end of an identity."""
TellConnection = Callable[[Device, ConnectionState, int], Sequence[Outgoing]]
"""What is told of a device's new connection state; the number grows with every change of that device."""

T = TypeVar("T")
N_co = TypeVar("N_co", covariant=True)


class HubStore(Protocol):
    """The hubs this Homeport serves."""

    async def all(self) -> Sequence[Hub]:
        """Return every hub in order of creation."""
        ...

    async def create(self, hub: Hub) -> None:
        """Raise ValueError if the name or a host name is taken."""
        ...

    async def replace(self, hub: Hub) -> None:
        """Store changed host names or policies; raise KeyError if there is no such hub."""
        ...


class DeviceStore(Protocol):
    """Identities and twins of one hub, devices and modules alike. Writes name the etag they expect; None accepts any.

    What is `told` of a change is appended to the event log in its transaction, so that the two stand or fall together,
    and where it is then is returned.

    All raise HubError (hub/errors.py): DEVICE_NOT_FOUND or MODULE_NOT_FOUND, PRECONDITION_FAILED.
    """

    async def get(self, device_id: str) -> Device | None: ...

    async def get_identity(self, device_id: str) -> DeviceIdentity | None:
        """Return the identity alone: what authentication needs, without parsing the twin."""
        ...

    async def create(
        self, device: Device, *, durable: bool = True, told: Sequence[Outgoing] = ()
    ) -> Sequence[StoredTelemetry]:
        """Store a new device. Raise DEVICE_ALREADY_EXISTS.

        Of a module raise MODULE_ALREADY_EXISTS, DEVICE_NOT_FOUND without its device, TOO_MANY_MODULES.

        Without `durable` it may be durable, and seen by reads, only with the next write to the same database.
        """
        ...

    def creation(
        self, device: Device, *, told: Sequence[Outgoing]
    ) -> Callable[[Any], Coroutine[Any, Any, Sequence[StoredTelemetry] | None]]:
        """Return what creates a device, which is no module, as the last part of a transaction of the same database.

        Its answer is None, and nothing is written, if there is a device of this name.
        """
        ...

    async def holds(self, device_id: str, condition: Callable[[DeviceIdentity], bool], transaction: Any) -> bool:
        """Tell, in such a transaction, whether there is the device and this holds of it."""
        ...

    async def replace_identity(self, identity: DeviceIdentity, *, expected_etag: str | None) -> None:
        """Replace everything but connection state and activity, which belong to `touch`."""
        ...

    async def replace_twin(
        self,
        twin: Twin,
        *,
        expected_version: int | None,
        reported_only: bool = False,
        told: Sequence[Outgoing] = (),
    ) -> Sequence[StoredTelemetry]:
        """Replace one side of the twin and leave the other as it is, so that neither can undo the other.

        The service's side is tags, desired, version and model id, and `expected_version` is `Twin.version`. With
        `reported_only` it is the reported section, and `expected_version` is that section's version.
        """
        ...

    async def replace(
        self, device: Device, *, expected_etag: str | None, told: Sequence[Outgoing] = ()
    ) -> Sequence[StoredTelemetry]:
        """Replace identity and twin in one transaction."""
        ...

    async def delete(
        self, device_id: str, *, expected_etag: str | None, tell: TellDeleted | None = None
    ) -> Sequence[StoredTelemetry]:
        """Delete an identity and what belongs to it: twin, queue, and a device's modules.

        `tell` is asked for each of them, modules first.
        """
        ...

    async def list(self, *, limit: int) -> Sequence[DeviceIdentity]:
        """Return devices in no defined order."""
        ...

    async def modules(self, device_id: str) -> Sequence[DeviceIdentity]:
        """Return a device's modules in order of their id."""
        ...

    async def page(
        self, *, after: str | None, limit: int, modules: bool = False, sought: Sequence[Sought] = ()
    ) -> Page[Device]:
        """Return devices, or else modules, in order of their id, behind the id `after`.

        Those that do not meet all that is `sought` may be left out; some that do not may be among them. Then a page
        may also be short, or empty, and not the last: what counts is `after`.
        """
        ...

    async def statistics(self) -> RegistryStatistics: ...

    async def touch(
        self,
        *,
        states: Mapping[str, ConnectionState],
        activity: Mapping[str, datetime],
        now: datetime,
        at: Mapping[str, datetime] | None = None,
        node: str = "",
        tell: TellConnection | None = None,
    ) -> Sequence[StoredTelemetry]:
        """Record connection states that changed, each `at` its time or `now`, and last activities, of many devices.

        One transaction. Ids without an identity are passed over. An activity never moves back; a state that is the
        stored one already leaves its time alone. `node` names the process among several: what another has connected
        later, it neither disconnects nor takes back. `tell` is asked for each state that did change.
        """
        ...

    async def elsewhere(self, node: str) -> Sequence[str]:
        """Return the ids of those that are connected to other nodes than this one."""
        ...

    async def count_connected(self) -> int:
        """Return how many devices, modules not counted, are connected to any node."""
        ...

    async def disconnect_orphans(
        self, *, now: datetime, tell: TellConnection | None = None
    ) -> Sequence[StoredTelemetry]:
        """Mark those disconnected that are connected to a node that is not alive any more. May be broken off."""
        ...

    async def disconnect_all(self, *, now: datetime, tell: TellConnection | None = None) -> None:
        """Mark every device disconnected: what a process that has just started knows."""
        ...


class MessageStore(Protocol):
    """The cloud-to-device queues of one hub, by the device id or `{device}/{module}` they belong to."""

    async def append(self, target: str, message: CloudMessage, *, limit: int) -> int:
        """Put a message behind the others and return its sequence number, counted from 1 in each queue.

        Durable when this returns. Raise QUEUE_FULL if `limit` messages are there already.
        """
        ...

    async def change(self, target: str, decide: Callable[[Sequence[QueuedMessage]], Change[T]]) -> T:
        """Let `decide` see the queue in order, carry out what it says in one transaction, and return its result.

        It may be called more than once. What it raises changes nothing and reaches the caller.
        """
        ...

    async def read(self, target: str, sequence_number: int) -> CloudMessage | None:
        """Return a message's content."""
        ...

    async def counts(self, targets: Collection[str]) -> Mapping[str, int]:
        """Return how many messages wait in those of these queues that are not empty."""
        ...

    async def due(self, now: datetime, *, limit: int) -> Sequence[str]:
        """Return queues in which time has something to do, the longest overdue first."""
        ...


class MqttSubscriptionStore(Protocol):
    """What the MQTT clients of one hub are subscribed to beyond one connection, by their identity's id."""

    async def get(self, device_id: str) -> KeptFilters | None: ...

    async def put(self, device_id: str, kept: KeptFilters) -> None:
        """Durable when this returns."""
        ...

    async def delete(self, device_id: str) -> None: ...


class NoticeStore(Protocol[N_co]):
    """What services are to be told (feedback, file notifications), until somebody takes it (contract hub.md 18).

    A notice that was taken and came back `max_deliveries` times is not given out again.
    """

    async def waiting(self, *, now: datetime, max_deliveries: int) -> Waiting:
        """Tell how much nobody holds."""
        ...

    async def take(
        self, *, limit: int, now: datetime, until: datetime, token: str, max_deliveries: int
    ) -> Sequence[N_co]:
        """Lock up to `limit` of the oldest notices that nobody holds, under one token; empty if there are none."""
        ...

    async def finish(self, token: str, *, now: datetime, keep: bool) -> bool:
        """Remove the notices of a token, or put them back with `keep`; False if the lock is over."""
        ...

    async def expire(self, *, created_before: datetime, now: datetime, max_deliveries: int) -> int:
        """Remove what nobody took in time, or nobody wanted, and return how many."""
        ...


class EventLog(Protocol):
    """One stream of a hub's events: partitions in which each has an offset; readers never block writers."""

    @property
    def partitions(self) -> int: ...

    def partition_of(self, device_id: str) -> int:
        """Return the partition in which a device's messages are."""
        ...

    async def append(self, telemetry: Telemetry) -> StoredTelemetry:
        """Store one message; it is durable when this returns.

        The partition is chosen by device id. Calls made in one order from one task, or started in one order,
        are stored in that order for each device.
        """
        ...

    async def append_all(self, messages: Sequence[Outgoing]) -> Sequence[StoredTelemetry]:
        """Store messages in this and other streams of the hub, all of them or none; the order is that of `append`."""
        ...

    async def read(self, partition: int, *, offset: int, limit: int) -> Sequence[StoredTelemetry]:
        """Return up to `limit` messages from `offset` on; behind the end, none."""
        ...

    async def latest(self, *, device_id: str | None, limit: int) -> Sequence[StoredTelemetry]:
        """Return the newest messages first, of one device or of all."""
        ...

    async def count(self, device_id: str) -> int:
        """Return how many messages of this device the log holds."""
        ...

    async def state(self, partition: int) -> PartitionState:
        """Tell which offsets a partition holds."""
        ...

    async def first_enqueued(self, partition: int, at: datetime) -> int:
        """Return the offset of the first message enqueued at this time or later, or the next one to be given."""
        ...

    async def retain(self, *, enqueued_after: datetime, max_bytes: int | None = None, limit: int) -> int:
        """Drop up to `limit` messages that are older, or the oldest of more than `max_bytes`; return how many.

        One small step, to be repeated until it returns 0. Offsets never change.
        """
        ...


class OpenEventLog(Protocol):
    """Opens a stream of a hub's event log; one object for each gathers what is appended."""

    def __call__(self, hub: str, *, stream: str = ..., partitions: int = ...) -> EventLog: ...


class EventStreamStore(Protocol):
    """The streams of one hub's event log with their settings, and their consumer groups. Letter case is no matter."""

    async def all(self) -> Sequence[EventStream]:
        """Return the streams in order of their names; the built-in one only if its settings were saved."""
        ...

    async def create(self, stream: EventStream, *, by: Caller = SYSTEM) -> None:
        """Raise ValueError if there is one of that name."""
        ...

    async def save(self, stream: EventStream, *, before: EventStream | None = None, by: Caller = SYSTEM) -> None:
        """Store a stream's settings, whether it was there or not; `before` is for the journal."""
        ...

    async def remove(self, name: str, *, by: Caller = SYSTEM) -> None:
        """Remove a stream with its groups and events; raise KeyError if there is none.

        A new stream of that name begins anew. `sweep` removes the events themselves.
        """
        ...

    async def sweep(self, *, limit: int) -> int:
        """Delete up to `limit` events of removed streams and return how many; 0 when none is left."""
        ...

    async def groups(self, stream: str) -> Sequence[ConsumerGroup]:
        """Return the consumer groups that were created, in order of their names."""
        ...

    async def create_group(self, stream: str, group: ConsumerGroup, *, limit: int, by: Caller = SYSTEM) -> None:
        """Raise ValueError if the group exists, and OverflowError if there are `limit` groups already."""
        ...

    async def remove_group(self, stream: str, name: str, *, by: Caller = SYSTEM) -> None:
        """Raise KeyError if there is no such group."""
        ...
