"""Wording for the explanations operators read: hostile text made harmless, spans of time made plain."""

from datetime import UTC, datetime

_SHOWN_CHARACTERS = 120


def quoted(text: str) -> str:
    """Put a stranger's text in quotes: one line, printable ASCII, at most 120 characters of it."""
    if len(text) <= _SHOWN_CHARACTERS and text.isascii() and text.isprintable():
        return f"'{text}'"  # what nearly all of them are
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
    return "'" + "".join(c if c == "…" or " " <= c <= "~" else ascii(c)[1:-1] for c in shown) + "'"


def ago(seconds: float) -> str:
    """Say how long a span is in its largest whole unit: '7 minutes', '1 day'."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count = int(seconds // length)
        if count:
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return "less than a second"


def server_time(now: datetime) -> str:
    """Write `now` (aware) the way explanations do, so that a wrong clock on either side shows."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
