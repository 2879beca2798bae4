"""A time limit around what one task waits for, again and again; what it waits for is not known here."""

import asyncio

__all__ = ["Patience"]


class Patience:
    """As `asyncio.timeout_at`, for a loop that waits once for each packet: the timer is touched only to ring sooner.

    Between `begin` and `end` the task may be cancelled by it; `was_over` tells that from other cancellations.
    Use it in one task, and `close` it.
    """

    __slots__ = ("_before", "_deadline", "_loop", "_rang", "_task", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        self._before = 0
        self._rang = False

    def begin(self, deadline: float | None) -> None:
        """Begin to wait, until this time of the loop at most; None is for ever."""
        task = self._task = asyncio.current_task()
        assert task is not None
        self._before = task.cancelling()
        self._deadline = deadline
        if deadline is not None and (self._timer is None or self._timer.when() > deadline):
            self._set(deadline)

    def end(self) -> None:
        """Wait no more."""
        self._task = None

    def ring(self) -> None:
        """Be over now, if there is a wait."""
        if self._task is not None and not self._rang:
            self._rang = True
            self._task.cancel()

    def was_over(self) -> bool:
        """Tell, of a cancellation that came out of the wait, whether its reason was that the time was over."""
        rang, self._rang = self._rang, False
        task = asyncio.current_task()
        return rang and task is not None and task.uncancel() <= self._before

    def close(self) -> None:
        """Ring no more."""
        self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._timer_rang)

    def _timer_rang(self) -> None:
        self._timer = None
        if self._task is None or self._deadline is None:
            return  # the next wait sets its own
        if self._deadline > self._loop.time():
            self._set(self._deadline)  # that was the end of an earlier wait
        else:
            self.ring()
