"""Whom custom allocation may be asked: a webhook over https, over http on this machine only, or a function of ours."""

import ipaddress
import re
from urllib.parse import urlsplit

FUNCTION_SCHEME = "python:"
"""`python:package.module:function`, one that the server was started with."""

_URL = re.compile(r"https?://[^\s/?#]+[^\s#]*", re.ASCII | re.IGNORECASE)
_FUNCTION = re.compile(r"python:([A-Za-z_]\w*\.)*[A-Za-z_]\w*:[A-Za-z_]\w*", re.ASCII)
_MAX_URL = 2048


def webhook_problem(url: str) -> str | None:
    """Say why this cannot be asked; None if it can. The text repeats nothing of a URL, whose query is secret."""
    if len(url) > _MAX_URL:
        return f"is longer than {_MAX_URL} characters"
    if url.lower().startswith(FUNCTION_SCHEME):
        return None if _FUNCTION.fullmatch(url) else "is not of the form python:package.module:function"
    if _URL.fullmatch(url) is None:
        return "is not an http or https URL"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not an http or https URL"
    if not host or "@" in parts.netloc:
        return "needs a host name, and no user name"
    if parts.scheme == "http" and not _is_loopback(host):
        return "must be https; http is accepted for loopback addresses only"
    return None


def is_function(url: str) -> bool:
    """Tell whether a function of this server is meant."""
    return url.lower().startswith(FUNCTION_SCHEME)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
