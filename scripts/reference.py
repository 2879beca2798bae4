# ruff: noqa: INP001  # a program, started by its path
"""Writes the reference pages out of the code (errors, events); `--check` says whether they are up to date."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "errors.md"
PROVISIONING = ROOT / "src" / "homeport" / "errors.py"
HUB = ROOT / "src" / "homeport" / "hub" / "errors.py"
EVENTS_PAGE = ROOT / "docs" / "reference" / "events.md"
KINDS = ROOT / "src" / "homeport" / "dps" / "model" / "journal.py"

HEAD = """# Errors

Made by `scripts/reference.py` from the code; a test fails when it is out of date.

Every refusal of the provisioning service has a six-digit code whose first three digits are the HTTP status, a message,
and a tracking id. `homeport why REGISTRATION_ID` finds the record of the attempt, with each check and what to do.

## Provisioning service

| Code | Status | Name | When |
| --- | --- | --- | --- |
"""

HUB_HEAD = """
## Hub

| Code | Status | Name on the wire |
| --- | --- | --- |
"""


TYPES = "| Type | When |\n| --- | --- |\n"
"""Where the part of the page of events begins that is made here."""


def render_events(page: str) -> str:
    """Return the page of events with its table of types made anew; the text before it is written by hand."""
    head, _, _ = page.partition(TYPES)
    rows = [f"| `io.homeport.{ast.literal_eval(value)}` | {text} |\n" for _, value, text in members(KINDS, "Kind")]
    return head + TYPES + "".join(rows)


def members(file: Path, name: str) -> list[tuple[str, ast.expr, str]]:
    """Return name, value and the docstring below it of each member of an enumeration."""
    tree = ast.parse(file.read_text())
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name).body
    found = []
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            text = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                text = " ".join(str(after.value.value).split())
            found.append((node.targets[0].id, node.value, text))
    return found


def render() -> str:
    """Return the page."""
    lines = [HEAD]
    for name, value, text in members(PROVISIONING, "Code"):
        code = int(ast.literal_eval(value))
        lines.append(f"| {code} | {code // 1000} | {name} | {text} |\n")
    lines.append(HUB_HEAD)
    for _, value, _ in members(HUB, "HubCode"):
        number, wire_name = ast.literal_eval(value)
        lines.append(f"| {number} | {number // 1000} | {wire_name} |\n")
    return "".join(lines)


def main() -> int:
    """Write the page, or compare it with what it should be."""
    events = render_events(EVENTS_PAGE.read_text())
    if "--check" in sys.argv[1:]:
        return 0 if (PAGE.read_text(), EVENTS_PAGE.read_text()) == (render(), events) else 1
    PAGE.write_text(render())
    EVENTS_PAGE.write_text(events)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
