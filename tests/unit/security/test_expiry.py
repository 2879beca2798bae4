"""How near the end of a certificate is."""

from datetime import timedelta

import pytest

from homeport.security.expiry import days_left, expiry_warning, threshold
from tests.unit.security.certificates import NOW


@pytest.mark.parametrize(
    ("left", "crossed", "words"),
    [
        (timedelta(days=61), None, None),
        (timedelta(days=60), 60, "expires in 60 days"),
        (timedelta(days=30, hours=1), 60, "expires in 30 days"),
        (timedelta(days=30), 30, "expires in 30 days"),
        (timedelta(days=7), 7, "expires in 7 days"),
        (timedelta(days=1, hours=2), 7, "expires tomorrow"),
        (timedelta(seconds=1), 7, "expires today"),
        (timedelta(), 0, "expired today"),
        (timedelta(hours=-1), 0, "expired today"),
        (timedelta(days=-1), 0, "expired yesterday"),
        (timedelta(days=-2), 0, "expired 2 days ago"),
        (timedelta(days=-30, hours=-1), 0, "expired 30 days ago"),
    ],
)
def test_thresholds(left: timedelta, crossed: int | None, words: str | None) -> None:
    found = threshold(NOW + left, NOW)
    assert (None if found is None else found.days) == crossed
    assert expiry_warning(NOW + left, NOW) == words
    assert days_left(NOW + left, NOW) == left.days
