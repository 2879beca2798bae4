"""Laws of token buckets: never more than the rate, honest about the wait, bounded, and no way to be forgotten."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.limits import Buckets, Rate, draw, network_of, parse_rate

rates = st.builds(Rate, st.integers(1, 50), st.sampled_from([0.5, 1.0, 10.0, 60.0]))
gaps = st.lists(st.floats(0, 30), min_size=1, max_size=200)


def granted(rate: Rate, times: list[float]) -> list[float]:
    buckets: Buckets[str] = Buckets(rate)
    return [time for time in times if buckets.take("key", time) == 0]


def moments(steps: list[float]) -> list[float]:
    now, times = 1000.0, []
    for step in steps:
        now += step
        times.append(now)
    return times


@settings(deadline=None)
@given(rates, gaps)
def test_no_window_holds_more_than_the_rate(rate: Rate, steps: list[float]) -> None:
    taken = granted(rate, moments(steps))
    for position, began in enumerate(taken):
        for more, ended in enumerate(taken[position:], start=1):
            # A bucket full at the start, and what flows in meanwhile.
            assert more <= rate.count + (ended - began) / rate.interval + 1e-6


@settings(deadline=None)
@given(rates, gaps)
def test_who_keeps_to_the_rate_is_never_refused(rate: Rate, steps: list[float]) -> None:
    times = moments([step + rate.interval for step in steps])
    assert granted(rate, times) == times


@settings(deadline=None)
@given(rates, gaps)
def test_the_wait_is_honest(rate: Rate, steps: list[float]) -> None:
    """Whoever comes back when told is let in, and whoever comes clearly earlier is not."""
    full_at = 0.0
    for now in moments(steps):
        wait, after = draw(rate, full_at, now)
        if wait:
            assert draw(rate, after, now + wait).wait == 0
            assert draw(rate, after, now + wait * 0.99 - 1e-6).wait > 0
            assert wait <= rate.interval + 1e-6
        full_at = after


@settings(deadline=None)
@given(rates, st.integers(0, 60), st.floats(0, 1e6))
def test_a_clock_set_back_locks_nobody_out(rate: Rate, calls: int, back: float) -> None:
    buckets: Buckets[str] = Buckets(rate)
    for _ in range(calls):
        buckets.take("key", 2e6)
    now = 2e6 - back
    assert buckets.take("key", now) <= rate.interval + 1e-6
    assert buckets.take("key", now + rate.seconds) == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 2)), max_size=300))
def test_the_table_is_bounded(calls: list[tuple[int, float]]) -> None:
    buckets: Buckets[int] = Buckets(Rate(3, 10), capacity=20)
    now = 0.0
    for key, step in calls:
        now += step
        buckets.take(key, now)
        assert len(buckets) <= 20


@settings(deadline=None)
@given(st.integers(2, 6), st.lists(st.integers(1, 10_000), max_size=400))
def test_strangers_by_the_hundred_do_not_reset_a_limit(count: int, strangers: list[int]) -> None:
    """A used-up bucket stays used up, though every name that is made up takes a place for a moment."""
    buckets: Buckets[int] = Buckets(Rate(count, 1e6), capacity=20)
    for _ in range(count):
        assert buckets.take(0, 0.0) == 0
    seen: dict[int, int] = {}
    for stranger in strangers:
        # A token less than the bucket holds: who is to be forgotten instead would have to use up as much.
        if seen.setdefault(stranger, 0) < count - 1:
            seen[stranger] += 1
            buckets.take(stranger, 0.0)
        assert buckets.take(0, 0.0) > 0


def test_full_buckets_make_room_first() -> None:
    buckets: Buckets[str] = Buckets(Rate(2, 10), capacity=2)
    buckets.take("long ago", 0.0)
    buckets.take("now", 100.0)
    buckets.take("new", 100.0)
    assert "long ago" not in buckets
    assert "now" in buckets


@settings(deadline=None)
@given(rates, st.integers(1, 50))
def test_what_is_given_back_can_be_taken_again(rate: Rate, times: int) -> None:
    buckets: Buckets[str] = Buckets(rate)
    for _ in range(times):
        assert buckets.take("key", 5.0) == 0
        buckets.give_back("key")
    buckets.give_back("never heard of")
    assert len(buckets) == 1


def test_more_than_was_taken_cannot_be_given_back() -> None:
    buckets: Buckets[str] = Buckets(Rate(2, 10))
    buckets.take("key", 5.0)
    for _ in range(9):
        buckets.give_back("key")
    assert [buckets.take("key", 5.0) for _ in range(2)] == [0, 0]
    assert buckets.take("key", 5.0) > 0


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1000/min", Rate(1000, 60)),
        ("5/10s", Rate(5, 10)),
        ("2/h", Rate(2, 3600)),
        (" 7 / s ", Rate(7, 1)),
        ("OFF", None),
    ],
)
def test_rates_as_operators_write_them(text: str, rate: Rate | None) -> None:
    assert parse_rate(text) == rate
    if rate is not None:
        assert parse_rate(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "1000", "/min", "0/min", "-1/s", "5/0s", "5 per 10s", "1/day", "nan/s", "5/1.5s"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match=r"rate"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_client(address: str, network: str) -> None:
    assert network_of(address) == network
