"""Finds the devices or modules that a condition selects, in order of their id (contract hub.md 8.2, 9.1, 11.1).

Documents are judged one by one, with room for others in between; only devices that the condition names are read alone,
and the store leaves out what it can tell.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from homeport.hub import translate
from homeport.hub.model import Device, Sought
from homeport.hub.query import Source, holds, named_devices, necessary, parse_condition
from homeport.hub.query.syntax import Expression
from homeport.hub.registry import Registry

_SCANNED = 500
"""Devices read and judged before others get their turn."""
_MAX_NAMED = 1000
"""A condition that names more devices is answered by looking at all."""

Counts = Callable[[Collection[str]], Awaitable[Mapping[str, int]]]

_FROM = re.compile(
    r"\s*FROM\s+devices(?P<modules>\.modules)?(?:\s+WHERE\s+(?P<condition>.*)|\s*)", re.IGNORECASE | re.DOTALL
)


class Selection(Struct, frozen=True):
    """What is looked through, and what must hold; None selects everything."""

    source: Source
    condition: Expression | None


def read_selection(text: str) -> Selection:
    """Read a condition over devices, or `FROM devices.modules WHERE …` over modules. Raises QueryError."""
    match = _FROM.fullmatch(text)
    if match is None:
        return Selection(Source.DEVICES, parse_condition(text))
    source = Source.MODULES if match["modules"] else Source.DEVICES
    return Selection(source, parse_condition(match["condition"] or "", source))


def bare_condition(text: str) -> str:
    """Return what can stand behind WHERE for a target condition: none selects nothing, `*` everything."""
    match = _FROM.fullmatch(text)
    condition = (text if match is None else match["condition"] or "*").strip()
    return {"": "false", "*": "true"}.get(condition, condition)


async def select(
    registry: Registry, selection: Selection, after: str, counts: Counts | None = None
) -> AsyncIterator[tuple[Device, dict[str, Any]]]:
    """Yield what is selected behind the id `after`, each with the document it was judged by.

    `counts` tells how many messages wait for devices; without it documents say that none do.
    """
    modules = selection.source is Source.MODULES
    # A module's device does not say which of its modules are meant.
    named = None if modules else named_devices(selection.condition)
    everything = named is None or len(named) > _MAX_NAMED
    if named is None or everything:
        some = _all(registry, after, modules=modules, sought=necessary(selection.condition))
    else:
        some = _named(registry, named, after)
    async for devices in some:
        waiting = {} if counts is None else await counts([device.identity.device_id for device in devices])
        for device in devices:
            messages = waiting.get(device.identity.device_id, 0)
            document = msgspec.to_builtins(translate.twin_document(device, messages))
            if holds(selection.condition, document):
                yield device, document


def asks_for_counts(text: str) -> bool:
    """Tell whether a query or condition may depend on how many messages wait: counting them costs a query a page."""
    return "cloudtodevicemessagecount" in text.lower()


async def _all(
    registry: Registry, place: str, *, modules: bool, sought: Sequence[Sought]
) -> AsyncIterator[Sequence[Device]]:
    after: str | None = place or None
    while True:
        page = await registry.page(after=after, limit=_SCANNED, modules=modules, sought=sought)
        yield page.items
        after = page.after
        if after is None:
            return
        await asyncio.sleep(0)


async def _named(registry: Registry, names: frozenset[str], place: str) -> AsyncIterator[Sequence[Device]]:
    for name in sorted(name for name in names if name > place):
        device = await registry.find(name)
        if device is not None:
            yield (device,)
