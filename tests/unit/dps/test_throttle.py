"""Rates per service, address and device: who is refused, who is not, and when they are told to come back."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.dps.throttle import DEFAULT_RATES, LONGEST_WAIT, Call, Comeback, Rates, Scope, Throttle, ThrottledError
from homeport.errors import Code
from homeport.limits import Rate
from homeport.values import replace

NONE = Rates(**dict.fromkeys(Rates.__struct_fields__))


def same_bytes(count: int) -> bytes:
    return bytes(count)


def throttle(**rates: Rate) -> Throttle:
    return Throttle(replace(NONE, **rates), same_bytes)


def refused(limits: Throttle, call: Call, *, now: float = 0.0, address: str = "192.0.2.1", device: str = "d") -> int:
    """Return the retry-after, 0 if the call was let in."""
    try:
        limits.take(call, now=now, address=address, device=device)
    except ThrottledError as error:
        return error.retry_after or 0
    return 0


def test_a_refusal_is_429_and_says_which_limit_it_was() -> None:
    limits = throttle(device_polls=Rate(1, 10))
    limits.take(Call.POLL, now=0, address="192.0.2.1", device="d")
    with pytest.raises(ThrottledError) as caught:
        limits.take(Call.POLL, now=0, address="192.0.2.1", device="d")
    assert (caught.value.code, caught.value.scope) == (Code.THROTTLED, Scope.DEVICE)
    assert "1/10s" in caught.value.why
    assert "1/10s" not in caught.value.message


def test_the_poll_budget_of_the_contract() -> None:
    """Five in ten seconds (contract dps.md 10), however a device spells its name."""
    limits = Throttle(DEFAULT_RATES, same_bytes)
    assert [refused(limits, Call.POLL, device=name) for name in ("d", "D", "d", "D", "d", "d")] == [0, 0, 0, 0, 0, 2]
    assert refused(limits, Call.POLL, now=1.9) == 1
    assert refused(limits, Call.POLL, now=2.0) == 0
    assert limits.refused == {(Call.POLL, Scope.DEVICE): 2}


def test_registering_and_polling_are_counted_apart() -> None:
    limits = throttle(device_polls=Rate(1, 10), device_registrations=Rate(1, 10))
    assert [refused(limits, Call.POLL), refused(limits, Call.REGISTER)] == [0, 0]
    assert [refused(limits, Call.POLL), refused(limits, Call.REGISTER)] == [10, 10]


def test_a_stranger_elsewhere_does_not_use_up_a_device() -> None:
    limits = throttle(device_polls=Rate(2, 10))
    assert [bool(refused(limits, Call.POLL, address="198.51.100.1")) for _ in range(4)] == [False, False, True, True]
    assert refused(limits, Call.POLL, address="192.0.2.1") == 0


def test_one_network_does_not_use_up_another() -> None:
    limits = throttle(address_registrations=Rate(2, 10))
    flood = [refused(limits, Call.REGISTER, address=f"2001:db8::{number}", device=f"d{number}") for number in range(4)]
    assert [bool(each) for each in flood] == [False, False, True, True]
    assert refused(limits, Call.REGISTER, address="2001:db8:0:1::1", device="other") == 0


def test_what_one_limit_refuses_the_others_do_not_count() -> None:
    limits = throttle(device_registrations=Rate(2, 10), registrations=Rate(3, 10))
    for _ in range(20):
        refused(limits, Call.REGISTER, device="greedy")
    assert refused(limits, Call.REGISTER, device="modest") == 0
    assert refused(limits, Call.REGISTER, device="late") > 0
    # And the device that the service had no room for may come as often as before.
    assert refused(limits, Call.REGISTER, now=10, device="late") == 0
    assert refused(limits, Call.REGISTER, now=10, device="late") == 0


def test_strangers_do_not_use_up_the_service() -> None:
    limits = throttle(registrations=Rate(2, 10))
    for number in range(50):
        assert refused(limits, Call.REGISTER, device=f"nobody{number}") == 0
        limits.give_back(Call.REGISTER)
    assert refused(limits, Call.REGISTER) == 0


@settings(deadline=None)
@given(st.integers(1, 2000), st.floats(0.0005, 2), st.floats(0, 5))
def test_retries_come_spread_as_far_as_they_can_be_served(count: int, interval: float, wait: float) -> None:
    comeback = Comeback(same_bytes)
    told = [comeback.after(100.0, wait, interval) for _ in range(count)]
    assert all(max(1, wait) <= each <= LONGEST_WAIT + 1 for each in told)
    within = Counter(each for each in told if each < LONGEST_WAIT // 2)
    assert all(many <= 1 / interval + 1 for second, many in within.items() if second > wait + 1)


def test_rows_do_not_wait_for_each_other_and_are_bounded() -> None:
    comeback = Comeback(same_bytes)
    for _ in range(1000):
        comeback.after(0.0, 1.0, 0.1, key="flood")
    assert comeback.after(0.0, 1.0, 0.1, key="modest") == 2
    for number in range(20_000):
        comeback.after(0.0, 1.0, 0.1, key=f"2001:db8:{number:x}::/64")
        assert len(comeback._last) <= 1000


def test_what_was_not_answered_counts_nowhere() -> None:
    limits = throttle(device_polls=Rate(1, 10), address_polls=Rate(1, 10), polls=Rate(1, 10))
    for _ in range(20):
        limits.take(Call.POLL, now=0, address="192.0.2.1", device="d")
        limits.undo(Call.POLL, address="192.0.2.1", device="D")


def test_the_end_of_a_long_row_is_scattered() -> None:
    draws = iter(range(10_000))

    def scattered(count: int) -> bytes:
        return (next(draws) * 7919 % 65536).to_bytes(count)

    comeback = Comeback(scattered)
    told = [comeback.after(0.0, 1.0, 1.0) for _ in range(2000)][LONGEST_WAIT:]
    assert len(set(told)) > LONGEST_WAIT // 4
    assert min(told) >= LONGEST_WAIT // 2


@pytest.mark.parametrize("call", Call)
def test_a_rate_that_is_off_limits_nothing(call: Call) -> None:
    limits = Throttle(NONE, same_bytes)
    assert not any(refused(limits, call) for _ in range(1000))
