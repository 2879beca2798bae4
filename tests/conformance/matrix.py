"""Fills docs/support-matrix.md from a conformance run: `pytest tests/conformance --write-matrix`.

A test says what it shows with `@pytest.mark.matrix(sdk=…, feature=…)`; a `transport` or `websockets` parameter makes
the column. A cell is what the run found: nothing is written by hand.
"""

from collections import defaultdict
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "support-matrix.md"
COLUMNS = ("https", "mqtt", "mqtt-ws")
SIGNS = {True: "✓", False: "✗"}

HEAD = """# What works with which SDK

Filled by the conformance run (`make test ARGS="tests/conformance --write-matrix"`), in which Microsoft's own clients and
ours speak to a real server on the real ports. ✓: every test of that cell passed. ✗: one failed. Empty: nothing tests it.
AMQP is not served yet.
"""


class Matrix:
    """Collects outcomes during the run and writes the page at its end."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str, str], bool] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        outcome = yield
        report = outcome.get_result()
        mark = item.get_closest_marker("matrix")
        if mark is None or (report.passed and call.when != "call"):
            return
        parameters = getattr(item, "callspec", None)
        values = parameters.params if parameters else {}
        column = values.get("transport") or ("mqtt-ws" if values.get("websockets") else None)
        column = {"http": "https", None: mark.kwargs.get("transport", "mqtt")}.get(column, column)
        cell = (mark.kwargs["sdk"], mark.kwargs["feature"].format(**values), column)
        self._cells[cell] = self._cells.get(cell, True) and report.passed

    def pytest_sessionfinish(self):
        rows: dict[str, dict[str, dict[str, bool]]] = defaultdict(lambda: defaultdict(dict))
        for (sdk, feature, column), passed in self._cells.items():
            rows[sdk][feature][column] = passed
        lines = [HEAD]
        for sdk, features in rows.items():
            lines += [f"\n## {sdk}\n", "| | HTTPS | MQTT | MQTT over WebSocket |", "| --- | --- | --- | --- |"]
            for feature, cells in features.items():
                signs = (SIGNS[cells[column]] if column in cells else "" for column in COLUMNS)
                lines.append(f"| {feature} | {' | '.join(signs)} |")
        PAGE.write_text("\n".join(lines) + "\n")
