"""The subscriptions devices leave behind for their next connection (clean session 0; contract hub.md 13.10)."""

from collections.abc import Mapping
from dataclasses import dataclass

from homeport.hub.responder import Connected

MAX_KEPT = 1_000_000
"""Devices whose subscriptions are kept; the longest unused go first."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """For as long as it is the same device."""

    generation_id: str
    filters: Mapping[str, int]


class KeptSubscriptions:
    """Filters with their granted quality, by device."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def recall(self, connected: Connected, *, clean: bool) -> Mapping[str, int] | None:
        """Return what is kept for this device, None if there is no such state; a clean start drops it."""
        session = connected.session
        kept = self._kept.pop(session.device_id, None)
        if clean or kept is None or kept.generation_id != session.generation_id:
            return None
        return kept.filters

    def keep(self, connected: Connected, filters: Mapping[str, int]) -> None:
        """Remember the subscriptions of a device; last used, last forgotten."""
        session = connected.session
        self._kept.pop(session.device_id, None)
        if len(self._kept) >= MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[session.device_id] = _Kept(session.generation_id, filters)
