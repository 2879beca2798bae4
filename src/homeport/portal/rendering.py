"""Templates, and how values look on a page.

Everything shown may come from a hostile device: it is escaped, made visible and cut to size here.
"""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from typing import Any
from urllib.parse import quote

import jinja2

_NEVER = 1970
"""Times before this year stand for what has not happened (contract hub.md 4.1)."""
_SHOWN = 512
_LINE = 140
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}


class Templates:
    """The portal's templates and static files, from the package's own data."""

    def __init__(self) -> None:
        self.files = _static_files()
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("homeport.portal"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "visible": visible,
            "ago": ago,
            "moment": moment,
            "iso": iso,
            "pretty": pretty,
            "seg": segment,
            "count": count,
            "line": compact,
            "span": span,
        }
        self._environment.globals["asset"] = self._asset

    def render(self, template: str, **values: Any) -> str:
        return self._environment.get_template(template).render(**values)

    def _asset(self, name: str) -> str:
        """Return a file's address; it changes with the content, so browsers may keep it."""
        return f"/static/{name}?v={self.files[name].version}"


class StaticFile:
    """One file of the package, in memory."""

    def __init__(self, content: bytes, content_type: str) -> None:
        self.content = content
        self.content_type = content_type
        self.version = hashlib.sha256(content).hexdigest()[:12]


def _static_files() -> dict[str, StaticFile]:
    folder = resources.files("homeport.portal") / "static"
    return {
        entry.name: StaticFile(entry.read_bytes(), _TYPES[suffix])
        for entry in folder.iterdir()
        if (suffix := "." + entry.name.rpartition(".")[2]) in _TYPES
    }


def visible(value: object, limit: int = _SHOWN) -> str:
    r"""Return text without invisible tricks: control, direction and unassigned characters as `\u202e`, cut to size."""
    text = "" if value is None else str(value)
    cut = text if len(text) <= limit else text[:limit] + "…"
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(_visible_character(character) for character in cut)


def _visible_character(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character)[0] != "C":
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def pretty(value: Any, limit: int = 65536) -> str:
    """Return JSON the way people read it."""
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return "(cannot be shown)"
    return visible(text, limit)


def compact(value: Any, limit: int) -> str:
    """Return JSON on one line if it is short, else the way people read it."""
    try:
        line = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return "(cannot be shown)"
    return visible(line, limit) if len(line) <= _LINE else pretty(value, limit)


def ago(at: datetime | None, now: datetime) -> str:
    """Say how long ago (or how soon) something is, roughly; the same words as in app.js."""
    if at is None or at.year < _NEVER:
        return "never"
    seconds = (now - _aware(at)).total_seconds()
    if abs(seconds) < 5:
        return "just now"
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        number = int(abs(seconds) // length)
        if number:
            plural = unit if number == 1 else f"{unit}s"
            return f"{number} {plural} ago" if seconds > 0 else f"in {number} {plural}"
    return "just now"


def moment(at: datetime | None) -> str:
    """Write a time in full."""
    if at is None or at.year < _NEVER:
        return "never"
    return _aware(at).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(at: datetime | None) -> str:
    """Write a time for scripts; empty for what has not happened."""
    if at is None or at.year < _NEVER:
        return ""
    return _aware(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def segment(identifier: str) -> str:
    """Percent-encode an id for its place in a path."""
    return quote(identifier, safe="")


def count(number: int) -> str:
    return f"{number:,}"


def span(seconds: int) -> str:
    """Say how long something is, in the largest unit that fits."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length:,} {unit}{'' if seconds == length else 's'}"
    return f"{seconds:,} seconds"


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}
