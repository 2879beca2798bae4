"""Shared access signatures of Azure Storage for blobs, and the connection strings their keys come in. Pure.

Service SAS, signed with the account's key, version 2020-12-06 and later (Microsoft's "Create a service SAS").
"""

import base64
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import quote, urlsplit

from msgspec import Struct

from homeport.values import hiding

VERSION = "2021-12-02"
"""What we sign for; every endpoint of 2022 and later takes it, Azurite included."""
_OLDEST = "2020-12-06"
"""Before this one the signed text had a field less."""
_PERMISSIONS = "racwdl"
"""The order in which Azure Storage wants them."""
_SKEW = timedelta(minutes=5)


class StorageStringError(ValueError):
    """A storage connection string cannot be used; the text says why and holds no secret."""


class Scope(StrEnum):
    """What a signature is good for."""

    BLOB = "b"
    CONTAINER = "c"


@hiding("key")
class StorageAccount(Struct, frozen=True, kw_only=True):
    """Where blobs are kept, and the key that opens it."""

    name: str
    key: bytes
    endpoint: str
    """Scheme, host, port if there is one, and what may stand before the container; no slash at the end."""

    @property
    def place(self) -> str:
        """The endpoint without its scheme: what devices are told as host name."""
        return self.endpoint.partition("://")[2]


def parse_connection_string(text: str) -> StorageAccount:
    """Read `DefaultEndpointsProtocol=…;AccountName=…;AccountKey=…[;EndpointSuffix=…|;BlobEndpoint=…]`.

    Raises StorageStringError.
    """
    pairs = (part.partition("=") for part in text.split(";"))
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if fields.get("usedevelopmentstorage"):
        raise StorageStringError("UseDevelopmentStorage is known to SDKs only; write the emulator's account out")
    name, key = fields.get("accountname", ""), fields.get("accountkey", "")
    if not name or not key:
        raise StorageStringError("AccountName and AccountKey are needed: devices' signatures are made with the key")
    try:
        secret = base64.b64decode(key, validate=True)
    except ValueError:
        raise StorageStringError("AccountKey is not Base64") from None
    suffix = fields.get("endpointsuffix") or "core.windows.net"
    protocol = fields.get("defaultendpointsprotocol") or "https"
    endpoint = (fields.get("blobendpoint") or f"{protocol}://{name}.blob.{suffix}").rstrip("/")
    try:
        parts = urlsplit(endpoint)
        sound = parts.scheme in {"https", "http"} and parts.hostname and not (parts.query or parts.fragment)
        _ = parts.port
    except ValueError:
        sound = False
    if not sound:
        raise StorageStringError("the blob endpoint is no https:// or http:// address")
    return StorageAccount(name=name, key=secret, endpoint=endpoint)


def sign(
    account: StorageAccount, container: str, blob: str | None, *, permissions: str, start: datetime, end: datetime
) -> str:
    """Return a query string, without a question mark, that opens a blob (None: the container and all its blobs).

    `permissions` are letters out of read, add, create, write, delete, list. Times are told in whole seconds.
    """
    fields = {
        "sv": VERSION,
        "st": _time(start),
        "se": _time(end),
        "sr": (Scope.CONTAINER if blob is None else Scope.BLOB).value,
        "sp": "".join(letter for letter in _PERMISSIONS if letter in permissions),
    }
    if account.endpoint.startswith("https:"):
        fields["spr"] = "https"
    fields["sig"] = _signature(account, container, blob, fields)
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())


def permits(
    account: StorageAccount, container: str, blob: str | None, fields: Mapping[str, str], *, any_of: str, now: datetime
) -> str | None:
    """Judge the fields of a signature against what is asked: None if one of these permissions holds, else why not.

    A container's signature opens its blobs too. What the answer says holds no secret.
    """
    scope = fields.get("sr")
    if scope not in {Scope.BLOB, Scope.CONTAINER} or not fields.get("sig") or not fields.get("se"):
        return "The signature is missing or not complete."
    if not _OLDEST <= fields.get("sv", "") <= "9999":
        return f"Signatures of version {_OLDEST} and later are known here."
    signed_for = blob if scope == Scope.BLOB else None
    if scope == Scope.BLOB and blob is None:
        return "The signature is for a blob."
    expected = _signature(account, container, signed_for, fields)
    if not hmac.compare_digest(expected.encode(), fields["sig"].encode()):
        return "The signature does not match."
    try:
        start, end = _moment(fields.get("st")), _moment(fields["se"])
    except ValueError:
        return "The times of the signature cannot be read."
    if end is None or now >= end:
        return "The signature has expired."
    if start is not None and now < start - _SKEW:
        return "The signature is not valid yet."
    if not set(any_of) & set(fields.get("sp", "")):
        return "The signature does not permit this."
    return None


def _signature(account: StorageAccount, container: str, blob: str | None, fields: Mapping[str, str]) -> str:
    resource = f"/blob/{account.name}/{container}" + ("" if blob is None else f"/{blob}")
    first = (fields.get("sp", ""), fields.get("st", ""), fields.get("se", ""), resource)
    rest = ("si", "sip", "spr", "sv", "sr", "snapshot", "ses", "rscc", "rscd", "rsce", "rscl", "rsct")
    text = "\n".join((*first, *(fields.get(name, "") for name in rest)))
    return base64.b64encode(hmac.digest(account.key, text.encode(), "sha256")).decode()


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
