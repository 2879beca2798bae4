"""The other processes that serve with this one: questions for the one that can answer, and its answers.

What must reach exactly one process goes this way; hints for everybody go by the bus. Questions and answers are bytes
that their topic's owner can read. No question is repeated: whoever asked knows whether it may be.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

Answering = Callable[[bytes], Awaitable[bytes]]
"""Makes the answer to a question; must not raise."""
Knowing = Callable[[str], bool]
"""Tells whether the thing with this key is here; must not wait."""


class PeerGoneError(Exception):
    """The process cannot be reached, or ended before it answered; whether it acted on the question is unknown."""


class Peers(Protocol):
    """Everybody else; a process has a name, its node, new at every start."""

    @property
    def node(self) -> str:
        """The name of this process; empty if it is alone for good."""
        ...

    def serve(self, topic: str, *, knows: Knowing, answers: Answering) -> None:
        """Answer questions about this topic from now on."""
        ...

    async def find(self, topic: str, key: str) -> str | None:
        """Return a node that knows this key, the first that says so; None when all that can be reached do not.

        Takes a round trip, and a second at most if a process does not answer.
        """
        ...

    async def ask(self, node: str, topic: str, question: bytes, *, seconds: float) -> bytes:
        """Return a node's answer. Raises PeerGoneError, TimeoutError after this many seconds."""
        ...


class Alone:
    """One process without others: nobody to ask."""

    @property
    def node(self) -> str:
        return ""

    def serve(self, topic: str, *, knows: Knowing, answers: Answering) -> None:
        """Nobody will ask."""

    async def find(self, topic: str, key: str) -> str | None:
        del topic, key
        return None

    async def ask(self, node: str, topic: str, question: bytes, *, seconds: float) -> bytes:
        del topic, question, seconds
        raise PeerGoneError(node)


class Unreachable(Alone):
    """Several processes over one database without a bus: this one has a name, and no way to the others."""

    def __init__(self, node: str) -> None:
        self._node = node

    @property
    def node(self) -> str:
        return self._node
