"""What a device is subscribed to beyond one connection (contract hub.md 13.10)."""

from collections.abc import Mapping

from msgspec import Struct


class KeptFilters(Struct, frozen=True, kw_only=True):
    """Topic filters with their granted quality, for as long as it is the same device."""

    generation_id: str
    filters: Mapping[str, int]
