"""A flood of refusals is a few entries with a number in them."""

from homeport.dps.journal import TOLD_APART, Refusals
from homeport.dps.model import Outcome
from homeport.values import replace
from tests.contract.store.samples import attempt

REFUSED = replace(attempt("dev", 1), outcome=Outcome.REFUSED, code=401002, reason="no such key")


def test_calls_of_the_same_kind_are_told_together() -> None:
    refusals = Refusals()
    for _ in range(1000):
        refusals.note(REFUSED)
    refusals.note(replace(REFUSED, remote_address="192.0.2.9"))
    refusals.note(replace(REFUSED, outcome=Outcome.ASSIGNED))
    first, second = refusals.take()
    assert (first.subject, first.data["calls"], first.data["errorCode"]) == ("devices/dev", 1000, 401002)
    assert (first.by.name, first.by.tracking_id) == ("dev", REFUSED.tracking_id)
    assert (second.by.remote_address, second.data["calls"]) == ("192.0.2.9", 1)
    assert refusals.take() == []


def test_a_flood_of_names_is_bounded() -> None:
    refusals = Refusals()
    for number in range(5000):
        refusals.note(replace(REFUSED, registration_id=f"{number}-" + "x" * 5000))
    entries = refusals.take()
    assert len(entries) == TOLD_APART + 1
    assert all(len(entry.subject) < 200 for entry in entries)
    assert (entries[-1].subject, entries[-1].data["calls"]) == ("devices", 5000 - TOLD_APART)
