"""The load generator runs and produces every figure; what the figures are is not judged here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.figures import latencies_ms, percentile

LIMIT = 240


@pytest.mark.parametrize(("percent", "expected"), [(1, 1), (50, 5), (90, 9), (99, 10), (100, 10)])
def test_percentiles_are_values_that_occurred(percent: int, expected: int) -> None:
    assert percentile([float(value) for value in range(1, 11)], percent) == expected


def test_latencies_are_reported_in_milliseconds_whatever_their_order() -> None:
    assert latencies_ms([0.003, 0.001, 0.002]) == {"p50_ms": 2, "p90_ms": 3, "p99_ms": 3}


def measured(folder: Path, *sections: str) -> dict[str, Any]:
    output = folder / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", *sections, "--smoke", "--output", str(output)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures: dict[str, Any] = json.loads(output.read_text())
    return figures


def test_every_figure_is_produced(tmp_path: Path) -> None:
    figures = measured(tmp_path)
    cells = figures["registrations"]["cells"]
    works = {(cell["mechanism"], cell["work"]) for cell in cells}
    every = ("handshake", "https", "mqtt", "amqp")
    assert works == {
        *((proof, work) for proof in ("sas", "x509", "sas-webhook") for work in every),
        *(("tpm", work) for work in every if work != "mqtt"),
    }
    told = {cell["server"].split(",")[0] for cell in figures["telemetry"]["cells"]}
    assert told == ({"homeport", "mosquitto"} if _has_mosquitto() else {"homeport"})
    assert figures["startup"]["idle_mib"] > 0
    assert [cell["read"] for cell in figures["events"]["cells"]] == [0, figures["events"]["cells"][1]["sent"]]
    assert len(figures["hub"]["cells"]) == 4
    assert_measured(cells + figures["telemetry"]["cells"] + figures["hub"]["cells"] + figures["events"]["cells"])


def assert_measured(cells: list[dict[str, Any]]) -> None:
    for cell in cells:
        assert all(value > 0 for value in cell.values() if isinstance(value, float)), cell


def test_a_crowd_is_made_and_asked(tmp_path: Path) -> None:
    figures = measured(tmp_path, "million")["million"]
    assert {weight["devices"] for weight in figures["weights"]} == {10, 20}
    assert {cell["work"].split(",")[0].split()[0] for cell in figures["cells"]} >= {"create", "query", "register"}
    assert_measured(figures["cells"] + figures["weights"])


def test_a_hub_is_crowded_and_asked(tmp_path: Path) -> None:
    figures = measured(tmp_path, "crowded-hub", "twins")
    assert figures["crowded_hub"]["devices"] == 10
    rows = {cell["query"]: cell["rows"] for cell in figures["twins"]["cells"]}
    assert rows == {
        "one device by its id": 1,
        "the first hundred": 100,
        "one by a tag": 1,
        "a hundredth by a tag": 2,
        "a tenth by a reported number": 21,
        "how many": 1,
        "how many in each group": 101,
    }
    assert_measured(figures["twins"]["cells"])


def _has_mosquitto() -> bool:
    return any(shutil.which("mosquitto", path=path) for path in (None, "/usr/sbin:/usr/local/sbin"))


def test_a_section_that_does_not_exist_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "speed"], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 2
    assert "speed" in done.stderr


def test_the_kept_run_names_no_machine() -> None:
    kept = Path(__file__).parents[3] / "bench" / "results" / "reference.json"
    document: dict[str, Any] = json.loads(kept.read_text())
    assert document["scale"] == "full"
    assert set(document["machine"]) == {"processors", "architecture", "python", "openssl"}
