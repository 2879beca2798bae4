"""The synchronous client is the asynchronous one, word for word."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "unasync.py"


@pytest.fixture(scope="module")
def unasync() -> ModuleType:
    spec = importlib.util.spec_from_file_location("unasync", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_twins_are_current(unasync: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert unasync.main(["--check"]) == 0, capsys.readouterr().err


def test_drift_is_noticed(unasync: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unasync, "ROOT", tmp_path)
    folder = tmp_path / "client"
    (folder / "_async").mkdir(parents=True)
    (folder / "_sync").mkdir()
    (folder / "_async" / "one.py").write_text("async def one() -> None:\n    await two()\n")
    (folder / "_sync" / "orphan.py").write_text("")
    used: set[str] = set()
    assert len(unasync.make_folder(folder, used, write=False)) == 2
    assert len(unasync.make_folder(folder, used, write=True)) == 2
    assert unasync.make_folder(folder, used, write=False) == []
    assert (folder / "_sync" / "one.py").read_text().endswith("def one() -> None:\n    two()\n")
    assert not (folder / "_sync" / "orphan.py").exists()


def test_what_the_table_does_not_know_is_an_error(unasync: ModuleType) -> None:
    with pytest.raises(SystemExit, match="asyncio"):
        unasync.translate("import asyncio\n", set(), name="one.py")
