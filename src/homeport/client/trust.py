"""The TLS side of a client: whom it trusts and what it shows."""

import ipaddress
import ssl
from pathlib import Path

from homeport.client.errors import TransportError, UntrustedServerError

CaFile = str | Path | None
"""PEM file of the certificate authorities to trust; None trusts the system's."""


def tls_context(ca_file: CaFile = None, *, verify: bool = True) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and newer that checks host names.

    With `ca_file`, nothing but that file is trusted. `verify=False` turns all checking off: for experiments only,
    since anybody in between can then read and change what is said. Raises TransportError for an unusable file.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise TransportError(f"cannot read certificates from {ca_file}: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def is_loopback(authority: str) -> bool:
    """Tell whether `host` or `host:port` is this machine."""
    host, colon, port = authority.rpartition(":")
    host = host if colon and port.isdigit() else authority
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def transport_error(doing: str, error: BaseException) -> TransportError:
    """Return what to raise for an OSError or an error of httpx; a server that is not trusted is told apart."""
    reason: BaseException | None = error
    while reason is not None:
        if isinstance(reason, ssl.SSLCertVerificationError):
            text = f"{doing}: the server's certificate is not trusted ({reason.verify_message}); see ca_file"
            return UntrustedServerError(text)
        reason = reason.__cause__ or reason.__context__
    return TransportError(f"{doing} failed: {str(error) or type(error).__name__}")
