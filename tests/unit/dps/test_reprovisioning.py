"""Registering again: the whole table of contract dps.md 9.4."""

import pytest

from homeport.dps.model import Assignment, ReprovisionPolicy, Substatus
from homeport.dps.reprovisioning import Begin, Keep, Move, Plan, Reset, plan, stays

HERE = Assignment(hub="a.example", device_id="dev")
THERE = Assignment(hub="b.example", device_id="dev")
RENAMED = Assignment(hub="a.example", device_id="pump")
SHOUTED = Assignment(hub="A.EXAMPLE", device_id="dev")

OLD, NEW = "2018-04-01", "2018-11-01"


def policy(*, update: bool, migrate: bool) -> ReprovisionPolicy:
    return ReprovisionPolicy(update_hub_assignment=update, migrate_device_data=migrate)


MIGRATE, RESET = policy(update=True, migrate=True), policy(update=True, migrate=False)
NEVER, NEVER_BUT_MIGRATE = policy(update=False, migrate=False), policy(update=False, migrate=True)


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("given", [None, MIGRATE, RESET, NEVER, NEVER_BUT_MIGRATE])
def test_a_first_registration_begins(given: ReprovisionPolicy | None, version: str) -> None:
    assert plan(None, THERE, given, version) == Begin(target=THERE)


STAYED, MOVED, CLEARED = (
    Substatus.REPROVISIONED_TO_INITIAL_ASSIGNMENT,
    Substatus.DEVICE_DATA_MIGRATED,
    Substatus.DEVICE_DATA_RESET,
)
ALL, OLD_ONES, NEW_ONES = (
    (OLD, NEW, "2017-08-31-preview", "2026-11-01"),
    (OLD, "2017-11-15", "2017-08-31-preview"),
    (NEW, "2018-09-01-preview", "2019-03-31"),
)

TABLE: list[tuple[ReprovisionPolicy | None, tuple[str, ...], Assignment, Plan, Substatus]] = [
    (MIGRATE, ALL, HERE, Keep(target=HERE), STAYED),
    (MIGRATE, ALL, SHOUTED, Keep(target=SHOUTED), STAYED),
    (MIGRATE, ALL, THERE, Move(target=THERE, leaves=HERE), MOVED),
    (MIGRATE, ALL, RENAMED, Move(target=RENAMED, leaves=HERE), MOVED),
    (RESET, ALL, HERE, Reset(target=HERE, moved=False, leaves=None), STAYED),
    (RESET, ALL, THERE, Reset(target=THERE, moved=True, leaves=HERE), CLEARED),
    (NEVER, ALL, HERE, Keep(target=HERE), STAYED),
    (NEVER, ALL, THERE, Keep(target=HERE), STAYED),
    (NEVER_BUT_MIGRATE, ALL, THERE, Keep(target=HERE), STAYED),
    (None, OLD_ONES, HERE, Keep(target=HERE), STAYED),
    (None, OLD_ONES, THERE, Keep(target=HERE), STAYED),
    (None, NEW_ONES, HERE, Keep(target=HERE), STAYED),
    (None, NEW_ONES, THERE, Move(target=THERE, leaves=HERE), MOVED),
]
CASES = [(given, version, *outcome) for given, versions, *outcome in TABLE for version in versions]


@pytest.mark.parametrize(("given", "version", "target", "expected", "substatus"), CASES)
def test_the_table(
    given: ReprovisionPolicy | None, version: str, target: Assignment, expected: Plan, substatus: Substatus
) -> None:
    planned = plan(HERE, target, given, version)
    assert planned == expected
    assert planned.success is substatus


def test_a_stranger_never_stays() -> None:
    assert not stays(None, NEVER, OLD)
