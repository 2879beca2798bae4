"""Custom allocation by a function of this process: called off the event loop, its faults explained."""

import asyncio
import json
import threading
import time
from typing import Any

import pytest

from homeport.app.allocation_functions import Allocators, FunctionAllocator, FunctionError, load_functions
from homeport.custom_allocation import AllocationRequest, AllocationResponse, TryAgainError, payload_of
from homeport.dps.model import CustomAllocation
from homeport.dps.ports import AllocationRefusedError, AllocationUnavailableError
from tests.transports.world import FakeAllocator

REQUEST = {
    "deviceRuntimeContext": {"registrationId": "dev-1", "symmetricKey": {}, "payload": {"model": "a"}},
    "linkedHubs": ["a.example", "b.example"],
}


async def ask(function: Any, *, name: str = "rules:allocate", asked: str | None = None) -> Any:
    allocator = FunctionAllocator({name: function})
    definition = CustomAllocation(webhook_url=f"python:{asked or name}", api_version="2021-10-01")
    return json.loads(await allocator.ask(definition, json.dumps(REQUEST).encode(), question_id="5.abc.12345678"))


async def test_a_function_gets_the_question_and_its_answer_is_the_documents() -> None:
    def allocate(request: AllocationRequest) -> AllocationResponse:
        assert request.device_runtime_context.registration_id == "dev-1"
        assert payload_of(request) == {"model": "a"}
        return AllocationResponse(
            iot_hub_host_name=request.linked_hubs[1], payload={"n": 1}, initial_twin={"tags": {"x": 1}}
        )

    expected = {"iotHubHostName": "b.example", "payload": {"n": 1}, "initialTwin": {"tags": {"x": 1}}}
    assert await ask(allocate) == expected
    assert await ask(lambda _: expected) == expected


async def test_it_may_be_async_and_runs_off_the_event_loop_either_way() -> None:
    loop = threading.get_ident()
    seen: list[int] = []

    def blocking(request: AllocationRequest) -> AllocationResponse:
        seen.append(threading.get_ident())
        time.sleep(0.2)
        return AllocationResponse(iot_hub_host_name=request.linked_hubs[0])

    async def waiting(request: AllocationRequest) -> AllocationResponse:
        seen.append(threading.get_ident())
        await asyncio.sleep(0.01)
        return blocking(request)

    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.005)

    counting = asyncio.get_running_loop().create_task(count())
    for function in (blocking, waiting):
        assert (await ask(function))["iotHubHostName"] == "a.example"
    counting.cancel()
    assert loop not in seen
    assert turns > 10, "the event loop went on meanwhile"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda _: 1 / 0, "ZeroDivisionError"),
        (lambda _: exec("raise ValueError('no such\\nmodel')"), r"ValueError: 'no such\nmodel'"),
        (lambda _: exec("raise SystemExit(3)"), "SystemExit"),
        (lambda _: "a.example", "returned str"),
        (lambda _: None, "returned NoneType"),
        (lambda _: {"iotHubHostName": object()}, "no JSON"),
    ],
)
async def test_a_fault_is_explained(function: Any, words: str) -> None:
    with pytest.raises(AllocationRefusedError) as caught:
        await ask(function)
    assert words in str(caught.value)


async def test_it_may_ask_to_be_asked_again() -> None:
    def allocate(_: AllocationRequest) -> AllocationResponse:
        raise TryAgainError("the database is away")

    with pytest.raises(AllocationUnavailableError, match="database is away"):
        await ask(allocate)


async def test_only_what_the_operator_named_is_called() -> None:
    with pytest.raises(AllocationRefusedError, match="os:system"):
        await ask(lambda _: {}, asked="os:system")


async def test_the_definition_says_who_is_asked() -> None:
    webhooks, functions = FakeAllocator(b"1"), FakeAllocator(b"2")
    allocators = Allocators(webhooks=webhooks, functions=functions)
    for url, answer in (("https://a.example/", b"1"), ("python:rules:allocate", b"2"), ("PYTHON:rules:x", b"2")):
        definition = CustomAllocation(webhook_url=url, api_version="2021-10-01")
        assert await allocators.ask(definition, b"{}", question_id="q") == answer


def test_functions_are_loaded_by_name() -> None:
    loaded = load_functions(["json:loads"])
    assert loaded["json:loads"]('{"a": 1}') == {"a": 1}  # type: ignore[arg-type]  # stands in for a rule
    for name, words in (
        ("nowhere.at_all:f", "ModuleNotFoundError"),
        ("json:nothing", "AttributeError"),
        ("json", "form"),
    ):
        with pytest.raises(FunctionError, match=words):
            load_functions([name])
    with pytest.raises(FunctionError, match="not a function"):
        load_functions(["json:__doc__"])
