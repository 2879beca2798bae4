"""Imports and exports of a hub's registry, as values (contract hub.md 10)."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from homeport.values import hiding


class TransferKind(StrEnum):
    IMPORT = "import"
    EXPORT = "export"


class TransferStatus(StrEnum):
    ENQUEUED = "enqueued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        return self in {TransferStatus.COMPLETED, TransferStatus.FAILED, TransferStatus.CANCELLED}


class TransferPhase(StrEnum):
    """What is being read or written; in this order."""

    DEVICES = "devices"
    MODULES = "modules"
    """Of an export: an import reads them among the devices."""
    CONFIGURATIONS = "configurations"
    FINISH = "finish"


class TransferPlace(Struct, frozen=True, kw_only=True):
    """How far a transfer is; all before it is done and durable, so that another process can go on from here."""

    phase: TransferPhase = TransferPhase.DEVICES
    offset: int = 0
    """Of an import: bytes of the input that are worked off; they end with a line."""
    lines: int = 0
    """Of an import: as many lines; of an export: devices and modules."""
    after: str = ""
    """Of an export: the id of the last one that is written."""
    blocks: int = 0
    """Of the output, or of the log of errors: how many are stored and wait to be committed."""
    total: int = 0
    """What is counted up to: bytes of the input, or devices. 0 until it is known."""
    etag: str = ""
    """Of an import: the version of the input that was begun with."""


@hiding("input_container", "output_container")
class Transfer(Struct, frozen=True, kw_only=True):
    """A job that reads devices from a blob, or writes all there are to one.

    The addresses of containers open them: they are forgotten when the job ends.
    """

    job_id: str
    kind: TransferKind
    status: TransferStatus = TransferStatus.ENQUEUED
    created_at: datetime
    ended_at: datetime | None = None
    input_container: str | None = None
    input_blob: str = "devices.txt"
    output_container: str | None = None
    output_blob: str = "devices.txt"
    exclude_keys: bool = False
    include_configurations: bool = False
    configurations_blob: str = "configurations.txt"
    failure: str | None = None
    place: TransferPlace = TransferPlace()

    @property
    def progress(self) -> int:
        """Percent; 100 only at the end."""
        if self.status is TransferStatus.COMPLETED:
            return 100
        done = self.place.offset if self.kind is TransferKind.IMPORT else self.place.lines
        return min(99, done * 100 // self.place.total) if self.place.total else 0
