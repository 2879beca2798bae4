"""How deeply a JSON text is nested, told before it is parsed.

Parsers give up where the interpreter's stack ends, which is near a thousand levels in Python 3.11 and near ten thousand
from 3.12 on; what walks through a document afterwards would give up much sooner. So the bound is ours. Pure.
"""

import re
from typing import Final

__all__ = ["MAX_NESTING", "nests_beyond"]

MAX_NESTING: Final = 256
"""Levels of objects and lists that a document may have: a quarter of what the interpreter's own stack bears."""

# A string without an end takes the rest, so that nothing is looked at twice: whoever sends it is not known yet.
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)


def nests_beyond(text: bytes, limit: int = MAX_NESTING) -> bool:
    """Tell whether a text in UTF-8 has more levels of objects and lists than this; of what is no JSON, anything."""
    if text.count(b"{") + text.count(b"[") <= limit:
        return False
    depth = 0
    for found in _BRACKETS.finditer(text):
        if found[1]:
            depth += 1
            if depth > limit:
                return True
        elif found[2]:
            depth -= 1
    return False
