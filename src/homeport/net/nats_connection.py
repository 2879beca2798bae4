"""One connection to NATS, made again whenever it is lost; what goes over it is known elsewhere.

Nothing is kept for later: what cannot be sent now is not sent, and who missed something hears of it by `HintsLost`.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error, SlowConsumerError

from homeport.bus import BusError
from homeport.clock import Clock

CONNECT_SECONDS = 5.0
RETRY_SECONDS = 0.5
CLOSE_SECONDS = 1.0
PING_SECONDS = 5
"""Two unanswered pings, and the connection counts as lost."""
_DOUBT = timedelta(seconds=1)
"""A message may have been lost this long before the loss was seen, beside the pings."""
_LIMIT = 65536
"""Messages that may wait for us to read them; beyond that the newest are lost."""

_log = logging.getLogger(__name__)


Reading = Callable[[Msg], Awaitable[None]]


class NatsConnection:
    """Connects, subscribes, and says once when the connection is lost and when it is back."""

    def __init__(self, servers: Sequence[str], *, name: str, ca_file: str | None, clock: Clock) -> None:
        """Connect to `nats://` or `tls://` addresses, with credentials as user information if need be.

        Raises BusError for authorities that cannot be read.
        """
        self._servers = list(servers)
        self._name = name
        self._clock = clock
        self._tls: ssl.SSLContext | None = None
        if ca_file is not None or any(urlsplit(server).scheme == "tls" for server in servers):
            try:
                self._tls = ssl.create_default_context(cafile=ca_file)
            except (OSError, ssl.SSLError) as error:
                raise BusError(f"the authorities for the bus cannot be read from {ca_file}: {error}") from None
        self._subjects: dict[str, Reading] = {}
        self._client: Client | None = None
        self._ended = asyncio.Event()
        self._first_try = asyncio.Event()
        self._trouble: Exception | None = None
        self._lost_at: datetime | None = None
        self._said = False
        self.when_lost: Callable[[datetime], Awaitable[None]] = _ignore
        """Called with the moment from which messages may be missing, once they come again."""

    @property
    def client(self) -> Client | None:
        """The connected client; None while there is no connection."""
        return self._client if self._client is not None and self._client.is_connected else None

    @property
    def is_connected(self) -> bool:
        return self.client is not None

    def read(self, subject: str, reading: Reading) -> None:
        """Call this for each message of the subject, one after the other; to be said before `run`."""
        self._subjects[subject] = reading

    async def publish(self, subject: str, payload: bytes, *, reply: str = "") -> bool:
        """Send now, or tell that it cannot be sent."""
        client = self.client
        if client is None:
            return False
        try:
            await client.publish(subject, payload, reply=reply)
        except (Error, OSError):
            return False
        return True

    async def connected_soon(self) -> None:
        """Wait until the first attempt has ended, well or not."""
        await self._first_try.wait()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            async with self._connection() as connected:
                if connected:
                    await self._ended.wait()
            if self._lost_at is None:
                self._lost_at = self._clock.now() - timedelta(seconds=2 * PING_SECONDS) - _DOUBT
            self._say()
            await self._clock.sleep(RETRY_SECONDS)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[bool]:
        client = Client()
        self._ended.clear()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await client.connect(
                    self._servers,
                    name=self._name,
                    tls=self._tls,
                    no_echo=True,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=3,
                    ping_interval=PING_SECONDS,
                    max_outstanding_pings=2,
                    error_cb=self._note,
                    closed_cb=self._closed,
                )
                for subject, reading in self._subjects.items():
                    await client.subscribe(subject, cb=reading, pending_msgs_limit=_LIMIT)
                # The library's ping overtakes what it has not written yet; the second one is behind all subscriptions.
                await client.flush()
                await client.flush()
        except (Error, OSError, TimeoutError) as error:
            self._trouble = error
            await _close(client)
            self._first_try.set()
            yield False
            return
        self._client = client
        lost_at, self._lost_at = self._lost_at, None
        if self._said:
            self._said = False
            _log.info("the bus is connected again")
        self._first_try.set()
        if lost_at is not None:
            await self.when_lost(lost_at)
        try:
            yield True
        finally:
            self._client = None
            await _close(client)

    def _say(self) -> None:
        if not self._said:
            self._said = True
            _log.warning(
                "the bus at %s cannot be reached (%s); trying again until it can", self._places(), self._reason()
            )

    def _places(self) -> str:
        """Return where the servers are, without credentials."""
        parts = [urlsplit(server) for server in self._servers]
        return ", ".join(part.netloc.rpartition("@")[2] for part in parts)

    def _reason(self) -> str:
        # The class alone: what a library writes into its messages is not ours to vouch for.
        return "the connection was closed" if self._trouble is None else type(self._trouble).__name__

    async def _note(self, error: Exception) -> None:
        self._trouble = error
        if isinstance(error, SlowConsumerError):
            await self.when_lost(self._clock.now() - _DOUBT)

    async def _closed(self) -> None:
        self._ended.set()


async def _close(client: Client) -> None:
    # The library waits without end for the close of a TLS connection that was never made.
    with contextlib.suppress(Error, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()


async def _ignore(_: datetime) -> None:
    """Nobody wants to know."""
