"""Certificates, contexts and recorded exchanges for the client's tests."""

import ipaddress
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from homeport.client import TpmSecurityProvider
from tests.certificates import Certified, make_certificate
from tests.swtpm import SoftwareTpm

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture(scope="session")
def authority() -> Certified:
    """A CA that signs the server and the devices."""
    return make_certificate("test-ca", ca=True)


@pytest.fixture(scope="session")
def ca_file(authority: Certified, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    file.write_text(authority.pem)
    return file


@pytest.fixture(scope="session")
def server_context(authority: Certified, ca_file: Path, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """TLS of a server named `localhost` that asks for client certificates of the CA."""
    folder = tmp_path_factory.mktemp("server")
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    chain, private = make_certificate("localhost", issuer=authority, extensions=(names,)).write(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca_file)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(chain, private)
    return context


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], Any]:
    """Read a recorded exchange; each file names its origin."""

    def read(name: str) -> Any:
        return json.loads((RECORDED / f"{name}.json").read_text())

    return read


@pytest.fixture(scope="module")
def tpm_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TpmSecurityProvider]:
    """A security provider on a software TPM of its own."""
    pytest.importorskip("tpm2_pytss", reason="the extra homeport[tpm] is not installed")
    with SoftwareTpm(tmp_path_factory.mktemp("tpm")) as tpm, TpmSecurityProvider(tpm.tcti) as provider:
        yield provider
