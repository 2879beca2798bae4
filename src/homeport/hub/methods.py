"""Direct methods: a call to a device that is connected now, and its answer (contract hub.md 7, 13.7).

How a call reaches the device is its connection's business; JSON is not read here.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from msgspec import Struct

from homeport.hub.errors import HubCode, HubError

MAX_PAYLOAD_BYTES = 128 * 1024
MAX_AT_ONCE = 50
"""Calls under way to one device; Azure has such a limit and does not tell it."""


class MethodCall(Struct, frozen=True, kw_only=True):
    """A call as the device gets it. `request_id` is short and safe in topics; the answer repeats it."""

    name: str
    payload: bytes
    request_id: str


class MethodAnswer(Struct, frozen=True, kw_only=True):
    """What the device said: its own status, and a body that should be JSON."""

    status: int
    payload: bytes


@dataclass(slots=True, kw_only=True, eq=False)
class MethodListener:
    """A connection that takes calls, and the calls that wait for it."""

    deliver: Callable[[MethodCall], None]
    pending: dict[str, asyncio.Future[MethodAnswer]] = field(default_factory=dict)

    def answer(self, request_id: str, answer: MethodAnswer) -> None:
        """Take a device's answer; one that nobody waits for is dropped."""
        waiting = self.pending.get(request_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)


class MethodCalls(Protocol):
    """What callers of methods are given."""

    async def call(
        self, device_id: str, name: str, payload: bytes, *, connect_timeout: float, response_timeout: float
    ) -> MethodAnswer:
        """Call a method and return the answer. Times are in seconds.

        Raises HubError DEVICE_NOT_ONLINE if no connection takes calls within `connect_timeout`,
        DEVICE_CONNECTION_CLOSED if it goes away, GATEWAY_TIMEOUT without an answer, METHOD_QUOTA_EXCEEDED.
        """
        ...


class Methods:
    """The calls to the devices of one hub in this process."""

    def __init__(self) -> None:
        self._listeners: dict[str, MethodListener] = {}
        self._awaited: dict[str, set[asyncio.Future[MethodListener]]] = {}
        self._numbers = count(1)

    def listen(self, device_id: str, deliver: Callable[[MethodCall], None]) -> MethodListener:
        """Take the device's calls from now on; an earlier listener gets no more, and its calls fail."""
        self._close(self._listeners.pop(device_id, None))
        listener = self._listeners[device_id] = MethodListener(deliver=deliver)
        for waiting in self._awaited.pop(device_id, ()):
            if not waiting.done():
                waiting.set_result(listener)
        return listener

    def forget(self, device_id: str, listener: MethodListener) -> None:
        """Take no more calls: the connection has ended or unsubscribed. Calls under way fail."""
        if self._listeners.get(device_id) is listener:
            del self._listeners[device_id]
        self._close(listener)

    def is_listening(self, device_id: str) -> bool:
        """Tell whether a connection of the device takes calls."""
        return device_id in self._listeners

    async def call(
        self, device_id: str, name: str, payload: bytes, *, connect_timeout: float, response_timeout: float
    ) -> MethodAnswer:
        """Call a method of a device that is connected to this process; as MethodCalls says."""
        listener = self._listeners.get(device_id) or await self._wait_for(device_id, connect_timeout)
        if len(listener.pending) >= MAX_AT_ONCE:
            raise HubError(HubCode.METHOD_QUOTA_EXCEEDED, f"At most {MAX_AT_ONCE} calls to one device at a time.")
        call = MethodCall(name=name, payload=payload, request_id=f"{next(self._numbers):x}")
        answered: asyncio.Future[MethodAnswer] = asyncio.get_running_loop().create_future()
        listener.pending[call.request_id] = answered
        try:
            listener.deliver(call)
            async with asyncio.timeout(response_timeout):
                return await answered
        except TimeoutError:
            raise HubError(
                HubCode.GATEWAY_TIMEOUT, f"The device did not answer within {response_timeout:g} s."
            ) from None
        finally:
            del listener.pending[call.request_id]

    async def _wait_for(self, device_id: str, seconds: float) -> MethodListener:
        if seconds > 0:
            connected: asyncio.Future[MethodListener] = asyncio.get_running_loop().create_future()
            waiting = self._awaited.setdefault(device_id, set())
            waiting.add(connected)
            try:
                async with asyncio.timeout(seconds):
                    return await connected
            except TimeoutError:
                pass
            finally:
                waiting.discard(connected)
                if not waiting and self._awaited.get(device_id) is waiting:
                    del self._awaited[device_id]
        raise HubError(HubCode.DEVICE_NOT_ONLINE, "Timed out waiting for device to connect.")

    def _close(self, listener: MethodListener | None) -> None:
        for waiting in tuple(listener.pending.values()) if listener is not None else ():
            if not waiting.done():
                waiting.set_exception(
                    HubError(HubCode.DEVICE_CONNECTION_CLOSED, "The device closed its connection during the call.")
                )
