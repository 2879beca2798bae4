"""SAS tokens: parse, sign, check, and the keys behind them (contract dps.md 2, hub.md 2.3).

Who may do what with a genuine token is decided in `policies` and by the attestation rules, never here.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from urllib.parse import quote, unquote, unquote_to_bytes

from msgspec import Struct

from homeport.security.explain import ago, server_time
from homeport.values import hiding

SCHEME = "SharedAccessSignature"
MAX_TOKEN_LENGTH = 4096
MIN_KEY_BYTES = 16
MAX_KEY_BYTES = 64
CLOCK_SKEW = timedelta(minutes=5)
"""What the C# service library allows; the Rust client's 30-second tokens need some of it (contract dps.md 2.2)."""

_PREFIX = SCHEME.lower() + " "
_MAX_EXPIRY_DIGITS = 15
_SIGNATURE_BYTES = hashlib.sha256().digest_size


class SasError(ValueError):
    """A token or key that is not written as the contract says; the text is safe to log and to send back."""


@hiding("signature")
class SasToken(Struct, frozen=True, kw_only=True):
    """A parsed token. Nothing is proven yet: `verify_signature` and `is_expired` do that."""

    raw_resource: str
    """The `sr` text exactly as it stands in the token; this is what was signed."""
    resource: str
    """`sr` with its percent escapes decoded once; a `+` stays a `+`."""
    signature: bytes
    expiry: int
    """`se`: seconds since 1970-01-01T00:00:00Z."""
    policy: str | None
    """`skn`; None when absent or empty. Device tokens may carry any value here (contract dps.md 2.2)."""


def parse_token(text: str) -> SasToken:
    """Read a token of any client's spelling.

    Fields may come in any order. Unknown fields are ignored, since nothing they say is signed; a repeated
    field is refused. Raises SasError.
    """
    if len(text) > MAX_TOKEN_LENGTH:
        raise SasError(f"SAS token is longer than {MAX_TOKEN_LENGTH} characters")
    if not (text.isascii() and text.isprintable()):
        raise SasError("SAS token holds characters outside printable ASCII")
    if text[: len(_PREFIX)].lower() != _PREFIX:
        raise SasError(f"SAS token does not begin with '{SCHEME}'")
    fields: dict[str, str] = {}
    for item in text[len(_PREFIX) :].strip(" ").split("&"):
        name, separator, value = item.partition("=")
        if not separator:
            raise SasError("SAS token holds a field without '='")
        if name in fields:
            raise SasError("SAS token repeats a field")
        fields[name] = value
    raw_resource = fields.get("sr")
    if not raw_resource:
        raise SasError("SAS token has no resource (sr)")
    policy = fields.get("skn")
    return SasToken(
        raw_resource=raw_resource,
        resource=_unquoted(raw_resource),
        signature=_read_signature(fields.get("sig")),
        expiry=_read_expiry(fields.get("se")),
        # Python's Event Hubs client quotes the name twice (contract hub.md 20.3).
        policy=unquote(_unquoted(policy)) if policy else None,
    )


def _unquoted(text: str) -> str:
    """As `unquote`, of ASCII: that has no stretches of other characters to be kept apart."""
    return unquote_to_bytes(text).decode(errors="replace") if "%" in text else text


def _read_signature(text: str | None) -> bytes:
    if not text:
        raise SasError("SAS token has no signature (sig)")
    try:
        # `unquote`, not `unquote_plus`: a bare '+' is a Base64 digit, never a space.
        signature = binascii.a2b_base64(_unquoted(text), strict_mode=True)
    except ValueError:  # binascii.Error, and non-ASCII text after decoding
        signature = b""
    if len(signature) != _SIGNATURE_BYTES:
        raise SasError("SAS token's signature (sig) is not the Base64 of an HMAC-SHA256")
    return signature


def _read_expiry(text: str | None) -> int:
    if not text:
        raise SasError("SAS token has no expiry (se)")
    # No leading zeros: `verify_signature` must be able to write the signed text again from the number.
    if len(text) > _MAX_EXPIRY_DIGITS or not text.isdigit() or (text[0] == "0" and text != "0"):
        raise SasError("SAS token's expiry (se) is not a whole number of seconds since 1970")
    return int(text)


def string_to_sign(resource_text: str, expiry: int) -> bytes:
    """Return the bytes the signature covers; a TPM device signs these inside its TPM."""
    return f"{resource_text}\n{expiry}".encode()


def verify_signature(token: SasToken, key: bytes) -> bool:
    """Tell, in constant time, whether `key` made the token's signature over its literal `sr` text."""
    message = string_to_sign(token.raw_resource, token.expiry)
    return hmac.compare_digest(hmac.digest(key, message, "sha256"), token.signature)


def is_expired(token: SasToken, now: datetime, tolerance: timedelta = CLOCK_SKEW) -> bool:
    """Tell whether the token's expiry lies more than `tolerance` before `now` (aware)."""
    return now.timestamp() > token.expiry + tolerance.total_seconds()


def explain_expiry(token: SasToken, now: datetime) -> str:
    """Say for an operator how an expired token and this server's clock disagree."""
    late = now.timestamp() - token.expiry
    return f"the token expired {ago(late)} ago by the server's clock ({server_time(now)})"


def sign(resource_text: str, key: bytes, expiry: int, policy: str | None = None) -> str:
    """Write a token. `resource_text` goes in, and is signed, as it stands: see `encode_resource`."""
    signature = hmac.digest(key, string_to_sign(resource_text, expiry), "sha256")
    return format_token(resource_text, signature, expiry, policy)


def format_token(resource_text: str, signature: bytes, expiry: int, policy: str | None = None) -> str:
    """Write a token around a signature made elsewhere, in a TPM for instance.

    Raises SasError if `resource_text` cannot stand in a token unescaped.
    """
    if "&" in resource_text or not (resource_text.isascii() and resource_text.isprintable()):
        raise SasError("resource must be percent-encoded before it can stand in a SAS token")
    encoded = quote(base64.b64encode(signature), safe="")
    name = f"&skn={quote(policy, safe='')}" if policy else ""
    return f"{SCHEME} sr={resource_text}&sig={encoded}&se={expiry}{name}"


def encode_resource(resource: str) -> str:
    """Percent-encode a resource for `sign`, as the C# and Python clients spell it."""
    return quote(resource, safe="")


def derive_device_key(group_key: bytes, registration_id: str) -> bytes:
    """Return the key of one device of a symmetric-key group (contract dps.md 2.3).

    The id counts byte for byte as the device spells it; another letter case gives another key.
    """
    return hmac.digest(group_key, registration_id.encode(), "sha256")


def decode_key(text: str) -> bytes:
    """Read a Base64 key of 16 to 64 bytes. Raises SasError, which never repeats the key."""
    if len(text) > 2 * MAX_KEY_BYTES:
        raise SasError(f"key is longer than {MAX_KEY_BYTES} bytes")
    try:
        key = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise SasError("key is not valid Base64") from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise SasError(f"key must be {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes long, not {len(key)}")
    return key


def encode_key(key: bytes) -> str:
    """Write a key as Base64, the form of every document and connection string."""
    return base64.b64encode(key).decode("ascii")


# Resources. Each function answers one question: is this token *for* that thing?


def is_for_registration(token: SasToken, id_scope: str, registration_id: str) -> bool:
    """Tell whether the token is for `{scope}/registrations/{reg}`, ignoring case (contract dps.md 2.2)."""
    expected = f"{id_scope}/registrations/{registration_id}"
    # ASCII first: lower() also folds a few other letters, the Kelvin sign among them, into ASCII.
    return token.resource.isascii() and token.resource.lower() == expected.lower()


def is_for_service(token: SasToken, hosts: Collection[str]) -> bool:
    """Tell whether the token is for one of the service's host names.

    Scheme, port and letter case of the token do not matter (contract dps.md 2.4); `hosts` are bare names.
    """
    host, path = _split_host(token.resource)
    return not path and _is_one_of(host, hosts)


def covers_hub_resource(
    token: SasToken, hosts: Collection[str], path: Sequence[str], *, ignore_case: bool = False
) -> bool:
    """Tell whether the token's resource is, or stands above, a hub's resource (contract hub.md 2.3).

    `path` is the target below the host as decoded segments, e.g. `("devices", "d1")`; `hosts` are the hub's
    bare names. Segments compare whole and by letter case; `ignore_case` is for Event Hubs audiences.
    """
    return any(_is_prefix(reading, path, ignore_case=ignore_case) for reading in hub_paths(token, hosts))


def is_hub_resource(token: SasToken, hosts: Collection[str], path: Sequence[str]) -> bool:
    """Tell whether the token's resource is exactly this one: the rule for a device's own key."""
    return tuple(path) in hub_paths(token, hosts)


def hub_paths(token: SasToken, hosts: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Return the decoded segments below the hub's host that the token may mean; empty for another host.

    There are two readings when `sr` holds a '+': a space to C# and Java, a plus to C, which leaves it raw.
    """
    host, path = _split_host(token.resource)
    if not _is_one_of(host, hosts):
        return ()
    if "+" not in token.raw_resource:
        return (path,)
    return (path, _split_host(unquote(token.raw_resource.replace("+", " ")))[1])


def _split_host(resource: str) -> tuple[str, tuple[str, ...]]:
    scheme, separator, rest = resource.partition("://")
    if not (separator and scheme.isalpha()):
        rest = resource
    authority, _, path = rest.partition("/")
    host, colon, port = authority.rpartition(":")
    path = path.removesuffix("/")
    return host if colon and port.isdigit() else authority, tuple(path.split("/")) if path else ()


def _is_one_of(host: str, hosts: Collection[str]) -> bool:
    folded = host.lower()
    return host.isascii() and any(folded == name.lower() for name in hosts)


def _is_prefix(segments: Sequence[str], path: Sequence[str], *, ignore_case: bool) -> bool:
    head = path[: len(segments)]
    if ignore_case:
        return [s.lower() for s in segments] == [s.lower() for s in head]
    return tuple(segments) == tuple(head)
