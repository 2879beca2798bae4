"""The server's own certificate and how it offers TLS; replaceable while connections are open.

Never here: sockets, and any judgement on what clients present.
"""

from secrets import token_bytes
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

__all__ = ["CertificateError", "ServerCertificates"]

# The suites of the hosted services (contract dps.md 3.8); TLS 1.3 brings its own.
_TLS12_SUITES: Final = ":".join(
    f"ECDHE-{kind}-{suite}"
    for suite in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA256", "AES256-SHA384")
    for kind in ("ECDSA", "RSA")
).encode()

_OP_NO_RENEGOTIATION: Final = 1 << 30  # openssl/ssl.h; pyOpenSSL does not export it

_SESSION_SECONDS: Final = 300
"""How long a client may resume. The cache keeps each session's certificates, so not for hours."""

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class CertificateError(ValueError):
    """The server certificate or its key cannot be used; the message says why."""


class ServerCertificates:
    """One certificate for all names; `replace` takes effect for new connections only."""

    def __init__(self, chain: bytes, key: bytes) -> None:
        """Take PEM text: `chain` with the server's certificate first, then its issuers; `key` unencrypted.

        Raises CertificateError.
        """
        self._contexts: dict[tuple[bytes, ...], SSL.Context] = {}
        self._chain: list[x509.Certificate] = []
        self._key: Key | None = None
        self.replace(chain, key)

    def replace(self, chain: bytes, key: bytes) -> None:
        """Use another certificate from now on. Raises CertificateError and then keeps the present one."""
        certificates, private_key = _load(chain, key)
        trial = _context(certificates, private_key, ())
        self._chain, self._key = certificates, private_key
        self._contexts = {(): trial}

    def context(self, *alpn: bytes) -> SSL.Context:
        """Return the present context, offering the application protocols `alpn`, the favourite first."""
        context = self._contexts.get(alpn)
        if context is None:
            assert self._key is not None
            context = self._contexts[alpn] = _context(self._chain, self._key, alpn)
        return context


def _load(chain: bytes, key: bytes) -> tuple[list[x509.Certificate], Key]:
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError as fault:
        message = "The server's certificate chain cannot be read: expected PEM, the server's own certificate first"
        raise CertificateError(message) from fault
    try:
        private_key = load_pem_private_key(key, None)
    except (ValueError, TypeError) as fault:
        message = "The server's private key cannot be read: expected an unencrypted PEM key"
        raise CertificateError(message) from fault
    if not isinstance(private_key, Key):
        raise CertificateError("The server's private key must be RSA or of an elliptic curve")
    return certificates, private_key


def _context(certificates: list[x509.Certificate], key: Key, alpn: tuple[bytes, ...]) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_TLS12_SUITES)
    # Without tickets the session stays here, whole: a session out of a ticket has lost the chain behind the leaf.
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | _OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Once certificates are requested, OpenSSL resumes only what carries our own id.
    context.set_session_id(token_bytes(16))
    context.set_timeout(_SESSION_SECONDS)
    context.set_verify(SSL.VERIFY_PEER, _accept_any)
    # A resumed TLS 1.2 session remembers the server name only if somebody looked at it.
    context.set_tlsext_servername_callback(_note_name)
    if alpn:
        context.set_alpn_select_callback(lambda _connection, offered: _choose(alpn, offered))
    try:
        context.use_certificate(certificates[0])
        for issuer in certificates[1:]:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(key)
        context.check_privatekey()
    except SSL.Error as fault:
        reasons = "; ".join(reason for entry in fault.args[0] for reason in entry[-1:]) if fault.args else ""
        message = f"The server's certificate and key cannot be used together: {reasons or 'no reason given'}"
        raise CertificateError(message) from fault
    return context


def _accept_any(_connection: SSL.Connection, _certificate: crypto.X509, _error: int, _depth: int, _ok: int) -> bool:
    return True


def _note_name(_connection: SSL.Connection) -> None:
    return None


def _choose(ours: tuple[bytes, ...], offered: list[bytes]) -> bytes | SSL._NoOverlappingProtocols:
    for protocol in ours:
        if protocol in offered:
            return protocol
    return SSL.NO_OVERLAPPING_PROTOCOLS
