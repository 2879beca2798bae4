"""Many conversations at once in one thread, at most so many at a time."""

import gc
import select
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bench.link import Link, Steps


class OverTimeError(Exception):
    """The conversations did not come to an end within their limit."""


class Conversation(NamedTuple):
    """A link and what is to be said over it."""

    link: Link
    steps: Steps


def drive(conversations: Iterable[Conversation], *, width: int, seconds: float) -> float:
    """Carry out all of them, beginning one whenever fewer than `width` are under way; return the seconds it took.

    An exception in one conversation ends all. Raises OverTimeError after `seconds`.
    """
    gc.collect()
    gc.disable()  # its pauses would be measured as the server's
    try:
        return _drive(iter(conversations), width, seconds)
    finally:
        gc.enable()


def _drive(waiting: Iterator[Conversation], width: int, seconds: float) -> float:
    began = time.perf_counter()
    deadline = began + seconds
    running: dict[int, Conversation] = {}
    interests: dict[int, int] = {}
    more = True
    with select.epoll() as poll:
        while True:
            while more and len(running) < width:
                try:
                    conversation = next(waiting)
                except StopIteration:
                    more = False
                    break
                wanted = next(conversation.steps, 0)
                if wanted:
                    descriptor = conversation.link.socket.fileno()
                    poll.register(descriptor, wanted)
                    running[descriptor], interests[descriptor] = conversation, wanted
            if not running:
                return time.perf_counter() - began
            ready = poll.poll(1.0)
            if time.perf_counter() > deadline:
                raise OverTimeError(f"{len(running)} conversations are unfinished after {seconds:g} s")
            for descriptor, _ in ready:
                wanted = next(running[descriptor].steps, 0)
                if wanted == interests[descriptor]:
                    continue
                if wanted:
                    interests[descriptor] = wanted
                    poll.modify(descriptor, wanted)
                    continue
                # A closed socket has left the poll by itself.
                if running.pop(descriptor).link.socket.fileno() >= 0:
                    poll.unregister(descriptor)
                del interests[descriptor]
