"""The reference pages say what the code does."""

import importlib.util
import re
from pathlib import Path

import pytest

from homeport.dps.model import Kind
from homeport.errors import Code
from homeport.hub.errors import HubCode

ROOT = Path(__file__).parents[2]
SOURCES = [file.read_text() for file in (ROOT / "src").rglob("*.py")]

_spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
assert _spec is not None
assert _spec.loader is not None
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)


def test_the_page_of_errors_is_up_to_date() -> None:
    assert reference.PAGE.read_text() == reference.render(), "run scripts/reference.py"


def test_the_page_of_events_is_up_to_date() -> None:
    page = reference.EVENTS_PAGE.read_text()
    assert page == reference.render_events(page), "run scripts/reference.py"


def test_every_code_and_every_kind_of_event_says_when_it_comes() -> None:
    assert [name for name, _, text in reference.members(reference.PROVISIONING, "Code") if not text] == []
    assert [name for name, _, text in reference.members(reference.KINDS, "Kind") if not text] == []


NAMES = [f"{kind.__name__}.{member.name}" for kind in (Code, HubCode, Kind) for member in kind]


@pytest.mark.parametrize("name", NAMES)
def test_every_code_is_used(name: str) -> None:
    used = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    assert any(used.search(source) for source in SOURCES), f"{name} is never raised"
