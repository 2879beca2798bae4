"""The device's client: registers with the provisioning service and comes back with a hub (contract dps.md 3, 4, 7)."""

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self, assert_never

from homeport.client._async.backend import Pause, pause
from homeport.client._async.device_amqp import AmqpConversation
from homeport.client._async.device_https import HttpsConversation
from homeport.client._async.device_mqtt import MqttConversation
from homeport.client._async.latency import candidate_hubs, latency_to
from homeport.client._async.register import (
    ANSWER_SECONDS,
    Conversation,
    Registration,
    SecurityProvider,
    tpm_keys,
)
from homeport.client.registration import API_VERSION, ISSUING_API_VERSION, RegistrationResult, with_latencies
from homeport.client.retry import NO_RETRY, RetryPolicy
from homeport.client.security import X509SecurityProvider
from homeport.client.tpm import TpmSecurityProvider
from homeport.client.trust import CaFile, tls_context
from homeport.clock import Clock, SystemClock

Transport = Literal["mqtt", "mqtt-ws", "amqp", "amqp-ws", "https"]

_PERSISTENT = RetryPolicy(attempts=1000)
"""A device has nothing better to do; the time-out ends it."""


class ProvisioningDeviceClient:
    """Registers one device, as often as it is asked to."""

    def __init__(
        self,
        provisioning_host: str,
        id_scope: str,
        security_provider: SecurityProvider,
        *,
        transport: Transport,
        port: int | None,
        context: ssl.SSLContext,
        retry: RetryPolicy,
        clock: Clock,
        pause: Pause,
    ) -> None:
        """Use `create`, which knows the usual values."""
        self._host = provisioning_host
        self._id_scope = id_scope
        self._provider = security_provider
        self._transport: Transport = transport
        self._port = port
        self._context = context
        self._retry = retry
        self._clock = clock
        self._pause = pause

    @classmethod
    def create(
        cls,
        provisioning_host: str,
        id_scope: str,
        security_provider: SecurityProvider,
        *,
        transport: Transport | None = None,
        ca_file: CaFile = None,
        port: int | None = None,
        retry: RetryPolicy = _PERSISTENT,
        clock: Clock | None = None,
        pause: Pause = pause,
    ) -> Self:
        """Make a client; nothing is sent yet.

        `transport` is `mqtt` unless said otherwise, for a TPM `https`: a TPM cannot prove itself over MQTT. `port`
        replaces the transport's own, 8883 for `mqtt`, 5671 for `amqp` and 443 for the others. `ca_file` (PEM) is
        trusted in place of the system's authorities. `clock` and `pause` replace the world in tests. Raises
        ValueError, or TransportError for an unusable `ca_file`.
        """
        is_tpm = isinstance(security_provider, TpmSecurityProvider)
        chosen: Transport = transport or ("https" if is_tpm else "mqtt")
        if is_tpm and chosen in {"mqtt", "mqtt-ws"}:
            raise ValueError("a TPM device registers over https, amqp or amqp-ws, not over mqtt")
        if not provisioning_host or not id_scope:
            raise ValueError("a provisioning host and an id scope are needed")
        context = tls_context(ca_file)
        if isinstance(security_provider, X509SecurityProvider):
            security_provider.load_into(context)
        return cls(
            provisioning_host,
            id_scope,
            security_provider,
            transport=chosen,
            port=port,
            context=context,
            retry=retry,
            clock=clock or SystemClock(),
            pause=pause,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: connections last no longer than a registration."""

    async def measure_latencies(self, *, timeout: float = 2.0) -> dict[str, float]:
        """Return how far each hub is that the device could be assigned to: connection time in milliseconds.

        Asks the service over HTTPS which hubs those are; one that is not Homeport does not tell, and nothing is
        measured. `timeout`, in seconds, holds for each answer and each connection; hubs that are not reached are left
        out. Raises TypeError for a TPM device, ProvisioningServiceError, TransportError.
        """
        port = self._port if self._transport != "mqtt" and self._port else 443
        hosts = await candidate_hubs(
            self._host,
            port,
            self._id_scope,
            self._provider,
            context=self._context,
            clock=self._clock,
            retry=NO_RETRY,
            seconds=timeout,
        )
        found = {}
        for host in hosts:
            took = await latency_to(host, seconds=timeout)
            if took is not None:
                found[host] = took
        return found

    async def register(
        self,
        payload: Any = None,
        *,
        csr: bytes | None = None,
        latencies: Mapping[str, float] | None = None,
        timeout: float = 120.0,
    ) -> RegistrationResult:
        """Register and return the device's hub; a TPM then holds the hub's key.

        `payload` is any JSON value, for custom allocation. `csr` is a certificate request (PKCS#10, DER) for the
        registration id: the result then has the certificate that the device shows its hub. `latencies`, as
        `measure_latencies` returns them, tell a Homeport how far the hubs are; they travel in the payload, which must
        then be an object or None. Within `timeout` seconds in all, faults of the transport, throttling and faults of
        the server are met by trying again, later each time.

        Raises RegistrationError if the service heard the device and gave it no hub; UnauthorizedError,
        NotFoundError or another ProvisioningServiceError if it refused the device, with the tracking id that finds
        the reason; RegistrationTimeoutError, whose cause is the last fault; UntrustedServerError; TpmError.
        """
        conversation = self._conversation(API_VERSION if csr is None else ISSUING_API_VERSION)
        try:
            registration = Registration(
                conversation,
                self._id_scope,
                self._provider,
                retry=self._retry,
                clock=self._clock,
                pause=self._pause,
                timeout=timeout,
            )
            return await registration.finish(with_latencies(payload, latencies), csr)
        finally:
            await conversation.aclose()

    def _conversation(self, api_version: str) -> Conversation:
        registration_id = self._provider.registration_id
        match self._transport:
            case "https":
                return HttpsConversation(
                    self._host,
                    self._port or 443,
                    self._id_scope,
                    registration_id,
                    context=self._context,
                    seconds=ANSWER_SECONDS,
                    api_version=api_version,
                )
            case "mqtt" | "mqtt-ws":
                websocket = self._transport == "mqtt-ws"
                return MqttConversation(
                    self._host,
                    self._port or (443 if websocket else 8883),
                    self._id_scope,
                    registration_id,
                    context=self._context,
                    websocket=websocket,
                    api_version=api_version,
                )
            case "amqp" | "amqp-ws":
                websocket = self._transport == "amqp-ws"
                return AmqpConversation(
                    self._host,
                    self._port or (443 if websocket else 5671),
                    self._id_scope,
                    registration_id,
                    context=self._context,
                    websocket=websocket,
                    tpm=tpm_keys(self._provider),
                    api_version=api_version,
                )
            case _:
                assert_never(self._transport)
