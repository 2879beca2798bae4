"""When to try again, and how long to wait first; pure arithmetic."""

from msgspec import Struct


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """Exponential back-off with jitter; a service's Retry-After is the least it waits."""

    attempts: int = 4
    """How often a request is sent at most, the first time included."""
    base: float = 0.5
    """Seconds; the upper bound of the first wait, doubled for each further one."""
    longest: float = 30.0
    """Seconds; no wait of our own choosing is longer."""
    patience: float = 120.0
    """Seconds; a longer Retry-After is not waited out but raised at once."""

    def delay(self, attempt: int, retry_after: float | None, draw: float) -> float | None:
        """Return the seconds to wait after the failed `attempt` (from 1), or None to give up.

        `draw` is a random number in [0, 1): devices that failed together must not come back together.
        """
        if attempt >= self.attempts:
            return None
        own = min(self.longest, self.base * 2.0 ** min(attempt - 1, 30))
        if retry_after is None:
            return own * (0.5 + draw / 2)
        if retry_after > self.patience:
            return None
        return retry_after + own * draw


NO_RETRY = RetryPolicy(attempts=1)
