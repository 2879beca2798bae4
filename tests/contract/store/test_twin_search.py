"""What a store leaves out of a scan is nothing that the evaluator would have selected (contract hub.md 8.2)."""

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from homeport.hub import translate
from homeport.hub.model import Bounded, Device, OneOf, TwinSection
from homeport.hub.query import holds, necessary, parse_condition
from homeport.store import Stores
from homeport.store.devices import SqlDeviceStore
from homeport.values import replace
from tests.contract.store.samples import device

NAMES = ("a", "b", "it's", "x y", "ü", "a.b", "$.a")
NUMBERS = (0, 1, 2, -3, 1.0, 0.5, 1e300, 2**60)
VALUES = (None, True, False, *NUMBERS, "", "1", "true", "it's", 'a "quoted" one', "ü", "\0", "z/y")
SIGNS = ("=", "!=", "<", "<=", ">", ">=")


@pytest.fixture
def devices(stores: Stores) -> SqlDeviceStore:
    return stores.devices("Hub")


def twins(chance: random.Random, count: int) -> Iterator[Device]:
    def content() -> dict[str, Any]:
        return {
            chance.choice(NAMES): {chance.choice(NAMES): chance.choice(VALUES)}
            if chance.random() < 0.3
            else chance.choice(VALUES)
            for _ in range(3)
        }

    for number in range(count):
        made = device(f"d{number:03d}")
        twin = replace(
            made.twin,
            tags=content(),
            desired=TwinSection(content=content(), metadata={}),
            reported=TwinSection(content=content(), metadata={}),
        )
        yield replace(made, twin=twin)


def conditions(chance: random.Random) -> str:
    def name() -> str:
        names = [chance.choice(NAMES)] + ([chance.choice(NAMES)] if chance.random() < 0.3 else [])
        front = chance.choice(("tags", "properties.desired", "properties.reported"))
        return front + "".join("['" + each.replace("'", "''") + "']" for each in names)

    def value() -> str:
        chosen = chance.choice(VALUES)
        return (
            "'" + chosen.replace("'", "''") + "'" if isinstance(chosen, str) else msgspec.json.encode(chosen).decode()
        )

    def comparison() -> str:
        if chance.random() < 0.2:
            return f"{name()} {chance.choice(('IN', 'NIN'))} [{value()}, {value()}]"
        left, right = (name(), value()) if chance.random() < 0.7 else (value(), name())
        return f"{left} {chance.choice(SIGNS)} {right}"

    def condition(depth: int) -> str:
        if depth and chance.random() < 0.6:
            return f"({condition(depth - 1)} {chance.choice(('AND', 'OR'))} {condition(depth - 1)})"
        return f"NOT {comparison()}" if depth and chance.random() < 0.1 else comparison()

    return condition(2)


async def test_nothing_that_is_meant_is_left_out(devices: SqlDeviceStore) -> None:
    chance = random.Random(20)
    stored = list(twins(chance, 60))
    for each in stored:
        await devices.create(each)
    documents = {each.identity.device_id: msgspec.to_builtins(translate.twin_document(each)) for each in stored}
    narrowed = 0
    for _ in range(400):
        text = conditions(chance)
        condition = parse_condition(text)
        meant = {device_id for device_id, document in documents.items() if holds(condition, document)}
        page = await devices.page(after=None, limit=100, sought=necessary(condition))
        found = {each.identity.device_id for each in page.items}
        assert meant <= found, text
        narrowed += len(found) < len(stored)
    assert narrowed > 100


async def test_what_cannot_be_meant_is_left_out(devices: SqlDeviceStore) -> None:
    for number in range(20):
        made = device(f"d{number:02d}")
        tags = {"floor": number % 4, "site": {"name": "north" if number < 10 else "south"}}
        await devices.create(replace(made, twin=replace(made.twin, tags=tags)))
    both = (OneOf(("tags", "site", "name"), frozenset({"north", "east"})), Bounded(("tags", "floor"), low=2))
    page = await devices.page(after="d02", limit=2, sought=both)
    assert [each.identity.device_id for each in page.items] == ["d03", "d06"]
    rest = await devices.page(after=page.after, limit=2, sought=both)
    assert [each.identity.device_id for each in rest.items] == ["d07"]
    assert rest.after is None
    none = await devices.page(after=None, limit=2, sought=[OneOf(("tags", "floor"), frozenset({"2"}))])
    assert none.items == []


async def test_a_search_goes_on_behind_a_stretch_without_finds(
    devices: SqlDeviceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeport.store.devices._STRETCH_END", " ORDER BY device_id LIMIT 1 OFFSET 2")
    for number in range(8):
        made = device(f"d{number}")
        await devices.create(replace(made, twin=replace(made.twin, tags={"last": number == 7})))
    found, after, pages = [], None, 0
    while pages == 0 or after is not None:
        page = await devices.page(after=after, limit=5, sought=[OneOf(("tags", "last"), frozenset({True}))])
        found += [each.identity.device_id for each in page.items]
        after, pages = page.after, pages + 1
    assert (found, pages) == (["d7"], 3)
