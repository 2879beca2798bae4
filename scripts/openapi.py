# ruff: noqa: INP001  # a program, started by its path
"""Writes docs/reference/openapi.json, the description of our HTTP APIs, out of the documents' structs."""

import json
from pathlib import Path

from homeport import __version__
from homeport.wire.openapi import describe

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "openapi.json"


def render() -> str:
    """Return the file's text."""
    return json.dumps(describe(__version__), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())
