"""The IP filter's documents, under `/homeport/ipFilter`."""

from typing import Literal

from msgspec import UNSET, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct


class Rule(WireStruct, frozen=True, kw_only=True):
    """One rule; without `target` it is for all."""

    name: str
    action: Literal["allow", "deny"]
    network: str
    target: Literal["devices", "service", "portal", "all"] = "all"


class Rules(WireStruct, frozen=True, kw_only=True):
    """All rules in their order: the body of PUT, and the answer."""

    rules: list[Rule]
    etag: str | UnsetType = UNSET


class Decision(WireStruct, frozen=True, kw_only=True):
    """What the rules do with an address at one target, and which of them; none if no rule matches."""

    target: str
    allowed: bool
    rule: str | UnsetType = UNSET


class Decisions(WireStruct, frozen=True, kw_only=True):
    address: str
    decisions: list[Decision]


rules = Decoder(Rules)
