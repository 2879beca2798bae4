"""The documents of digital twins exactly as clients see them (contract hub.md 12)."""

from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct


class PatchStep(WireStruct, frozen=True, kw_only=True):
    """One operation of a JSON patch (RFC 6902)."""

    op: str
    path: str
    value: Any | UnsetType = UNSET


patch_decoder = Decoder(list[PatchStep])
