"""The IP filter's rules: their order, their version, and that another process sees them."""

import asyncio

import pytest

from homeport.errors import Code, HomeportError
from homeport.security.ip_filter import Action, Door, Rule
from homeport.store import Stores

OFFICE = Rule(name="office", action=Action.ALLOW, network="10.0.0.0/8", door=Door.SERVICE)
OTHERS = Rule(name="others", action=Action.DENY, network="any")


async def test_rules_keep_their_order(stores: Stores) -> None:
    version, rules = await stores.ip_filter.get()
    assert rules == ()
    assert await stores.ip_filter.put([OFFICE, OTHERS], expected=version) == version + 1
    assert await stores.ip_filter.get() == (version + 1, (OFFICE, OTHERS))
    assert await stores.ip_filter.put([OTHERS, OFFICE], expected=None) == version + 2
    assert await stores.ip_filter.get() == (version + 2, (OTHERS, OFFICE))


async def test_another_version_changes_nothing(stores: Stores) -> None:
    version = await stores.ip_filter.put([OFFICE], expected=None)
    for expected in (version - 1, version + 1, -1):
        with pytest.raises(HomeportError) as refused:
            await stores.ip_filter.put([], expected=expected)
        assert refused.value.code is Code.PRECONDITION_FAILED
    assert await stores.ip_filter.get() == (version, (OFFICE,))


async def test_of_two_that_write_the_same_version_one_wins(pair: tuple[Stores, Stores]) -> None:
    version, _ = await pair[0].ip_filter.get()
    writes = [
        stores.ip_filter.put([rule], expected=version) for stores, rule in zip(pair, (OFFICE, OTHERS), strict=True)
    ]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert sorted(isinstance(result, int) for result in results) == [False, True]
    assert await pair[0].ip_filter.get() == await pair[1].ip_filter.get()
