"""What those who change things at a hub ask before they do: what is to be told of it (contract hub.md 21.2).

Each answer is what the store must append to the event log in the change's own transaction, so that a change and what
is told of it stand or fall together; `stored` is then called with what the store returned. Which routes there are,
and what messages look like, is `routing/`'s.
"""

from collections.abc import Sequence
from typing import Protocol

from homeport.hub.model import (
    ConnectionState,
    Device,
    JsonObject,
    MessageSource,
    Outgoing,
    StoredTelemetry,
    Twin,
)


class Telling(Protocol):
    """What is told of one hub: nothing, at no cost, as long as no route takes the source."""

    def wanted(self, source: MessageSource) -> bool:
        """Tell whether any route takes messages of this source."""
        ...

    def needs_twin(self, source: MessageSource) -> bool:
        """Tell whether routing a message of this source takes the device's twin."""
        ...

    def stored(self, stored: Sequence[StoredTelemetry]) -> None:
        """Let those know who read the log."""
        ...

    def created(self, device: Device) -> Sequence[Outgoing]:
        """Tell that an identity was made."""
        ...

    def deleted(self, device: Device) -> Sequence[Outgoing]:
        """Tell that an identity was deleted; `device` is as it was."""
        ...

    def twin_patched(
        self,
        before: Device,
        after: Device,
        *,
        tags: JsonObject | None = None,
        desired: JsonObject | None = None,
        reported: JsonObject | None = None,
    ) -> Sequence[Outgoing]:
        """Tell what was written to a twin, with nulls for what was taken away."""
        ...

    def twin_replaced(self, before: Device, after: Device) -> Sequence[Outgoing]:
        """Tell that tags and desired properties were replaced."""
        ...

    def connection(self, device: Device, state: ConnectionState, sequence: int) -> Sequence[Outgoing]:
        """Tell that a device connected or left; `sequence` orders what is told of one device."""
        ...

    def job_ended(self, identity: str, job_type: str, body: bytes, twin: Twin | None) -> Sequence[Outgoing]:
        """Tell what came of a scheduled job for one device; `body` is its row of `devices.jobs`."""
        ...
