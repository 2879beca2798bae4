"""What names and texts of authorities and policies may be (swagger 2026-11-01; X.520 upper bounds)."""

import re

from homeport.errors import Code, HomeportError

_NAME = re.compile(r"[0-9a-zA-Z][a-zA-Z0-9-]{2,62}", re.ASCII)
_MAX_TEXT = 64


def check_name(name: str, noun: str) -> str:
    """Raise HomeportError INVALID_REQUEST for a name that an enrollment could not give."""
    if _NAME.fullmatch(name) is None:
        raise HomeportError(
            Code.INVALID_REQUEST, f"The name of a {noun} has 3 to 63 letters, digits and hyphens, no hyphen first."
        )
    return name


def check_text(text: str | None, member: str) -> str | None:
    """Return a part of a subject; None for an absent or empty one. Raises HomeportError INVALID_REQUEST."""
    if not text:
        return None
    if len(text) > _MAX_TEXT or not text.isprintable():
        raise HomeportError(Code.INVALID_REQUEST, f"{member} has at most {_MAX_TEXT} printable characters.")
    return text
