"""Small tables of a database that one process has for itself: not asked about again until it writes them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homeport.dps.model import AllocationPolicy, AllocationSettings, EnrollmentGroup
from homeport.errors import HomeportError
from homeport.store import Stores, open_stores, sqlite
from tests.contract.store.samples import group, linked


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Stores]:
    async with open_stores(tmp_path / "homeport.db", alone=True) as stores:
        yield stores


async def test_nobody_asks_the_database_again(alone: Stores) -> None:
    await alone.linked_hubs.put(linked("a"), create=True)
    assert await alone.linked_hubs.all() == (linked("a"),)
    # What no process does: it shows that the next answer comes from memory.
    await alone.database.execute("DELETE FROM linked_hubs")
    await alone.database.execute("UPDATE changes SET count = count + 1")
    assert await alone.linked_hubs.all() == (linked("a"),)
    await alone.linked_hubs.put(linked("b"), create=True)
    assert await alone.linked_hubs.all() == (linked("b"),)


async def test_what_is_read_while_a_change_is_under_way_does_not_stay(alone: Stores) -> None:
    known: tuple[EnrollmentGroup, ...] = ()
    for name in "abcdefgh":
        known += (group(name),)
        writing = asyncio.ensure_future(alone.enrollments.create_group(group(name)))
        while not writing.done():
            assert await alone.enrollments.groups() in (known[:-1], known)
            await asyncio.sleep(0)
        await writing
        assert await alone.enrollments.groups() == known


async def test_settings_that_are_kept_with_the_hubs(alone: Stores) -> None:
    assert (await alone.linked_hubs.with_settings())[1] == AllocationSettings()
    await alone.allocation.put(AllocationSettings(default_policy=AllocationPolicy.STATIC))
    assert (await alone.linked_hubs.with_settings())[1].default_policy is AllocationPolicy.STATIC


async def test_a_refused_change_leaves_the_content_standing(alone: Stores) -> None:
    await alone.linked_hubs.put(linked("a"), create=True)
    before = await alone.linked_hubs.all()
    with pytest.raises(HomeportError):
        await alone.linked_hubs.put(linked("a"), create=True)
    assert await alone.linked_hubs.all() is before
    await alone.database.execute("UPDATE changes SET count = count + 1")
    assert await alone.linked_hubs.all() is before


def test_all_who_write_a_kept_table_say_so() -> None:
    sources = Path(sqlite.__file__).parent.glob("*.py")
    assert [source.name for source in sources if "UPDATE changes" in source.read_text()] == ["cached.py"]
