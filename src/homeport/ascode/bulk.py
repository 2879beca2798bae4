"""Brings enrollments into a service, many at once; what is there already and the same is left alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec
from msgspec import Struct

from homeport.ascode.documents import MADE_BY_SERVICE, JsonObject, canonical, comparable, declares_keys, differences
from homeport.client import ClientError, ConflictError, EnrollmentGroup, IndividualEnrollment
from homeport.client.aio import ProvisioningServiceClient

AT_ONCE = 16
_IDS = frozenset({"registrationId", "enrollmentGroupId"})
"""They are the same in any letter case, and keep the spelling of their creation."""

Item = IndividualEnrollment | EnrollmentGroup


class Existing(StrEnum):
    """What to do with an enrollment that is there already and differs."""

    FAIL = "fail"
    SKIP = "skip"
    REPLACE = "replace"


class Result(StrEnum):
    CREATED = "created"
    SAME = "same"
    SKIPPED = "skipped"
    REPLACED = "replaced"
    FAILED = "failed"


class Outcome(Struct, frozen=True, kw_only=True):
    """How it went with one item; `reason` of a failure, without secrets."""

    key: int
    """What the caller gave to recognize it by, a line number for example."""
    name: str
    result: Result
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class Tally:
    """How many ended how, and the failures."""

    counts: dict[Result, int] = field(default_factory=lambda: dict.fromkeys(Result, 0))
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.counts[outcome.result] += 1
        if outcome.result is Result.FAILED:
            self.failures.append(outcome)


async def bring_in(
    client: ProvisioningServiceClient,
    items: AsyncIterator[tuple[int, Item]],
    *,
    existing: Existing,
    told: Callable[[Outcome], None],
    at_once: int = AT_ONCE,
) -> None:
    """Write each item and tell how it went, in any order; ends when all are done."""
    lock = asyncio.Lock()

    async def work() -> None:
        while True:
            # An asynchronous iterator gives one item at a time.
            async with lock:
                try:
                    key, item = await anext(items)
                except StopAsyncIteration:
                    return
            told(await _one(client, key, item, existing))

    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(work())


def plain(item: Item) -> Item:
    """Return the item without what a service made: ETag, times, registration state."""
    document: JsonObject = msgspec.to_builtins(item)
    return msgspec.convert({n: v for n, v in document.items() if n not in MADE_BY_SERVICE}, type(item))


def name_of(item: Item) -> str:
    return item.registration_id if isinstance(item, IndividualEnrollment) else item.enrollment_group_id


async def _one(client: ProvisioningServiceClient, key: int, item: Item, existing: Existing) -> Outcome:
    name = name_of(item)
    try:
        result = await _write(client, item, existing)
    except ClientError as error:
        return Outcome(key=key, name=name, result=Result.FAILED, reason=str(error))
    if result is None:
        reason = "it exists and differs"
        return Outcome(key=key, name=name, result=Result.FAILED, reason=reason)
    return Outcome(key=key, name=name, result=result)


async def _write(client: ProvisioningServiceClient, item: Item, existing: Existing) -> Result | None:
    try:
        await _create(client, item)
    except ConflictError:
        if await _is_the_same(client, item):
            return Result.SAME
    else:
        return Result.CREATED
    if existing is Existing.SKIP:
        return Result.SKIPPED
    if existing is Existing.FAIL:
        return None
    if isinstance(item, IndividualEnrollment):
        await client.create_or_update_individual_enrollment(item, force=True)
    else:
        await client.create_or_update_enrollment_group(item, force=True)
    return Result.REPLACED


async def _create(client: ProvisioningServiceClient, item: Item) -> None:
    if isinstance(item, IndividualEnrollment):
        await client.create_or_update_individual_enrollment(item)
    else:
        await client.create_or_update_enrollment_group(item)


async def _is_the_same(client: ProvisioningServiceClient, item: Item) -> bool:
    """Compare with what is there; where the item has no symmetric keys, any do."""
    name = name_of(item)
    wanted: JsonObject = canonical(msgspec.to_builtins(item))
    stored: Item
    if isinstance(item, IndividualEnrollment):
        stored = await client.get_individual_enrollment(name)
        if declares_keys(wanted):
            stored.attestation = await client.get_individual_attestation_mechanism(name)
    else:
        stored = await client.get_enrollment_group(name)
        if declares_keys(wanted):
            stored.attestation = await client.get_group_attestation_mechanism(name)
    before, after = comparable(canonical(msgspec.to_builtins(stored)), wanted)
    return all(each.path in _IDS for each in differences(before, after))
