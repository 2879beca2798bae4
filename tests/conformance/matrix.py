"""Fills docs/support-matrix.md from a conformance run: `pytest tests/conformance --write-matrix`.

A test says what it shows with `@pytest.mark.matrix(sdk=…, feature=…)`; a `transport` or `websockets` parameter makes
the column. A cell is what the run found: nothing is written by hand.
"""

from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "support-matrix.md"
COLUMNS = {
    "https": "HTTPS",
    "mqtt": "MQTT",
    "mqtt-ws": "MQTT over WebSocket",
    "amqp": "AMQP",
    "amqp-ws": "AMQP over WebSocket",
}
SIGNS = {True: "✓", False: "✗"}

HEAD = """# What works with which SDK

Filled by the conformance run (`make test ARGS="tests/conformance --write-matrix"`), in which Microsoft's own clients
and ours speak to a real server on the real ports. ✓: every test of that cell passed. ✗: one failed. Empty: nothing
tests it. Devices that register keep the transport on their hub; those that register over HTTPS take MQTT there.
"""


class Matrix:
    """Collects outcomes during the run and writes the page at its end."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str, str], bool] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        mark = item.get_closest_marker("matrix")
        if mark is not None and (report.failed or call.when == "call"):
            parameters = getattr(item, "callspec", None)
            values: dict[str, Any] = parameters.params if parameters else {}
            cell = (mark.kwargs["sdk"], mark.kwargs["feature"].format(**values), _column(mark, values))
            self._cells[cell] = self._cells.get(cell, True) and report.passed
        return report

    def pytest_sessionfinish(self) -> None:
        rows: dict[str, dict[str, dict[str, bool]]] = defaultdict(lambda: defaultdict(dict))
        for (sdk, feature, column), passed in self._cells.items():
            rows[sdk][feature][column] = passed
        lines = [HEAD]
        for sdk, features in rows.items():
            lines += [f"\n## {sdk}\n", f"| | {' | '.join(COLUMNS.values())} |", "| --- " * (len(COLUMNS) + 1) + "|"]
            for feature, cells in features.items():
                signs = (SIGNS[cells[column]] if column in cells else "" for column in COLUMNS)
                lines.append(f"| {feature} | {' | '.join(signs)} |")
        PAGE.write_text("\n".join(lines) + "\n")


def _column(mark: pytest.Mark, values: dict[str, Any]) -> str:
    if "transport" in values:
        return "https" if values["transport"] == "http" else str(values["transport"])
    if values.get("websockets"):
        return "mqtt-ws"
    return str(mark.kwargs.get("transport", "mqtt"))
