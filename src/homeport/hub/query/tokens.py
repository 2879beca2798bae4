"""A query's words with their places; what they mean together is the parser's business."""

import re
from collections.abc import Iterator
from enum import Enum, auto

from msgspec import Struct

from homeport.hub.query.errors import QueryError

MAX_TEXT_CHARACTERS = 8192
"""Contract hub.md 8.1."""


class Kind(Enum):
    WORD = auto()
    TEXT = auto()
    NUMBER = auto()
    SIGN = auto()
    NAME = auto()
    """`[[any text]]`: a member's name."""
    BRACED = auto()
    """`{any text}`: the name of a message's property, in the conditions of routes."""
    END = auto()


class Token(Struct, frozen=True):
    """One word; TEXT and NAME without their quotes. `place` counts characters from 1."""

    kind: Kind
    text: str
    place: int

    def is_word(self, word: str) -> bool:
        return self.kind is Kind.WORD and self.text.upper() == word

    def is_sign(self, sign: str) -> bool:
        return self.kind is Kind.SIGN and self.text == sign

    @property
    def takes_member(self) -> bool:
        """Whether a member's name can stand behind it."""
        return self.kind in {Kind.WORD, Kind.NAME} or self.is_sign(".") or self.is_sign("]")

    @property
    def shown(self) -> str:
        """The token as a refusal names it."""
        if self.kind is Kind.END:
            return "the end of the query"
        return f"'{self.text[:40]}…'" if len(self.text) > 40 else f"'{self.text}'"


_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
    | (?P<hex>0[xX][0-9A-Fa-f]{1,16}(?![\w$]))
    | (?P<number>(?:\d{1,308}(?:\.\d{0,308})?|\.\d{1,308})(?:[eE][+-]?\d{1,3})?(?![\w$]))
    | (?P<word>[A-Za-z_$][\w$]*)
    | '(?P<single>(?:[^'\\]|\\.|'')*)'
    | "(?P<double>(?:[^"\\]|\\.|"")*)"
    | \[\[(?P<name>[^\]]*)\]\]
    | \{(?P<braced>[^{}]*)\}
    | (?P<sign><=|>=|!=|<>|[=<>+\-*/%(),.\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def tokens(text: str) -> Iterator[Token]:
    """Yield a query's tokens, END last. Raises QueryError."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise QueryError(f"The query is longer than {MAX_TEXT_CHARACTERS} characters.")
    place = 0
    behind: Token | None = None
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise QueryError(f"{_unreadable(text[place])} at character {place + 1} of the query.")
        kind, value, end = str(match.lastgroup), match.group(match.lastgroup or 0), match.end()
        if kind == "name" and not (behind is not None and behind.takes_member):
            # Behind an operator these are arrays inside each other.
            kind, value, end = "sign", "[", place + 1
        if kind != "space":
            behind = _token(kind, value, place + 1)
            yield behind
        place = end
    yield Token(Kind.END, "", len(text) + 1)


def _token(kind: str, value: str, place: int) -> Token:
    match kind:
        case "hex" | "number":
            return Token(Kind.NUMBER, value, place)
        case "word":
            return Token(Kind.WORD, value, place)
        case "name":
            return Token(Kind.NAME, value, place)
        case "braced":
            return Token(Kind.BRACED, value, place)
        case "sign":
            return Token(Kind.SIGN, "!=" if value == "<>" else value, place)
        case _:
            quote = "'" if kind == "single" else '"'
            return Token(Kind.TEXT, _ESCAPE.sub(_unescaped, value.replace(quote * 2, quote)), place)


def _unescaped(match: re.Match[str]) -> str:
    text = match[1]
    return chr(int(text[1:], 16)) if len(text) > 1 else _ESCAPES.get(text, text)


def _unreadable(character: str) -> str:
    if character in "'\"":
        return "A text begins and does not end"
    shown = repr(character) if character.isprintable() else f"U+{ord(character):04X}"
    return f"{shown} cannot stand"
