"""Carries a plan out: kind by kind, several changes of a kind at once; one that fails does not stop the others."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby

from homeport.ascode.plan import Change, Plan
from homeport.client import ClientError

AT_ONCE = 16
"""Requests under way at the same time: enough to hide the round trips, few enough for a service with quotas."""

Progress = Callable[[Change, ClientError | None], None]


@dataclass(slots=True, kw_only=True)
class Applied:
    """How a plan ended. Nothing is half done: each change is one request."""

    done: int = 0
    failures: list[tuple[Change, ClientError]] = field(default_factory=list)


async def apply_plan(plan: Plan, *, progress: Progress, at_once: int = AT_ONCE) -> Applied:
    """Carry out every change and report each; running it again afterwards does what is left."""
    applied = Applied()
    # Neighbours of one kind and action do not depend on each other.
    for _, changes in groupby(plan.changes, key=lambda change: (change.kind.section, change.action)):
        await _together(changes, applied, progress, at_once)
    return applied


async def _together(changes: Iterable[Change], applied: Applied, progress: Progress, at_once: int) -> None:
    waiting = iter(changes)

    async def work() -> None:
        for change in waiting:
            failure: ClientError | None = None
            try:
                await change.carry_out()
            except ClientError as error:
                failure = error
                applied.failures.append((change, error))
            else:
                applied.done += 1
            progress(change, failure)

    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(work())
