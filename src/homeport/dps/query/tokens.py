"""A query text's words, with the place of each; what they mean together is the parser's."""

import re
from enum import Enum, auto

from msgspec import Struct

from homeport.errors import Code, HomeportError

MAX_LENGTH = 4096


class TokenKind(Enum):
    WORD = auto()
    TEXT = auto()
    NUMBER = auto()
    SIGN = auto()
    END = auto()


class Token(Struct, frozen=True, kw_only=True):
    """One word. `text` is as written, except for TEXT, which is without its quotes; `position` counts from 1."""

    kind: TokenKind
    text: str
    position: int

    def is_word(self, word: str) -> bool:
        return self.kind is TokenKind.WORD and self.text.upper() == word

    def is_sign(self, sign: str) -> bool:
        return self.kind is TokenKind.SIGN and self.text == sign

    @property
    def shown(self) -> str:
        """The token as a refusal names it."""
        return "the end of the query" if self.kind is TokenKind.END else f"'{self.text[:40]}'"


_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>[+-]?\d{1,20}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,3})?)(?![\w$])
  | (?P<word>[^\W\d]|[$])
  | (?P<quote>['"])
  | (?P<sign><>|<=|>=|!=|[=<>(),.*\[\]])
    """,
    re.VERBOSE,
)
_WORD = re.compile(r"[\w$][\w$\-]*")
_STRING = {quote: re.compile(rf"{quote}((?:[^{quote}]|{quote}{quote})*){quote}") for quote in "'\""}


def tokens(text: str) -> list[Token]:
    """Take a text apart; the last token is END. Raises HomeportError INVALID_QUERY."""
    if len(text) > MAX_LENGTH:
        raise HomeportError(Code.INVALID_QUERY, f"The query is longer than {MAX_LENGTH} characters.")
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise refuse(f"Unexpected character '{text[position]}' at position {position + 1}.")
        kind, written = TokenKind.SIGN, match[0]
        end = match.end()
        if match["space"]:
            position = end
            continue
        if match["number"]:
            kind = TokenKind.NUMBER
        elif match["word"]:
            kind = TokenKind.WORD
            whole = _WORD.match(text, position)
            written, end = (match[0], end) if whole is None else (whole[0], whole.end())
        elif match["quote"]:
            kind = TokenKind.TEXT
            quoted = _STRING[match[0]].match(text, position)
            if quoted is None:
                raise refuse(f"The text that begins at position {position + 1} has no closing {match[0]}.")
            written, end = quoted[1].replace(match[0] * 2, match[0]), quoted.end()
        found.append(Token(kind=kind, text=written, position=position + 1))
        position = end
    found.append(Token(kind=TokenKind.END, text="", position=len(text) + 1))
    return found


def refuse(message: str) -> HomeportError:
    """Return the refusal of a query; the message says where and what."""
    return HomeportError(Code.INVALID_QUERY, message)


def unexpected(token: Token, expected: str) -> HomeportError:
    return refuse(f"Expected {expected} at position {token.position}, found {token.shown}.")
