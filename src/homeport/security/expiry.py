"""How near the end of a certificate is, in words."""

from datetime import datetime, timedelta

THRESHOLDS = (timedelta(days=7), timedelta(days=30), timedelta(days=60))
"""When to speak up, the most urgent first; longer ago than 60 days nobody acts, later than 7 it hurts."""


def threshold(not_after: datetime, now: datetime) -> timedelta | None:
    """Return the nearest threshold that has been crossed; zero for a certificate that has ended, None for no worry."""
    if not_after <= now:
        return timedelta()
    return next((limit for limit in THRESHOLDS if not_after - now <= limit), None)


def days_left(not_after: datetime, now: datetime) -> int:
    """Return whole days; negative ones since the end."""
    return (not_after - now) // timedelta(days=1)


def expiry_warning(not_after: datetime, now: datetime) -> str | None:
    """Say that a certificate has ended or is about to; None while there is no need."""
    if threshold(not_after, now) is None:
        return None
    if not_after <= now:
        days = days_left(now, not_after)
        return "expired today" if days == 0 else "expired yesterday" if days == 1 else f"expired {days} days ago"
    days = days_left(not_after, now)
    return "expires today" if days == 0 else "expires tomorrow" if days == 1 else f"expires in {days} days"
