"""The server's certificate: renewed in time without a restart, and extended at once for a new hub."""

import asyncio
import datetime as dt
import ssl
from pathlib import Path

from cryptography import x509

from homeport.app.build import build
from homeport.app.config import Config
from homeport.app.directory import DataDirectory
from homeport.app.pki import RENEW_BEFORE, SERVER_LIFE
from homeport.app.presence import RENEWAL_CHECK
from homeport.net.http_server import HttpServer
from homeport.net.listener import Listener
from homeport.net.mqtt_server import MqttServer
from tests.fault.actors import Operator
from tests.server import HomeportServer

ADDRESS, NEW_HUB = "127.0.75.1", "127.0.75.2"


class SteppingClock:
    """A clock that stands still until it is moved; whoever sleeps wakes as soon as the time has passed."""

    def __init__(self) -> None:
        self._now = dt.datetime.now(dt.UTC)
        self._moved = asyncio.Condition()

    def now(self) -> dt.datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        end = self._now + dt.timedelta(seconds=seconds)
        async with self._moved:
            await self._moved.wait_for(lambda: self._now >= end)

    async def advance(self, step: dt.timedelta) -> None:
        async with self._moved:
            self._now += step
            self._moved.notify_all()


class Visitor:
    """A TLS connection to the server that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.certificate = x509.load_der_x509_certificate(der)

    @classmethod
    async def come(cls, host: str, port: int, ca_file: Path | None) -> "Visitor":
        """Connect, and verify name and issuer by the machine's clock; without `ca_file`, look only."""
        context = ssl.create_default_context(cafile=ca_file)
        if ca_file is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return cls(*await asyncio.open_connection(host, port, ssl=context))

    def check(self, ca_file: Path, *, now: dt.datetime) -> None:
        """Verify issuer and validity by another clock than the machine's."""
        self.certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_file.read_bytes()))
        assert self.certificate.not_valid_before_utc <= now < self.certificate.not_valid_after_utc

    async def is_served(self) -> bool:
        self._writer.write(f"GET /homeport/health HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(next(part for part in head.lower().split(b"\r\n") if part.startswith(b"content-length"))[15:])
        await self._reader.readexactly(length)
        return head.startswith(b"HTTP/1.1 200")

    def leave(self) -> None:
        self._writer.transport.abort()


async def test_renewal_in_time_without_a_restart(tmp_path: Path) -> None:
    clock = SteppingClock()
    config = Config(data=tmp_path / "data", hostname=(ADDRESS,), bind=(ADDRESS,))
    with DataDirectory(config.data) as directory:
        async with build(config, directory, clock=clock) as parts, asyncio.TaskGroup() as tasks:
            server = HttpServer(parts.sites, MqttServer(parts.sites, clock))
            listener = Listener(server, parts.presence.certificates, port=0, addresses=[ADDRESS], grace=1.0)
            async with listener, asyncio.timeout(30):
                fresh = tasks.create_task(parts.presence.keep_fresh())
                port, trust = listener.addresses[0].port, directory.ca_file
                old = await Visitor.come(ADDRESS, port, trust)
                assert old.certificate.not_valid_after_utc > clock.now() + SERVER_LIFE - RENEW_BEFORE

                await asyncio.sleep(0)
                await clock.advance(SERVER_LIFE - RENEW_BEFORE - dt.timedelta(days=1))
                same = await Visitor.come(ADDRESS, port, trust)
                assert same.certificate == old.certificate, "not before it is due"

                await clock.advance(dt.timedelta(days=1, seconds=2 * RENEWAL_CHECK))
                while (new := await Visitor.come(ADDRESS, port, None)).certificate == old.certificate:
                    new.leave()
                new.check(trust, now=clock.now())
                assert new.certificate.not_valid_after_utc > old.certificate.not_valid_after_utc
                for visitor in (old, same, new):
                    assert await visitor.is_served(), "old connections live on"
                    visitor.leave()
                fresh.cancel()


async def test_a_new_hub_is_in_the_certificate_at_once(tmp_path: Path) -> None:
    with HomeportServer(tmp_path / "data", (ADDRESS, NEW_HUB)) as server:
        async with Operator(server.data) as operator:
            ca_file = Path(operator.info.ca_file)
            old = await Visitor.come(ADDRESS, 443, ca_file)
            await operator.admin.create_hub("plant", host_names=[NEW_HUB, "plant.example"])
            # Verified by name: they would not get in unless the certificate has it.
            mqtt, https = [await Visitor.come(NEW_HUB, port, ca_file) for port in (8883, 443)]
            names = https.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert names.get_values_for_type(x509.DNSName) == ["plant.example"]
            mqtt.leave()
            https.leave()
            assert await old.is_served()
            old.leave()
        assert server.stop() == 0


async def test_a_certificate_that_ran_out_while_the_server_was_off_is_new_after_the_start(tmp_path: Path) -> None:
    config = Config(data=tmp_path / "data", hostname=(ADDRESS,), bind=(ADDRESS,))
    clock = SteppingClock()
    contents = []
    for _ in range(2):
        with DataDirectory(config.data) as directory:
            async with build(config, directory, clock=clock):
                contents.append(directory.read("server.pem"))
        await clock.advance(2 * SERVER_LIFE)
    assert contents[0] != contents[1]
