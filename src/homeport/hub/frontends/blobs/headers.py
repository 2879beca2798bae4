"""What Azure Storage says in headers: properties of a blob, conditions, ranges. Pure."""

import base64
import re
from collections.abc import Callable, Mapping

from homeport.hub.blob_errors import BlobCode, BlobError
from homeport.hub.frontends.blobs.documents import http_time
from homeport.hub.model import BlobProperties, StoredBlob

MAX_METADATA = 8 * 1024

_META = "x-ms-meta-"
_TOLD = {
    "x-ms-blob-content-encoding": "Content-Encoding",
    "x-ms-blob-content-language": "Content-Language",
    "x-ms-blob-content-disposition": "Content-Disposition",
    "x-ms-blob-cache-control": "Cache-Control",
}
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
_TYPE = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,255}")


def read_properties(headers: Mapping[str, str], *, of_body: bool) -> BlobProperties:
    """Read what is kept with a blob; `of_body`: the Content-Type is the blob's. Raises BlobError."""
    content_type = headers.get("x-ms-blob-content-type") or (headers.get("Content-Type") if of_body else None)
    kept = {told: headers[name] for name, told in _TOLD.items() if headers.get(name)}
    kept |= {name.lower(): value for name, value in headers.items() if name.lower().startswith(_META)}
    size = sum(len(name) + len(value.encode()) for name, value in kept.items())
    if size > MAX_METADATA or (content_type and not _TYPE.fullmatch(content_type)):
        raise BlobError(BlobCode.INVALID_HEADER, f"Properties and metadata have at most {MAX_METADATA} bytes.")
    return BlobProperties(content_type=content_type or "application/octet-stream", headers=kept)


def read_condition(headers: Mapping[str, str]) -> Callable[[StoredBlob | None], None]:
    """Return what a writer asks of the present blob; the function raises BlobError if it does not hold."""
    wanted, unwanted = (_etags(headers.get(name)) for name in ("If-Match", "If-None-Match"))

    def check(present: StoredBlob | None) -> None:
        if unwanted == {"*"} and present is not None:
            raise BlobError(BlobCode.BLOB_ALREADY_EXISTS, "The blob is there already.")
        if unwanted and present is not None and present.etag in unwanted:
            raise BlobError(BlobCode.CONDITION_NOT_MET, "The blob is the one that was not wanted.")
        if wanted and (present is None or ("*" not in wanted and present.etag not in wanted)):
            raise BlobError(BlobCode.CONDITION_NOT_MET, "The blob is another one by now.")

    return check


def read_md5(headers: Mapping[str, str]) -> bytes | None:
    """Read Content-MD5. Raises BlobError INVALID_HEADER."""
    text = headers.get("Content-MD5")
    if not text:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 16:
        raise BlobError(BlobCode.INVALID_HEADER, "Content-MD5 is not the Base64 of 16 bytes.")
    return digest


def read_range(headers: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """Return start and length of the part that is asked for, None for all of it. Raises BlobError INVALID_RANGE."""
    text = headers.get("x-ms-range") or headers.get("Range")
    wanted = _RANGE.fullmatch(text) if text else None
    if wanted is None:
        return None  # other forms are answered with the whole (RFC 9110 section 14.2)
    start = int(wanted[1])
    last = min(int(wanted[2]) if wanted[2] else size - 1, size - 1)
    if start > last:
        raise BlobError(BlobCode.INVALID_RANGE, f"The blob has {size} bytes.")
    return start, last - start + 1


def describe(blob: StoredBlob) -> dict[str, str]:
    """Return the headers of an answer with a blob, without its length.

    What devices upload is nothing that a browser should run with the hub's name.
    """
    return {
        "Content-Type": blob.properties.content_type,
        **blob.properties.headers,
        "ETag": blob.etag,
        "Last-Modified": http_time(blob.last_modified),
        "Accept-Ranges": "bytes",
        "x-ms-blob-type": "BlockBlob",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }


def _etags(text: str | None) -> set[str]:
    return {each.strip() for each in text.split(",") if each.strip()} if text else set()
