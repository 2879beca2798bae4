"""The addresses of Event Hubs clients at a hub (contract hub.md 20.1). Pure."""

import re
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from homeport.hub.frontends.amqp.addresses import Path, is_words

_PARTITION: Final = re.compile(r"[0-9]{1,4}")
_NODE: Final = "$management"


class PartitionAddress(Struct, frozen=True, kw_only=True):
    """`{eh}/ConsumerGroups/{cg}/Partitions/{p}`; `partition` is None for what cannot be one."""

    event_hub: str
    group: str
    partition: int | None


class ManagementAddress(Struct, frozen=True):
    """`$management`, or `{eh}/$management`."""

    event_hub: str | None


class ElsewhereAddress(Struct, frozen=True):
    """`messages/events/…` at the hub: what is asked for has this tail behind the event hub's name."""

    tail: Path


EventAddress = PartitionAddress | ManagementAddress | ElsewhereAddress


def is_event_path(path: Path) -> bool:
    """Tell whether a path is one of these addresses, malformed or not."""
    if is_words(path, _NODE) or is_words(path[:2], "messages", "events"):
        return True
    if is_words(path[:1], "messages") or is_words(path[:1], "devices"):
        return False
    return is_words(path[1:2], "consumergroups") or is_words(path[1:], _NODE)


def read_event_path(path: Path) -> EventAddress | None:
    """Take an address apart; None for one that is malformed."""
    if is_words(path[:2], "messages", "events"):
        return ElsewhereAddress(path[2:])
    if is_words(path, _NODE):
        return ManagementAddress(None)
    if is_words(path[1:], _NODE):
        return ManagementAddress(unquote(path[0]))
    match path:
        case (event_hub, groups, group, partitions, partition) if is_words(
            (groups, partitions), "consumergroups", "partitions"
        ):
            number = int(partition) if _PARTITION.fullmatch(partition) else None
            return PartitionAddress(event_hub=unquote(event_hub), group=unquote(group), partition=number)
    return None
