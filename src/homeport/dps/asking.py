"""One try at custom allocation: ask, check the answer like any other decision, settle it (contract dps.md 9.3).

Nothing is recorded here. A process that dies in between leaves the question open, and the next one asks again.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from msgspec import Struct

from homeport.dps.allocation import NoHub, judge
from homeport.dps.fleet import read_fleet
from homeport.dps.identifiers import Random
from homeport.dps.model import Assignment, Failure, Question, Registration
from homeport.dps.ports import AllocationRefusedError, AllocationUnavailableError, Allocator, LinkedHubStore
from homeport.dps.settlement import Settled, describe, settle, with_twin
from homeport.dps.translate_allocation import AnswerError, allocation_answer, place_of
from homeport.errors import Code

TRY_SECONDS = 5.0
RETRIES = 10
_FIRST_INTERVAL = timedelta(seconds=1)
_INCREMENT = timedelta(seconds=9)


class Chosen(Struct, frozen=True, kw_only=True):
    """The hub that was answered, and what is to be done there."""

    settled: Settled
    own_twin: bool
    payload: bytes | None
    room: int | None
    """The hub's limit, if it has one and the device is new to it."""
    explanation: str


class AskAgain(Struct, frozen=True, kw_only=True):
    """No answer yet."""

    after: timedelta
    explanation: str


class Unanswered(Struct, frozen=True, kw_only=True):
    """There will be no answer that can be used."""

    failure: Failure
    explanation: str


Asked = Chosen | AskAgain | Unanswered

Patiently = Callable[[Awaitable[bytes], float], Awaitable[bytes]]
"""Awaits a call for at most so many seconds, keeping the lease; raises TimeoutError."""


async def ask(
    registration: Registration, allocator: Allocator, hubs: LinkedHubStore, random: Random, patiently: Patiently
) -> Asked:
    """Put the operation's question once."""
    operation = registration.operation
    question = operation.question
    assert question is not None
    place = place_of(question.definition.webhook_url)
    call = allocator.ask(question.definition, question.request, question_id=operation.id)
    try:
        try:
            body = await patiently(call, TRY_SECONDS)
        except TimeoutError:
            raise AllocationUnavailableError(f"no answer within {TRY_SECONDS:.0f} seconds") from None
        answer = allocation_answer(body)
    except AllocationUnavailableError as error:
        return _again(operation.attempts + 1, _told(place, error))
    except AllocationRefusedError as error:
        if error.unauthorized:
            return _unanswered(Code.CUSTOM_ALLOCATION_UNAUTHORIZED, "CustomAllocationUnauthorizedAccess", place, error)
        return _unanswered(Code.CUSTOM_ALLOCATION_FAILED, "CustomAllocationFailed", place, error)
    except AnswerError as error:
        if error.no_hub:
            return _unanswered(Code.NO_HUB, "CustomAllocationIotHubNotSpecified", place, error)
        return _unanswered(Code.CUSTOM_ALLOCATION_FAILED, "CustomAllocationFailed", place, error)
    fleet = await read_fleet(hubs)
    current = registration.assignment
    judged = judge(answer.hub, question.offered, fleet, current.hub if current else None)
    if isinstance(judged, NoHub):
        return _unanswered(Code.CUSTOM_ALLOCATION_FAILED, "CustomAllocationFailed", place, judged.reason)
    target = Assignment(hub=judged.hub.host_name, device_id=question.terms.device_id)
    settled = settle(with_twin(question.terms, answer.initial_twin), current, target, fleet.hubs, random)
    return Chosen(
        settled=settled,
        own_twin=answer.initial_twin is not None,
        payload=answer.payload,
        room=judged.hub.max_devices if settled.is_new else None,
        explanation=f"{place} chose {target.hub}; {_consequence(settled)}",
    )


def no_room(question: Question, hub: str) -> Unanswered:
    """Give up: the answered hub took its last device while the answer was checked."""
    place = place_of(question.definition.webhook_url)
    reason = f"the answer names {hub}, which is full by now"
    return _unanswered(Code.CUSTOM_ALLOCATION_FAILED, "CustomAllocationFailed", place, reason)


def out_of_time(question: Question, explanation: str) -> Unanswered:
    """Give up: the operation's deadline has passed before there was an answer."""
    reason = explanation or "it was not asked before the operation's deadline passed"
    place = place_of(question.definition.webhook_url)
    return _unanswered(Code.CUSTOM_ALLOCATION_FAILED, "CustomAllocationFailed", place, reason)


def _again(tries: int, reason: str) -> Asked:
    if tries > RETRIES:
        failure = Failure(
            code=Code.CUSTOM_ALLOCATION_FAILED,
            message=f"CustomAllocationFailed: no answer was to be had in {tries} tries.",
        )
        return Unanswered(failure=failure, explanation=f"{reason} (try {tries}, the last one)")
    wait = _FIRST_INTERVAL + (tries - 1) * _INCREMENT
    return AskAgain(
        after=wait,
        explanation=f"{reason} (try {tries} of {RETRIES + 1}; asked again after {wait.total_seconds():.0f} s)",
    )


def _unanswered(code: Code, name: str, place: str, reason: object) -> Unanswered:
    return Unanswered(failure=Failure(code=code, message=f"{name}: {reason}."), explanation=_told(place, reason))


def _told(place: str, reason: object) -> str:
    text = str(reason)
    return text if text.startswith(place) else f"{place}: {text}"


def _consequence(settled: Settled) -> str:
    if settled.left_behind is not None:
        return f"{settled.left_behind} is not linked any more, the device's data there is left behind"
    return describe(settled.plan)
