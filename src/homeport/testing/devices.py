"""Devices that belong to a test's server: enrolled with a secret of their own, and registered with it.

Certificates and keys are made on the spot; nothing of a device is shared between tests.
"""

import base64
import importlib.util
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, assert_never

from msgspec import Struct

from homeport.cli.demo.factory import Certified
from homeport.cli.demo.software_tpm import SoftwareTpm
from homeport.client import (
    AttestationMechanism,
    EnrollmentGroup,
    HubClient,
    IndividualEnrollment,
    InitialTwin,
    ProvisioningDeviceClient,
    RegistrationResult,
    SymmetricKeySecurityProvider,
    TelemetryMessage,
    TpmSecurityProvider,
    Twin,
    X509SecurityProvider,
    derive_device_key,
    make_azure_iot_device_client,
)
from homeport.client import aio as clients_aio
from homeport.clock import SystemClock
from homeport.testing.server import HomeportServer
from homeport.values import hiding

Provider = SymmetricKeySecurityProvider | X509SecurityProvider | TpmSecurityProvider

T = TypeVar("T")

PATIENCE_SECONDS = 10.0
_GLANCE = 0.02


class Attestation(StrEnum):
    """How a device proves itself."""

    SYMMETRIC_KEY = "symmetric-key"
    X509 = "x509"
    TPM = "tpm"
    KEY_GROUP = "key-group"
    X509_GROUP = "x509-group"


class CannotMakeDeviceError(Exception):
    """This machine lacks what the device needs; the text says what."""


@hiding("server")
class EnrolledDevice(Struct, frozen=True, kw_only=True):
    """A device that may register, and all that it knows."""

    server: HomeportServer
    registration_id: str
    attestation: Attestation
    provider: Provider
    """Its secret as our clients take it."""

    @property
    def id_scope(self) -> str:
        return self.server.connection.id_scope

    @property
    def global_endpoint(self) -> str:
        return self.server.connection.global_endpoint

    @property
    def key(self) -> str | None:
        """The device's own symmetric key, Base64; None for another attestation."""
        return self.provider.key if isinstance(self.provider, SymmetricKeySecurityProvider) else None

    @property
    def certificate_file(self) -> Path | None:
        """PEM of the certificate and its issuers; None for another attestation."""
        return self.provider.certificate_file if isinstance(self.provider, X509SecurityProvider) else None

    @property
    def key_file(self) -> Path | None:
        """PEM of the certificate's key."""
        return self.provider.key_file if isinstance(self.provider, X509SecurityProvider) else None

    def register(self, payload: Any = None, *, transport: str | None = None) -> "RegisteredDevice":
        """Register with our client, over `mqtt`, `mqtt-ws`, `amqp`, `amqp-ws` or `https`; raises as it does."""
        connection = self.server.connection
        ports = {"mqtt": connection.mqtt_port, "amqp": connection.amqp_port}
        chosen: Any = transport or ("https" if self.attestation is Attestation.TPM else "mqtt")
        client = ProvisioningDeviceClient.create(
            connection.global_endpoint,
            connection.id_scope,
            self.provider,
            transport=chosen,
            ca_file=connection.ca_file,
            port=ports.get(chosen, connection.https_port),
        )
        return RegisteredDevice(enrolled=self, result=client.register(payload))

    def azure_provisioning_client(self, *, aio: bool = False, **options: Any) -> Any:
        """Return Microsoft's `ProvisioningDeviceClient` for this device, or its aio twin; it knows no TPM."""
        device: Any = _azure("azure.iot.device.aio" if aio else "azure.iot.device")
        connection = self.server.connection
        options.setdefault("server_verification_cert", connection.ca)
        make = device.ProvisioningDeviceClient
        where = (connection.global_endpoint, self.registration_id, connection.id_scope)
        match self.provider:
            case SymmetricKeySecurityProvider() as provider:
                return make.create_from_symmetric_key(*where, provider.key, **options)
            case X509SecurityProvider() as provider:
                x509 = _azure("azure.iot.device").X509(str(provider.certificate_file), str(provider.key_file))
                return make.create_from_x509_certificate(*where, x509, **options)
            case TpmSecurityProvider():
                raise CannotMakeDeviceError("azure-iot-device knows no TPM; register() with our client does")
            case _:
                assert_never(self.provider)


@hiding("result")
class RegisteredDevice(Struct, frozen=True, kw_only=True):
    """A device that has a hub."""

    enrolled: EnrolledDevice
    result: RegistrationResult

    @property
    def device_id(self) -> str:
        return self.result.device_id

    @property
    def assigned_hub(self) -> str:
        """Host name of the hub."""
        return self.result.assigned_hub

    @property
    def connection_string(self) -> str:
        """`HostName=…;DeviceId=…;SharedAccessKey=…`, for a device with a symmetric key."""
        if self.enrolled.key is None:
            raise CannotMakeDeviceError(f"a device with {self.enrolled.attestation} has no key to write down")
        return f"HostName={self.assigned_hub};DeviceId={self.device_id};SharedAccessKey={self.enrolled.key}"

    def azure_client(self, *, aio: bool = False, **options: Any) -> Any:
        """Return Microsoft's `IoTHubDeviceClient` for this device, or its aio twin, not connected; shut it down."""
        options.setdefault("ca_file", self.enrolled.server.connection.ca_file)
        if aio:
            return complete(
                partial(clients_aio.make_azure_iot_device_client, self.result, self.enrolled.provider, **options)
            )
        return make_azure_iot_device_client(self.result, self.enrolled.provider, **options)

    @property
    def hub(self) -> HubClient:
        """The service's side of the device's hub."""
        return self.enrolled.server.hub

    def twin(self) -> Twin:
        """Return the twin as services see it."""
        return self.hub.get_twin(self.device_id)

    def wait_for_telemetry(self, count: int = 1, *, timeout: float = PATIENCE_SECONDS) -> list[TelemetryMessage]:
        """Return the device's messages at the hub, oldest first, as soon as there are `count`. Raises TimeoutError."""

        def arrived() -> list[TelemetryMessage] | None:
            messages = self.hub.telemetry(self.device_id, limit=1000)
            return messages[::-1] if len(messages) >= count else None

        return wait_until(arrived, timeout=timeout, what=f"{count} messages of {self.device_id} at the hub")

    def wait_for_twin(self, check: Callable[[Twin], bool], *, timeout: float = PATIENCE_SECONDS) -> Twin:
        """Return the twin as soon as `check` is true of it. Raises TimeoutError."""

        def fitting() -> Twin | None:
            twin = self.twin()
            return twin if check(twin) else None

        return wait_until(fitting, timeout=timeout, what=f"the expected twin of {self.device_id}")


def wait_until(look: Callable[[], T | None], *, timeout: float, what: str) -> T:
    """Return what `look` finds as soon as it is not None. Raises TimeoutError, which says `what` was awaited."""
    deadline = time.monotonic() + timeout
    while (found := look()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(_GLANCE)
    return found


class Factory:
    """Makes devices for one server and enrolls them; what they need lives until `close`."""

    def __init__(self, server: HomeportServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._stack = ExitStack()

    def close(self) -> None:
        """Power off the TPMs."""
        self._stack.close()

    def __call__(
        self,
        attestation: Attestation | str = Attestation.SYMMETRIC_KEY,
        *,
        registration_id: str | None = None,
        tags: dict[str, Any] | None = None,
        desired: dict[str, Any] | None = None,
        **enrollment: Any,
    ) -> EnrolledDevice:
        """Enroll a device, with an id of its own unless one is given; a group's device gets a group of its own.

        `tags` and `desired` are its first twin; `enrollment` is further fields of `IndividualEnrollment` or
        `EnrollmentGroup`. Raises CannotMakeDeviceError, ProvisioningServiceError.
        """
        kind = Attestation(attestation)
        name = registration_id or f"{kind}-{secrets.token_hex(4)}"
        if tags or desired:
            enrollment["initial_twin"] = InitialTwin.of(tags=tags or {}, desired=desired or {})
        provider = self._make(kind, name, enrollment)
        return EnrolledDevice(
            server=self._server, registration_id=provider.registration_id, attestation=kind, provider=provider
        )

    def _make(self, kind: Attestation, name: str, enrollment: dict[str, Any]) -> Provider:
        service, now = self._server.provisioning, SystemClock().now()
        match kind:
            case Attestation.SYMMETRIC_KEY:
                key, other = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
                mechanism = AttestationMechanism.for_symmetric_key(primary_key=key, secondary_key=other)
                self._enroll(name, mechanism, enrollment)
                return SymmetricKeySecurityProvider(name, key)
            case Attestation.X509:
                own = Certified.make(name, now=now)
                self._enroll(name, AttestationMechanism.for_x509_client(own.pem), enrollment)
                return X509SecurityProvider(*own.write(self._folder, name))
            case Attestation.TPM:
                return self._tpm(name, enrollment)
            case Attestation.KEY_GROUP:
                made = service.create_or_update_enrollment_group(
                    EnrollmentGroup(
                        enrollment_group_id=f"{name}-group",
                        attestation=AttestationMechanism.for_symmetric_key(),
                        **enrollment,
                    )
                )
                keys = made.attestation.symmetric_key
                assert keys is not None
                assert keys.primary_key is not None
                return SymmetricKeySecurityProvider(name, derive_device_key(keys.primary_key, name))
            case Attestation.X509_GROUP:
                root = Certified.make(f"{name} root", now=now, ca=True)
                service.create_or_update_enrollment_group(
                    EnrollmentGroup(
                        enrollment_group_id=f"{name}-group",
                        attestation=AttestationMechanism.for_x509_signing(root.pem),
                        **enrollment,
                    )
                )
                return X509SecurityProvider(*Certified.make(name, now=now, issuer=root).write(self._folder, name))
            case _:
                assert_never(kind)

    def _tpm(self, name: str, enrollment: dict[str, Any]) -> TpmSecurityProvider:
        if shutil.which("swtpm") is None:
            raise CannotMakeDeviceError("a TPM device needs swtpm (Debian: apt install swtpm)")
        if importlib.util.find_spec("tpm2_pytss") is None:
            raise CannotMakeDeviceError("a TPM device needs the TPM bindings: pip install homeport[tpm]")
        chip = self._stack.enter_context(SoftwareTpm(self._folder / f"{name}-tpm"))
        provider = self._stack.enter_context(TpmSecurityProvider(chip.tcti))
        mechanism = AttestationMechanism.for_tpm(endorsement_key=provider.endorsement_key)
        self._enroll(provider.registration_id, mechanism, {"device_id": name, **enrollment})
        return provider

    def _enroll(self, name: str, mechanism: AttestationMechanism, enrollment: dict[str, Any]) -> None:
        self._server.provisioning.create_or_update_individual_enrollment(
            IndividualEnrollment(registration_id=name, attestation=mechanism, **enrollment)
        )


def _azure(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CannotMakeDeviceError("Microsoft's client is missing: pip install homeport[pytest]") from error


def complete(make: Callable[[], Any]) -> Any:
    """Run a coroutine to its end, beside an event loop that may be running in this thread."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(make())).result()
