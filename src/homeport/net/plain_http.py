"""Plain HTTP/1.1 requests as values, and how they look on the wire. Pure; never here: a connection.

Plain is what devices send: a head in ASCII with a few fields, each once, and a body of known length that came with it.
Everything else (other methods, chunks, upgrades, pieces, faults) is left to a full parser, with the very same bytes.
"""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from uuid import uuid4

from msgspec import Struct, field

from homeport.errors import Code

__all__ = ["PlainAnswer", "PlainRequest", "problem", "read_request", "spell_answer"]

_HEAD: Final = re.compile(
    rb"(PUT|GET|POST) (/[!\"$-~]*) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n)*)\r\n"
)
_MAX_HEAD: Final = 8190
_MAX_FIELDS: Final = 100
_MAX_DIGITS: Final = 9
_FULL: Final = frozenset({"transfer-encoding", "upgrade", "expect", "te", "trailer", "proxy-connection", "keep-alive"})
"""Fields that change how a request is read or answered."""
_PERSISTENCE: Final = {"keep-alive": False, "close": True}
_STATUS_LINES: Final = {
    int(status): f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: Homeport\r\n" for status in HTTPStatus
}


class PlainRequest(Struct, frozen=True, kw_only=True):
    """One request. `target` is the request target as it was sent; the names of `fields` are in lower case."""

    method: str
    target: str
    fields: Mapping[str, str]
    body: bytes
    closes: bool = False
    """Whether the client wants the connection to end with the answer."""


class PlainAnswer(Struct, frozen=True, kw_only=True):
    """One answer. `fields` need not have what HTTP itself wants: length, date and server."""

    status: int
    fields: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    closes: bool = False


def read_request(data: bytes) -> PlainRequest | None:
    """Read what came if it is one whole plain request and nothing else; None leaves it to a full parser."""
    head = _HEAD.match(data, 0, _MAX_HEAD)
    if head is None:
        return None
    method, target, text = head.groups()
    lines = text.decode("ascii").split("\r\n")
    lines.pop()
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip(" \t")
    if len(fields) != len(lines) or len(lines) > _MAX_FIELDS or "host" not in fields or not _FULL.isdisjoint(fields):
        return None
    closes = _PERSISTENCE.get(fields.get("connection", "keep-alive").lower())
    length = fields.get("content-length", "0")
    if closes is None or not (length.isdigit() and len(length) <= _MAX_DIGITS):
        return None
    body = data[head.end() :]
    if len(body) != int(length):
        return None
    return PlainRequest(
        method=method.decode("ascii"), target=target.decode("ascii"), fields=fields, body=body, closes=closes
    )


def spell_answer(answer: PlainAnswer, date: str, *, closes: bool = False) -> bytes:
    """Write the answer; `date` is the time in HTTP's spelling, `closes` that it is the last for whatever reason.

    Raises ValueError for a field that breaks its line.
    """
    parts = [_STATUS_LINES[answer.status]]
    for name, value in answer.fields.items():
        if "\r" in value or "\n" in value:
            raise ValueError(f"the field {name} does not fit into a line")
        parts.append(f"{name}: {value}\r\n")
    ending = "Connection: close\r\n\r\n" if closes or answer.closes else "\r\n"
    parts.append(f"Content-Length: {len(answer.body)}\r\nDate: {date}\r\n{ending}")
    return "".join(parts).encode("latin-1") + answer.body


def problem(
    status: int, code: Code, message: str, *, tracking_id: str | None = None, closes: bool = False
) -> PlainAnswer:
    """Answer with an error that net found itself."""
    tracking_id = tracking_id or str(uuid4())
    body = {"errorCode": int(code), "trackingId": tracking_id, "message": message}
    return PlainAnswer(
        status=status,
        fields={"Content-Type": "application/json; charset=utf-8", "x-ms-request-id": tracking_id},
        body=json.dumps(body).encode(),
        closes=closes,
    )
