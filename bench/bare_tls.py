"""The yardstick: Homeport's own listener and TLS, with a service that says nothing.

A program: `python -m bench.bare_tls ADDRESS` prints `ready PORT` and serves until SIGTERM.
"""

import asyncio
import signal
import sys
from datetime import UTC, datetime

import uvloop

from homeport.app.pki import KeyPair, create_root_ca, issue_server_certificate
from homeport.net.certificates import ServerCertificates
from homeport.net.listener import Listener, Spawn


class Silence:
    """A service whose connections end as soon as the client has no more to say."""

    def protocol(self, spawn: Spawn) -> asyncio.Protocol:
        del spawn
        return asyncio.Protocol()

    async def finish(self, grace: float) -> None:
        del grace


def server_pair(address: str) -> KeyPair:
    """Make a certificate as `homeport serve` makes its own."""
    now = datetime.now(UTC)
    return issue_server_certificate(create_root_ca(name="bench", now=now), names=[address], now=now)


def server_certificates(address: str) -> ServerCertificates:
    pair = server_pair(address)
    return ServerCertificates(pair.certificate, pair.key)


async def serve(address: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Listener(Silence(), server_certificates(address), port=0, addresses=[address], grace=1) as listener:
        print(f"ready {listener.addresses[0].port}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
