"""The server's side of a full handshake between two memory buffers: what cryptography and OpenSSL alone cost."""

import time

from OpenSSL import SSL, crypto

from bench.link import Credential
from homeport.net.certificates import ServerCertificates

_HANDSHAKES = 200
_RECORD = 16 * 1024


def engine_seconds(certificates: ServerCertificates, client: SSL.Context, credential: Credential | None) -> float:
    """Return the median processor time of one handshake, the client's chain exported as the listener does."""
    times = sorted(_one(certificates, client, credential) for _ in range(_HANDSHAKES))
    return times[_HANDSHAKES // 2]


def _one(certificates: ServerCertificates, context: SSL.Context, credential: Credential | None) -> float:
    client = SSL.Connection(context, None)
    client.set_connect_state()
    if credential is not None:
        client.use_certificate(credential.certificate)
        client.use_privatekey(credential.key)
    spent = -time.thread_time()
    server = SSL.Connection(certificates.context(), None)
    server.set_accept_state()
    spent += time.thread_time()
    done = False
    while not done:
        _advance(client)
        flight = client.bio_read(_RECORD)
        spent -= time.thread_time()
        server.bio_write(flight)
        done = _advance(server)
        answer = _pending(server)
        if done:
            leaf = server.get_peer_certificate()
            for each in (leaf, *(server.get_peer_cert_chain() or ())) if leaf else ():
                crypto.dump_certificate(crypto.FILETYPE_ASN1, each)
        spent += time.thread_time()
        if answer:
            client.bio_write(answer)
    return spent


def _advance(connection: SSL.Connection) -> bool:
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        return False
    return True


def _pending(connection: SSL.Connection) -> bytes:
    try:
        return connection.bio_read(_RECORD)
    except SSL.WantReadError:
        return b""
