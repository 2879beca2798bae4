"""The XML of Azure Storage: block lists in, listings and errors out. Pure."""

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from html import unescape
from xml.sax.saxutils import escape

from msgspec import Struct

from homeport.hub.blob_errors import BlobCode, BlobError
from homeport.hub.model import StoredBlob

MAX_BLOCKS = 50_000
MAX_BLOCK_LIST = 128 * MAX_BLOCKS
"""In bytes: a block's id has up to 64 bytes, in Base64 and between tags."""
MAX_BLOCK_ID = 64

_HEAD = re.compile(r"\ufeff?\s*(<\?xml[^<>]*\?>)?\s*<BlockList\s*(/?)>")
_ENTRY = re.compile(r"\s*<(Latest|Committed|Uncommitted)>([^<>]{0,256})</\1>")
_TAIL = re.compile(r"\s*</BlockList>\s*")


class Listing(Struct, frozen=True, kw_only=True):
    """One page of a container's content."""

    prefix: str
    marker: str
    limit: int
    delimiter: str
    blobs: Sequence[StoredBlob]
    folders: Sequence[str]
    next_marker: str


def read_block_list(body: bytes) -> Sequence[tuple[str, str]]:
    """Read a list of blocks: each one's id, and where it is from (`latest`, `committed`, `uncommitted`).

    The grammar is this fixed one, so nothing of XML that could expand or load is understood. Raises BlobError.
    """
    wrong = BlobError(BlobCode.INVALID_XML, "The body is not a block list.")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise wrong from None
    head = _HEAD.match(text)
    if head is None:
        raise wrong
    place = head.end()
    if head[2]:
        if text[place:].strip():
            raise wrong
        return []
    blocks: list[tuple[str, str]] = []
    while entry := _ENTRY.match(text, place):
        blocks.append((checked_block_id(unescape(entry[2]).strip()), entry[1].lower()))
        place = entry.end()
    if _TAIL.fullmatch(text, place) is None:
        raise wrong
    if len(blocks) > MAX_BLOCKS:
        raise BlobError(BlobCode.INVALID_BLOCK_LIST, f"A blob has at most {MAX_BLOCKS} blocks.")
    return blocks


def checked_block_id(text: str) -> str:
    """Return a block's id if it is one: Base64 of 1 to 64 bytes. Raises BlobError INVALID_BLOCK_ID."""
    try:
        size = len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not 0 < size <= MAX_BLOCK_ID:
        raise BlobError(BlobCode.INVALID_BLOCK_ID, f"A block id is Base64 of 1 to {MAX_BLOCK_ID} bytes.")
    return text


def write_error(error: BlobError, request_id: str, now: datetime) -> bytes:
    when = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    message = escape(f"{error.message}\nRequestId:{request_id}\nTime:{when}")
    return _document(f"<Error><Code>{error.code.wire_name}</Code><Message>{message}</Message></Error>")


def write_listing(endpoint: str, container: str, listing: Listing) -> bytes:
    entries = [
        *(f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>" for name in listing.folders),
        *(_blob(blob) for blob in listing.blobs),
    ]
    text = (
        f'<EnumerationResults ServiceEndpoint="{escape(endpoint)}/" ContainerName="{container}">'
        f"<Prefix>{escape(listing.prefix)}</Prefix><Marker>{escape(listing.marker)}</Marker>"
        f"<MaxResults>{listing.limit}</MaxResults>"
        + (f"<Delimiter>{escape(listing.delimiter)}</Delimiter>" if listing.delimiter else "")
        + f"<Blobs>{''.join(entries)}</Blobs><NextMarker>{escape(listing.next_marker)}</NextMarker>"
        "</EnumerationResults>"
    )
    return _document(text)


def http_time(moment: datetime) -> str:
    """Write a time as HTTP's headers have it."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def _blob(blob: StoredBlob) -> str:
    when = http_time(blob.last_modified)
    return (
        f"<Blob><Name>{escape(blob.name)}</Name><Properties>"
        f"<Creation-Time>{when}</Creation-Time><Last-Modified>{when}</Last-Modified>"
        f"<Etag>{escape(blob.etag.strip(chr(34)))}</Etag><Content-Length>{blob.size}</Content-Length>"
        f"<Content-Type>{escape(blob.properties.content_type)}</Content-Type><BlobType>BlockBlob</BlobType>"
        "</Properties></Blob>"
    )


def _document(text: str) -> bytes:
    return f'<?xml version="1.0" encoding="utf-8"?>{text}'.encode()
