"""How requests to webhooks are signed, with what, and which addresses are called (Standard Webhooks). Pure."""

import base64
import hashlib
import hmac
from urllib.parse import urlsplit

from homeport.security.policies import Random

SECRET_PREFIX = "whsec_"  # noqa: S105 - how Standard Webhooks marks a secret
_SECRET_BYTES = 32
_MAX_URL = 2048
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def signature(secret: str, identifier: str, seconds: int, body: bytes) -> dict[str, str]:
    """Return the headers that sign a message: HMAC-SHA256 over id, time (since 1970) and body."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    mac = hmac.digest(key, f"{identifier}.{seconds}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": identifier,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def new_secret(random: Random) -> str:
    """Return a fresh secret in the form of Standard Webhooks."""
    return SECRET_PREFIX + base64.b64encode(random(_SECRET_BYTES)).decode()


def is_secret(text: str) -> bool:
    """Tell whether this is a secret: `whsec_` and the Base64 of 24 to 64 bytes."""
    try:
        size = len(base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True))
    except ValueError:
        return False
    return text.startswith(SECRET_PREFIX) and 24 <= size <= 64


def is_callable(url: str) -> bool:
    """Tell whether this is an https address, or an http one on the loopback, without user name and fragment."""
    if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and (host in _LOOPBACK or host.startswith("127.")))
