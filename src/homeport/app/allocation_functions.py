"""Custom allocation in this process: the functions that the operator named, run off the event loop.

A function that never returns keeps its thread, so there are only so many threads, and the server does not wait for
them when it stops.
"""

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import msgspec

from homeport.custom_allocation import AllocationRequest, AllocationResponse, TryAgainError
from homeport.dps.model import CustomAllocation
from homeport.dps.model.custom_definition import FUNCTION_SCHEME, is_function
from homeport.dps.ports import AllocationRefusedError, AllocationUnavailableError, Allocator
from homeport.security.explain import quoted
from homeport.wire.custom_allocation import allocation_request

MAX_THREADS = 32

Function = Callable[[AllocationRequest], Any]

_log = logging.getLogger(__name__)


class FunctionError(Exception):
    """A named function cannot be used; the text says why."""


def load_functions(names: Sequence[str]) -> Mapping[str, Function]:
    """Import each `package.module:function`. Raises FunctionError."""
    return {name: _load(name) for name in names}


class FunctionAllocator:
    """Calls functions in threads. `functions` by their `package.module:function`."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self._functions = functions
        self._room = asyncio.Semaphore(MAX_THREADS)

    async def ask(self, definition: CustomAllocation, request: bytes, *, question_id: str) -> bytes:
        name = definition.webhook_url[len(FUNCTION_SCHEME) :]
        function = self._functions.get(name)
        if function is None:
            raise AllocationRefusedError(
                f"this server was not started with --allocation-module {quoted(name).strip(chr(39))}"
            )
        question = allocation_request.decode(request)
        await self._room.acquire()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()

        def work() -> None:
            result: Any = None
            fault: BaseException | None = None
            try:
                result = function(question)
                if inspect.isawaitable(result):
                    result = asyncio.run(_awaited(result))
            except BaseException as error:
                fault = error
            try:
                loop.call_soon_threadsafe(self._done, future, result, fault)
            except RuntimeError:  # the server has stopped meanwhile
                return

        threading.Thread(target=work, name=f"allocation-{question_id[-8:]}", daemon=True).start()
        result = await future
        return _encoded(result, name)

    def _done(self, future: "asyncio.Future[Any]", result: Any, fault: BaseException | None) -> None:
        self._room.release()
        if future.done():
            return
        match fault:
            case None:
                future.set_result(result)
            case TryAgainError():
                future.set_exception(AllocationUnavailableError(f"the function asks to try again: {_told(fault)}"))
            case _:
                _log.error("a custom allocation function failed", exc_info=fault)
                future.set_exception(
                    AllocationRefusedError(f"the function raised {type(fault).__name__}: {_told(fault)}")
                )


class Allocators:
    """Whoever the definition names: a function of this process, or a webhook."""

    def __init__(self, *, webhooks: Allocator, functions: Allocator) -> None:
        self._webhooks = webhooks
        self._functions = functions

    async def ask(self, definition: CustomAllocation, request: bytes, *, question_id: str) -> bytes:
        chosen = self._functions if is_function(definition.webhook_url) else self._webhooks
        return await chosen.ask(definition, request, question_id=question_id)


def _load(name: str) -> Function:
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise FunctionError(f"{name!r} is not of the form package.module:function")
    try:
        function = getattr(import_module(module_name), function_name)
    except Exception as error:
        raise FunctionError(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise FunctionError(f"{name} is not a function")
    loaded: Function = function
    return loaded


async def _awaited(call: Any) -> Any:
    return await call


def _encoded(result: Any, name: str) -> bytes:
    if not isinstance(result, AllocationResponse | dict):
        raise AllocationRefusedError(
            f"{name} returned {type(result).__name__}, not an AllocationResponse or a dictionary of its members"
        )
    try:
        return msgspec.json.encode(result)
    except (TypeError, ValueError, RecursionError, msgspec.EncodeError) as error:
        raise AllocationRefusedError(f"what {name} returned is no JSON: {error}") from error


def _told(fault: BaseException) -> str:
    return quoted(str(fault)) if str(fault) else "(without a message)"
