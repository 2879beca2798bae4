"""The JSON documents exactly as clients see them, and how they are read and written. What they mean is not known here.

Reading refuses by size first, then by form; nothing but WireError comes out of hostile input. Writing spells times
the way every official parser accepts them (contract dps.md 8.3).
"""

import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from homeport.nesting import nests_beyond

T = TypeVar("T")

MAX_DOCUMENT_BYTES = 96 * 1024
"""The provisioning service's message size limit (contract dps.md 10)."""

JSON_CONTENT_TYPE = "application/json; charset=utf-8"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NON_ASCII = re.compile("[^\x00-\x7f]")


class WireError(ValueError):
    """A document that cannot be read; the text says where and is safe to send back."""


class TooLargeError(WireError):
    """A document over the size limit; nothing of it was read."""


class WireStruct(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """A document or a part of one: members in Azure's spelling, unknown members ignored."""


def decode(decoder: msgspec.json.Decoder[T], body: bytes, *, limit: int = MAX_DOCUMENT_BYTES) -> T:
    """Read a document. Raises TooLargeError, or WireError for anything that is not what the decoder expects."""
    if len(body) > limit:
        raise TooLargeError(f"The body is {len(body)} bytes long; at most {limit} are read.")
    if nests_beyond(body):
        raise WireError("The body is nested too deeply.")
    try:
        # Members kept as Raw are skipped without a look at their encoding, so the whole is looked at here.
        body.decode()
        return decoder.decode(body.removeprefix(_BYTE_ORDER_MARK))
    except msgspec.ValidationError as error:
        raise WireError(f"{error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise WireError("The body is not valid JSON in UTF-8.") from None


def encode(document: Any) -> bytes:
    """Write a document as UTF-8."""
    return msgspec.json.encode(document)


def encode_ascii(document: Any) -> bytes:
    r"""Write a document in ASCII, other characters as `\uXXXX`: Node reads MQTT answers as ASCII (dps.md 4.4)."""
    body = msgspec.json.encode(document)
    if body.isascii():
        return body
    # Outside of strings JSON knows no such characters, so a plain substitution is exact.
    return _NON_ASCII.sub(_escape, body.decode()).encode("ascii")


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def format_time(moment: datetime) -> str:
    """Write an aware time with seven fraction digits and `Z`, for example `2023-05-19T23:10:45.1256254Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    text = moment.isoformat(timespec="microseconds")
    return text[:26] + "0Z"


def format_seconds(moment: datetime) -> str:
    """Write an aware time in whole seconds, as certificate information has it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Read an ISO 8601 time, seven fraction digits included; one without a zone is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
