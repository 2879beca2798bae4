import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from homeport.net.certificates import ServerCertificates
from tests.net.certs import Identity, issue


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of this folder on both event loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def server_identity() -> Identity:
    return issue("localhost")


@pytest.fixture
def certificates(server_identity: Identity) -> ServerCertificates:
    return ServerCertificates(server_identity.chain_pem, server_identity.key_pem)


ClientContext = Callable[..., ssl.SSLContext]


@pytest.fixture
def client_context(tmp_path: Path, server_identity: Identity) -> ClientContext:
    """Make TLS client contexts that trust the server and present `identity`, if any."""

    def make(
        identity: Identity | None = None,
        *,
        version: ssl.TLSVersion | None = None,
        trust: Identity | None = None,
        alpn: list[str] | None = None,
    ) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=(trust or server_identity).chain_pem.decode())
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if alpn is not None:
            context.set_alpn_protocols(alpn)
        if identity is not None:
            chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
            chain.write_bytes(identity.chain_pem)
            key.write_bytes(identity.key_pem)
            context.load_cert_chain(chain, key)
        return context

    return make
