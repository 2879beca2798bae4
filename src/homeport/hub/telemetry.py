"""Device-to-cloud messages: what a property bag says, what the hub adds, and who listens (contract hub.md 13.4, 21.1).

Topics, packets and partitions are known elsewhere.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType
from typing import assert_never
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from homeport.bus import Bus, TelemetryStored
from homeport.clock import Clock
from homeport.hub.authentication import Accepted, CertificatePath, ClientCertificate, DeviceKey, PolicyKey
from homeport.hub.identifiers import device_of, module_of
from homeport.hub.model import BUILT_IN, DeviceIdentity, StoredTelemetry, Telemetry
from homeport.hub.partition_tail import PartitionTail
from homeport.hub.ports import EventLog

MAX_MESSAGE_BYTES = 256 * 1024
HINT_INTERVAL = 0.1
"""Seconds between two hints about one partition: messages per second do not become events per second."""

_UNPREFIXED = frozenset({"iothub-ack", "iothub-operation"})
_ANNOTATED = {"sub": "dt-subject", "ifid": "iothub-interface-id", "ctime": "iothub-creation-time-utc"}
_NOTHING: Mapping[str, str | None] = MappingProxyType({})


class PropertyBag(Struct, frozen=True, kw_only=True):
    """What a bag says: system properties by wire key without `$.`, application properties, and their weight."""

    system: Mapping[str, str | None]
    properties: Mapping[str, str | None]
    size: int
    """Bytes that count towards the message limit: system values, application names and values."""


EMPTY_BAG = PropertyBag(system=_NOTHING, properties=_NOTHING, size=0)


def parse_bag(text: str) -> PropertyBag:
    """Read the bag that ends a telemetry topic; anything can be read, the last of equal names counts.

    `key` alone has no value (None), `key=` an empty one; a `+` is a plus. What is not valid percent-encoding is
    taken as it stands, since the C client does not encode (contract hub.md 13.4).
    """
    text = text.removesuffix("/")
    if not text:
        return EMPTY_BAG
    system: dict[str, str | None] = {}
    properties: dict[str, str | None] = {}
    for item in text.split("&"):
        if not item:
            continue
        raw_key, separator, raw_value = item.partition("=")
        key = _decode(raw_key)
        value = _decode(raw_value) if separator else None
        if key.startswith("$."):
            system[key[2:]] = value
        elif key in _UNPREFIXED:
            system[key] = value
        else:
            properties[key] = value
    size = sum(_bytes(value) for value in system.values() if value)
    size += sum(_bytes(key) + _bytes(value or "") for key, value in properties.items())
    return PropertyBag(system=system, properties=properties, size=size)


def connection_annotations(identity: DeviceIdentity, accepted: Accepted, model_id: str | None) -> Mapping[str, str]:
    """Return what the hub adds to each message of one connection (contract hub.md 21.1)."""
    own = "device" if module_of(identity.device_id) is None else "module"
    match accepted.proof:
        case DeviceKey():
            scope, kind = own, "sas"
        case PolicyKey():
            scope, kind = "hub", "sas"
        case ClientCertificate() | CertificatePath():
            scope, kind = own, "x509"
        case _:
            assert_never(accepted.proof)
    annotations = {
        "iothub-connection-device-id": device_of(identity.device_id),
        "iothub-connection-auth-method": f'{{"scope":"{scope}","type":"{kind}","issuer":"iothub",'
        '"acceptingIpFilterRule":null}',
        "iothub-connection-auth-generation-id": identity.generation_id,
        "iothub-message-source": "Telemetry",
    }
    if module_id := module_of(identity.device_id):
        annotations["iothub-connection-module-id"] = module_id
    if model_id:
        annotations["dt-dataschema"] = model_id
    return MappingProxyType(annotations)


def make_message(
    device_id: str, body: bytes, bag: PropertyBag, annotations: Mapping[str, str], now: datetime
) -> Telemetry:
    """Put a message together; some system properties become annotations (component, interface, creation time)."""
    if bag.system:
        named = {_ANNOTATED[key]: value for key, value in bag.system.items() if value and key in _ANNOTATED}
        if named:
            annotations = {**annotations, **named}
    return Telemetry(
        device_id=device_id,
        body=body,
        system=bag.system,
        properties=bag.properties,
        annotations=annotations,
        enqueued_at=now,
    )


class TelemetryStream:
    """The messages of one endpoint of a hub: appended to the log, hinted at on the bus."""

    def __init__(
        self, *, hub: str, stream: str = BUILT_IN, log: EventLog, bus: Bus, clock: Clock, created_at: datetime
    ) -> None:
        self.created_at = created_at
        self._hub = hub
        self._stream = stream
        self._log = log
        self._bus = bus
        self._clock = clock
        self._stored: dict[int, StoredTelemetry] = {}
        self._news = asyncio.Event()
        self.is_closed = False
        """The endpoint was removed."""
        self._tails: dict[int, PartitionTail] = {}
        """Of the partitions that somebody in this process reads."""

    @property
    def log(self) -> EventLog:
        """The messages themselves."""
        return self._log

    async def append(self, message: Telemetry) -> StoredTelemetry:
        """Store one message; it is durable when this returns."""
        stored = await self._log.append(message)
        self.stored(stored)
        return stored

    def stored(self, stored: StoredTelemetry) -> None:
        """Learn that this process has stored something here: hint at it, and let its readers have it."""
        self._stored[stored.partition] = stored
        self._news.set()
        if self._tails and (tail := self._tails.get(stored.partition)) is not None:
            tail.push(stored)

    @contextmanager
    def reading(self, partition: int, wake: asyncio.Event) -> Iterator[PartitionTail]:
        """Read a partition through what its readers in this process share; `wake` is set when there may be more."""
        tail = self._tails.get(partition)
        if tail is None:
            tail = self._tails[partition] = PartitionTail(self._log, partition)
        tail.listen(wake)
        try:
            yield tail
        finally:
            tail.forget(wake)
            if not tail.is_read:
                self._tails.pop(partition, None)

    def heard(self, partition: int) -> None:
        """Learn that a process has stored something in a partition: its readers look."""
        if (tail := self._tails.get(partition)) is not None:
            tail.wake()

    def wake_readers(self) -> None:
        """Let all readers look, for hints may be lost."""
        for tail in self._tails.values():
            tail.wake()

    def close(self) -> None:
        """Hint no more, and let readers go: the endpoint was removed."""
        self.is_closed = True
        self._news.set()
        self.wake_readers()

    async def run(self) -> None:
        """Publish hints until closed: the newest message of each partition, at most once per interval."""
        while not self.is_closed:
            await self._news.wait()
            self._news.clear()
            stored, self._stored = self._stored, {}
            for partition, newest in stored.items():
                await self._bus.publish(
                    TelemetryStored(
                        hub=self._hub,
                        stream=self._stream,
                        device_id=newest.telemetry.device_id,
                        partition=partition,
                        offset=newest.offset,
                    )
                )
            await self._clock.sleep(HINT_INTERVAL)


def _decode(text: str) -> str:
    if "%" not in text:
        return text
    parts = text.split("%")
    if not all(_is_hex(part[:2]) for part in parts[1:]):
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return text


def _is_hex(digits: str) -> bool:
    return len(digits) == 2 and all(digit in "0123456789abcdefABCDEF" for digit in digits)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
