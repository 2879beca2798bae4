"""One simulated device: from power-on to the end of the run, told top to bottom."""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import Any

import msgspec
from msgspec import Struct

from homeport.client import (
    ClientError,
    RegistrationResult,
    SymmetricKeySecurityProvider,
    TpmSecurityProvider,
    X509SecurityProvider,
)
from homeport.client.aio import ProvisioningDeviceClient
from homeport.client.tokens import device_token
from homeport.client.trust import tls_context
from homeport.clock import SystemClock
from homeport.proto import ProtocolError
from homeport.simulation.factory import Provider
from homeport.simulation.home import Credential, Handlers, Home, MethodAnswer
from homeport.simulation.home_amqp import AmqpHome
from homeport.simulation.home_https import HttpsHome
from homeport.simulation.home_mqtt import MqttHome
from homeport.simulation.measures import Measures, Step
from homeport.simulation.profile import Attestation, Profile, Transport
from homeport.simulation.values import fill
from homeport.values import hiding

TROUBLE = (ClientError, OSError, ProtocolError, msgspec.MsgspecError)
REGISTER_SECONDS = 120.0
PATIENCE_SECONDS = 60.0
"""How long a device tries to come back to its hub before it has failed."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
_GLANCE = 1.0
"""How soon a device notices that the end of its run is known."""
_TOKEN_MARGIN = timedelta(hours=2)


class Place(Struct, frozen=True, kw_only=True):
    """Where a server's devices find it."""

    endpoint: str
    id_scope: str
    ca_file: str | None
    https_port: int = 443
    mqtt_port: int = 8883
    amqp_port: int = 5671

    def port(self, transport: Transport) -> int:
        """Return the port of a transport."""
        return {"mqtt": self.mqtt_port, "amqp": self.amqp_port}.get(transport, self.https_port)


@hiding("dice")
class Identity(Struct, frozen=True, kw_only=True):
    """A device before it is switched on."""

    name: str
    attestation: Attestation
    transport: Transport
    starts_after: float
    dice: random.Random


@dataclass(slots=True)
class Run:
    """When it is over, on the steady clock; that is known when every device has registered, or has failed to."""

    ends: float = inf


class SimulatedDevice:
    """Lives until its run ends; `measures` hears of everything."""

    def __init__(
        self, identity: Identity, provider: Provider, place: Place, profile: Profile, measures: Measures, run: Run
    ) -> None:
        """Make a device that is off."""
        self.identity = identity
        self.result: RegistrationResult | None = None
        self.has_tried = asyncio.Event()
        """Set when it has registered, or failed to."""
        self.reachable = False
        """Whether the hub can call a method now."""
        self._provider = provider
        self._place = place
        self._profile = profile
        self._measures = measures
        self._run = run
        self._was_connected = False
        self._sent = 0
        self._desired: asyncio.Queue[int] = asyncio.Queue()
        self._reports_next = inf

    async def live(self, gate: asyncio.Semaphore) -> None:
        """Do everything that the profile says; never raises for what goes wrong. `gate` bounds who registers."""
        await asyncio.sleep(self.identity.starts_after)
        try:
            try:
                async with gate:
                    self.result = await self._register()
            finally:
                self.has_tried.set()
            self._measures.registered += 1
            self._measures.hubs[self.result.assigned_hub] += 1
            await self._stay(self.result)
        except TROUBLE as error:
            self._measures.failed[self.identity.name] = str(error) or type(error).__name__
        finally:
            self._measures.finished += 1

    async def _register(self) -> RegistrationResult:
        transport: Any = self.identity.transport
        if isinstance(self._provider, TpmSecurityProvider) and transport in {"mqtt", "mqtt-ws"}:
            transport = "https"  # a TPM cannot prove itself over MQTT
        with self._measured(Step.REGISTER):
            client = ProvisioningDeviceClient.create(
                self._place.endpoint,
                self._place.id_scope,
                self._provider,
                transport=transport,
                ca_file=self._place.ca_file,
                port=self._place.port(transport),
            )
            return await client.register(timeout=REGISTER_SECONDS)

    async def _stay(self, result: RegistrationResult) -> None:
        """Be connected until the run ends, also if the connection does not last that long."""
        attempt, away_since = 0, inf
        while True:
            worked = self._sent
            try:
                await self._one_connection(result)
            except TROUBLE:
                now = time.monotonic()
                if self._sent > worked:  # whoever got something done begins to count anew
                    attempt, away_since = 0, now
                attempt, away_since = attempt + 1, min(away_since, now)
                pause = min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE) * self.identity.dice.uniform(0.5, 1.5)
                if now + pause >= min(away_since + PATIENCE_SECONDS, self._run.ends):
                    raise
                await asyncio.sleep(pause)
                continue
            attempt, away_since = 0, inf
            away = self._profile.flapping.away if self._profile.flapping is not None else 0.0
            if self._done() or self._left() <= away:
                return
            await asyncio.sleep(away)

    async def _one_connection(self, result: RegistrationResult) -> None:
        async with self._connected(result) as home:
            if home.two_way and self._profile.twin is not None:
                with self._measured(Step.READ_TWIN):
                    await home.read_twin()
                await self._report(home)
            await self._work(home)

    @asynccontextmanager
    async def _connected(self, result: RegistrationResult) -> AsyncIterator[Home]:
        """Connect, and listen while the block runs; whatever ends the connection ends the block."""
        home = self._home(result)
        try:
            with self._measured(Step.CONNECT):
                await home.connect()
            self._measures.connected += 1
            self._measures.reconnections += self._was_connected
            self._was_connected = True
            self.reachable = home.two_way
            try:
                async with asyncio.TaskGroup() as tasks:
                    listening = tasks.create_task(self._listen(home))
                    yield home
                    listening.cancel()
            except BaseExceptionGroup as group:
                error = _first(group)
                if not isinstance(error, TROUBLE):
                    raise
                raise error from None
            finally:
                self.reachable = False
                self._measures.connected -= 1
        finally:
            with contextlib.suppress(*TROUBLE):
                await home.aclose()

    async def _listen(self, home: Home) -> None:
        try:
            await home.listen()
        except TROUBLE as error:
            self._measures.losses += 1
            self._measures.fault(Step.STAY, error)
            raise

    async def _work(self, home: Home) -> None:
        """Send, report and answer until it is time to leave."""
        flapping = self._profile.flapping
        leaves = inf
        if flapping is not None:
            leaves = time.monotonic() + flapping.every * self.identity.dice.uniform(0.5, 1.5)
        sends = self._first_message()
        while not self._done():
            now = time.monotonic()
            if now >= leaves:
                return
            wakes = min(leaves, self._run.ends, sends, self._reports_next, now + _GLANCE)
            if await self._heard_desired(home, max(wakes - now, 0.0)):
                continue
            now = time.monotonic()
            if now >= sends:
                await self._send(home)
                sends = self._next_message()
            if home.two_way and now >= self._reports_next:
                await self._report(home)

    def _done(self) -> bool:
        return time.monotonic() >= self._run.ends or (self._profile.leaves and self._said_all())

    def _said_all(self) -> bool:
        telemetry = self._profile.telemetry
        return telemetry is None or (telemetry.at_most is not None and self._sent >= telemetry.at_most)

    def _left(self) -> float:
        return self._run.ends - time.monotonic()

    def _first_message(self) -> float:
        """Return when to send first: devices that came together do not all speak at once."""
        telemetry = self._profile.telemetry
        if telemetry is None or self._said_all():
            return inf
        if self._profile.leaves and not self._sent:
            return 0.0
        return time.monotonic() + telemetry.every * self.identity.dice.random()

    def _next_message(self) -> float:
        telemetry = self._profile.telemetry
        if telemetry is None or self._said_all():
            return inf
        pause: float = telemetry.every * self.identity.dice.uniform(1 - telemetry.jitter, 1 + telemetry.jitter)
        return time.monotonic() + pause

    async def _heard_desired(self, home: Home, seconds: float) -> bool:
        """Wait for a change of desired properties and report that it was heard; False if none came in that time."""
        try:
            async with asyncio.timeout(seconds):
                version = await self._desired.get()
        except TimeoutError:
            return False
        with self._measured(Step.REPORT):
            await home.report({"desiredVersion": version})
        return True

    async def _send(self, home: Home) -> None:
        telemetry = self._profile.telemetry
        assert telemetry is not None
        number, dice = self._sent + 1, self.identity.dice
        body = msgspec.json.encode(fill(telemetry.body, dice, number))
        properties = {name: _text(fill(value, dice, number)) for name, value in telemetry.properties.items()}
        with self._measured(Step.SEND):
            await home.send(body, properties)
        self._sent += 1

    async def _report(self, home: Home) -> None:
        twin = self._profile.twin
        assert twin is not None
        if twin.report_every is not None:
            self._reports_next = time.monotonic() + twin.report_every
        with self._measured(Step.REPORT):
            await home.report(fill(twin.report, self.identity.dice, self._sent + 1))

    # --- what the hub says first ------------------------------------------------------------------------------

    def _answer(self, name: str, payload: Any) -> MethodAnswer:
        if not self._profile.methods:
            return 501, {"error": "this device answers no methods"}
        self._measures.methods += 1
        return 200, {"method": name, "payload": payload, "device": self.identity.name}

    def _hear_desired(self, change: Mapping[str, Any]) -> None:
        self._measures.desired += 1
        version = change.get("$version")
        if self._profile.twin is not None and isinstance(version, int):
            self._desired.put_nowait(version)

    # --- proof ------------------------------------------------------------------------------------------------

    def _home(self, result: RegistrationResult) -> Home:
        transport = self.identity.transport
        credential = Credential(
            hub=result.assigned_hub,
            port=self._place.port(transport),
            device_id=result.device_id,
            context=self._context(),
            token=self._signer(result),
        )
        handlers = Handlers(method=self._answer, desired=self._hear_desired, message=lambda: None)
        match transport:
            case "mqtt" | "mqtt-ws":
                return MqttHome(credential, handlers, websocket=transport == "mqtt-ws")
            case "amqp" | "amqp-ws":
                return AmqpHome(credential, handlers, websocket=transport == "amqp-ws")
            case "https":
                return HttpsHome(credential)

    def _context(self) -> ssl.SSLContext:
        context = tls_context(self._place.ca_file)
        if isinstance(self._provider, X509SecurityProvider):
            self._provider.load_into(context)
        return context

    def _signer(self, result: RegistrationResult) -> Callable[[], str] | None:
        provider = self._provider
        if not isinstance(provider, SymmetricKeySecurityProvider | TpmSecurityProvider):
            return None
        # Good for the whole run: what renews tokens is not what is simulated.
        life = timedelta(seconds=self._profile.arrival + self._profile.duration) + _TOKEN_MARGIN
        return lambda: device_token(provider, result.assigned_hub, result.device_id, SystemClock().now(), life)

    @contextlib.contextmanager
    def _measured(self, step: Step) -> Any:
        begun = time.monotonic()
        try:
            yield
        except TROUBLE as error:
            self._measures.fault(step, error)
            raise
        self._measures.took(step, time.monotonic() - begun)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
