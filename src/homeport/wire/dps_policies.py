"""Shared access policies as administrators read and write them, under `/homeport/policies`."""

from msgspec import UNSET, UnsetType
from msgspec.json import Decoder

from homeport.wire import WireStruct


class AccessPolicy(WireStruct, frozen=True, kw_only=True):
    """A policy; its keys are told when they are made, or when they are asked for."""

    name: str
    rights: list[str]
    primary_key: str | UnsetType = UNSET
    secondary_key: str | UnsetType = UNSET
    etag: str
    created_date_time_utc: str
    last_updated_date_time_utc: str


class PolicyCreation(WireStruct, frozen=True, kw_only=True):
    """Body of PUT; keys that are left out are made."""

    rights: list[str]
    primary_key: str | UnsetType | None = UNSET
    secondary_key: str | UnsetType | None = UNSET


class PolicyChange(WireStruct, frozen=True, kw_only=True):
    """Body of PATCH."""

    rights: list[str]


class KeyChoice(WireStruct, frozen=True, kw_only=True):
    """Body of `regenerate`: `primary` or `secondary`."""

    key: str


policy_creation = Decoder(PolicyCreation)
policy_change = Decoder(PolicyChange)
key_choice = Decoder(KeyChoice)
