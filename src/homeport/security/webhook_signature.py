"""The signature of a webhook request, by which its receiver knows that this service sent it, and when.

`Homeport-Signature: t=<Unix seconds>,v1=<hex>[,v1=<hex>]`: HMAC-SHA256 over the time in digits, a full stop and the
body, once with each key, so that a receiver who has either of them can check while keys are rotated.
"""

import hashlib
import hmac
from collections.abc import Sequence

SIGNATURE_HEADER = "Homeport-Signature"


def sign(body: bytes, keys: Sequence[bytes], at: int) -> str:
    """Return the header's value for a request sent at `at`, seconds since 1970."""
    return ",".join((f"t={at}", *(f"v1={_digest(body, key, at)}" for key in keys)))


def verify(header: str, body: bytes, key: bytes, *, now: int, tolerance: int = 300) -> bool:
    """Tell whether the holder of `key` signed this body, no more than `tolerance` seconds from now."""
    fields = [part.partition("=") for part in header.split(",")]
    time = next((value for name, _, value in fields if name == "t"), "")
    if not (time.isascii() and time.isdigit() and len(time) <= 15) or abs(now - int(time)) > tolerance:
        return False
    expected = _digest(body, key, int(time)).encode()
    signatures = [value.encode(errors="replace") for name, _, value in fields if name == "v1"]
    return any([hmac.compare_digest(expected, each) for each in signatures])  # noqa: C419 - all of them, in equal time


def _digest(body: bytes, key: bytes, at: int) -> str:
    return hmac.new(key, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
