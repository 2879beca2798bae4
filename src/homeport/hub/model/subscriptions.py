"""What a device is subscribed to beyond one connection (contract hub.md 13.10)."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFilters:
    """Topic filters with their granted quality, for as long as it is the same device."""

    generation_id: str
    filters: Mapping[str, int]
