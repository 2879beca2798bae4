"""A certificate that its authority took back opens no hub: what provisioning knows of authorities counts there."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from homeport.app.build import Parts, build
from homeport.app.config import Config
from homeport.app.directory import DataDirectory
from homeport.hub.authentication import Reason, Refused
from homeport.hub.identities import IdentityWrite
from homeport.hub.model import CaAuthentication
from homeport.hub.responder import DeviceClaim
from homeport.security.callers import SYSTEM
from tests.transports.serving import Server, serving
from tests.unit.security.certificates import NOW, Issued, issue
from tests.unit.security.test_crl import crl

LATE = datetime(2100, 1, 1, tzinfo=UTC)
ROOT = issue("Root", ends=LATE)
LEAF = ROOT.leaf("d1", ends=LATE, serial=77)
CERTIFICATE = "/homeport/certificates/root"


def pem(issued: Issued) -> str:
    return issued.certificate.parsed.public_bytes(Encoding.PEM).decode()


class Operator:
    """The server's parts, and the administration of its provisioning service."""

    def __init__(self, parts: Parts, server: Server, token: str) -> None:
        self._parts = parts
        self._server = server
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, body: Any) -> None:
        answer = await self._server.ask(method, path, body, self._headers)
        assert answer.status == 200, answer.body

    async def connects(self) -> Reason | None:
        """Return why the device is refused."""
        (hub,) = self._parts.hubs
        verdict = await hub.responder.authenticate(DeviceClaim(device_id="d1", token=None, chain=(LEAF.der,)))
        return verdict.reason if isinstance(verdict, Refused) else None


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    with DataDirectory(tmp_path) as directory:
        async with build(Config(data=tmp_path, bind=("127.0.0.1",)), directory) as parts:
            (hub,) = parts.hubs
            await hub.registry.create(IdentityWrite(device_id="d1", authentication=CaAuthentication()))
            await hub.ca_certificates.put("root", pem(ROOT), is_verified=True, if_match=None, by=SYSTEM)
            site = parts.sites.resolve(None, "localhost", "127.0.0.1")
            async with serving(*site.http) as server:
                yield Operator(parts, server, directory.portal_token())


async def test_revocation_as_provisioning_knows_it(operator: Operator) -> None:
    assert await operator.connects() is None
    # An authority of which nothing is known lets its devices in, unless it is told to demand more.
    await operator.ask("PUT", CERTIFICATE, {"certificate": pem(ROOT)})
    assert await operator.connects() is None
    await operator.ask("PATCH", CERTIFICATE, {"revocation": {"policy": "require"}})
    assert await operator.connects() is Reason.REVOKED
    await operator.ask("PUT", f"{CERTIFICATE}/crl", crl(ROOT, issuer="Root", ends=LATE))
    assert await operator.connects() is None
    await operator.ask("PUT", f"{CERTIFICATE}/crl", crl(ROOT, (77, NOW, None), issuer="Root", ends=LATE, number=8))
    assert await operator.connects() is Reason.REVOKED
    await operator.ask("PATCH", CERTIFICATE, {"revocation": {"policy": "off"}})
    assert await operator.connects() is None
