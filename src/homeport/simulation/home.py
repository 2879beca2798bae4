"""A simulated device's conversation with its hub, whatever carries it (contract hub.md 13, 14, 16)."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import Struct

from homeport.client import ClientError
from homeport.values import hiding

ANSWER_SECONDS = 30.0
"""How long the hub may take for one answer."""

MethodAnswer = tuple[int, Any]


class HomeError(ClientError):
    """The hub refused something; the text says what."""


@hiding("context", "token")
class Credential(Struct, frozen=True, kw_only=True):
    """Who a device is at its hub, and how it proves it."""

    hub: str
    """Host name, as the provisioning service told it."""
    port: int
    device_id: str
    context: ssl.SSLContext
    """With the device's certificate, if it has one."""
    token: Callable[[], str] | None
    """Signs a token; None where the certificate speaks."""


@dataclass(slots=True, kw_only=True)
class Handlers:
    """What a device does when the hub speaks to it first; called without waiting."""

    method: Callable[[str, Any], MethodAnswer]
    desired: Callable[[Mapping[str, Any]], None]
    message: Callable[[], None]


class Home(Protocol):
    """One connection. All methods raise ClientError, OSError or ProtocolError when it is broken or refused."""

    two_way: bool
    """Whether the hub can speak first, and has a twin for the device here."""

    async def connect(self) -> None:
        """Connect and prove who the device is."""
        ...

    async def listen(self) -> None:
        """Take what the hub says, until the connection ends, which raises; must run beside the rest."""
        ...

    async def send(self, body: bytes, properties: Mapping[str, str]) -> None:
        """Send a message; returns when the hub has it, durably."""
        ...

    async def read_twin(self) -> Mapping[str, Any]:
        """Return the twin as the device sees it."""
        ...

    async def report(self, patch: Mapping[str, Any]) -> None:
        """Merge reported properties."""
        ...

    async def aclose(self) -> None:
        """Leave in order."""
        ...


class Waiting:
    """Answers that are awaited, by the name of their question."""

    def __init__(self) -> None:
        self._futures: dict[object, asyncio.Future[Any]] = {}

    def expect(self, name: object) -> None:
        """Say that an answer of this name may come from now on; before the question goes out."""
        self._futures[name] = asyncio.get_running_loop().create_future()

    async def answer(self, name: object) -> Any:
        """Wait for an answer that is expected. Raises TimeoutError, or what `fail` was told."""
        future = self._futures[name]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await future
        except TimeoutError:
            raise TimeoutError(f"no answer within {ANSWER_SECONDS:g} s") from None
        finally:
            self._futures.pop(name, None)

    def give(self, name: object, answer: Any) -> None:
        """Hand an answer to whoever waits for it; nobody may."""
        future = self._futures.get(name)
        if future is not None and not future.done():
            future.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """End all waiting."""
        for future in self._futures.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever asked may have left already
