"""Waits grow, are spread, are never shorter than the service wants, and end."""

from hypothesis import given
from hypothesis import strategies as st

from homeport.client import NO_RETRY, RetryPolicy

DRAWS = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(attempt=st.integers(1, 10_000), draw=DRAWS)
def test_no_wait_of_our_own_is_longer_than_the_longest(attempt: int, draw: float) -> None:
    policy = RetryPolicy(attempts=20_000, base=0.5, longest=30)
    delay = policy.delay(attempt, None, draw)
    assert delay is not None
    assert 0.25 <= delay <= 30


@given(attempt=st.integers(1, 10), draw=DRAWS, wait=st.floats(0, 120))
def test_never_before_the_service_wants(attempt: int, draw: float, wait: float) -> None:
    delay = RetryPolicy(attempts=20).delay(attempt, wait, draw)
    assert delay is not None
    assert delay >= wait


def test_each_wait_doubles() -> None:
    policy = RetryPolicy(attempts=10, base=1, longest=6)
    assert [policy.delay(attempt, None, 0) for attempt in range(1, 6)] == [0.5, 1, 2, 3, 3]


def test_the_end() -> None:
    assert RetryPolicy(attempts=3).delay(2, None, 0) is not None
    assert RetryPolicy(attempts=3).delay(3, None, 0) is None
    assert NO_RETRY.delay(1, 1, 0) is None


def test_a_wait_beyond_patience_is_not_begun() -> None:
    assert RetryPolicy(patience=10).delay(1, 10.0, 0) == 10
    assert RetryPolicy(patience=10).delay(1, 11.0, 0) is None
