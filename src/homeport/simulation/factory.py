"""Enrolls the devices of a simulation and makes their secrets; takes back what it enrolled."""

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from homeport.client import (
    AttestationMechanism,
    EnrollmentGroup,
    IndividualEnrollment,
    InitialTwin,
    NotFoundError,
    SymmetricKeySecurityProvider,
    TpmSecurityProvider,
    X509SecurityProvider,
    derive_device_key,
)
from homeport.client.aio import ProvisioningServiceClient
from homeport.simulation.profile import Attestation
from homeport.simulation.tpm import SimulatedTpm, new_key
from homeport.values import hiding

Provider = SymmetricKeySecurityProvider | X509SecurityProvider | TpmSecurityProvider

AT_ONCE = 16
LIFE = timedelta(days=30)
BACKDATE = timedelta(hours=1)


@hiding("key")
class Issuer(Struct, frozen=True, kw_only=True):
    """A certificate authority of the simulated factory."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


class Factory:
    """Makes devices; `folder` is where certificates and keys are written, and must be private."""

    def __init__(
        self, service: ProvisioningServiceClient, folder: Path, *, prefix: str, now: datetime, tags: Mapping[str, Any]
    ) -> None:
        self._service = service
        self._folder = folder
        self._prefix = prefix
        self._now = now
        self._twin = InitialTwin.of(tags=dict(tags)) if tags else None
        self._groups: list[str] = []
        self._individuals: list[str] = []
        self._group_key = ""
        self._root: Issuer | None = None

    async def make(self, devices: Sequence[tuple[str, Attestation]], done: Callable[[], None]) -> dict[str, Provider]:
        """Enroll devices and return their secrets by name; `done` is called for each. Raises as the client does."""
        kinds = {attestation for _, attestation in devices}
        if "key-group" in kinds:
            made = await self._enroll_group("keys", AttestationMechanism.for_symmetric_key())
            keys = made.attestation.symmetric_key
            assert keys is not None
            self._group_key = keys.primary_key or ""
        if "x509-group" in kinds:
            self._root = self._issue(f"{self._prefix} root", None)
            await self._enroll_group("certificates", AttestationMechanism.for_x509_signing(self._root.pem))
        storage = await asyncio.to_thread(new_key) if "tpm" in kinds else None
        providers: dict[str, Provider] = {}

        async def one(name: str, attestation: Attestation) -> None:
            providers[name] = await self._device(name, attestation, storage)
            done()

        await _limited(partial(one, *device) for device in devices)
        return providers

    async def clean_up(self, registrations: Iterable[str]) -> None:
        """Take back the enrollments, and the registrations of these ids; what is gone already is fine."""

        async def gone(remove: Callable[[str], Awaitable[None]], name: str) -> None:
            try:
                await remove(name)
            except NotFoundError:
                return

        service = self._service
        await _limited(partial(gone, service.delete_registration_state, name) for name in registrations)
        await _limited(partial(gone, service.delete_individual_enrollment, name) for name in self._individuals)
        for group in self._groups:
            await gone(service.delete_enrollment_group, group)

    async def _device(self, name: str, attestation: Attestation, storage: Any) -> Provider:
        match attestation:
            case "key-group":
                return SymmetricKeySecurityProvider(name, derive_device_key(self._group_key, name))
            case "x509-group":
                return self._certified(name, self._root)
            case "symmetric-key":
                key, other = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
                mechanism = AttestationMechanism.for_symmetric_key(primary_key=key, secondary_key=other)
                await self._enroll(name, mechanism)
                return SymmetricKeySecurityProvider(name, key)
            case "x509":
                provider = self._certified(name, None)
                mechanism = AttestationMechanism.for_x509_client(provider.certificate_file.read_text())
                await self._enroll(name, mechanism)
                return provider
            case "tpm":
                tpm = await asyncio.to_thread(SimulatedTpm.make, storage)
                mechanism = AttestationMechanism.for_tpm(endorsement_key=tpm.endorsement_key)
                await self._enroll(tpm.registration_id, mechanism, device_id=name)
                return tpm
            case _:
                assert_never(attestation)

    async def _enroll(self, registration_id: str, mechanism: AttestationMechanism, **more: Any) -> None:
        await self._service.create_or_update_individual_enrollment(
            IndividualEnrollment(
                registration_id=registration_id, attestation=mechanism, initial_twin=self._twin, **more
            )
        )
        self._individuals.append(registration_id)

    async def _enroll_group(self, kind: str, mechanism: AttestationMechanism) -> EnrollmentGroup:
        group_id = f"{self._prefix}-{kind}"
        made = await self._service.create_or_update_enrollment_group(
            EnrollmentGroup(enrollment_group_id=group_id, attestation=mechanism, initial_twin=self._twin)
        )
        self._groups.append(group_id)
        return made

    def _certified(self, name: str, issuer: Issuer | None) -> X509SecurityProvider:
        made = self._issue(name, issuer)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_text(made.pem)
        key.touch(mode=0o600)
        key.write_bytes(
            made.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return X509SecurityProvider(certificate, key, registration_id=name)

    def _issue(self, name: str, issuer: Issuer | None) -> Issuer:
        """Issue a device's certificate; without an issuer it signs itself, and may be a root."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - BACKDATE)
            .not_valid_after(self._now + LIFE)
            .add_extension(x509.BasicConstraints(ca=name.endswith(" root"), path_length=None), critical=True)
            .sign(issuer.key if issuer else key, hashes.SHA256())
        )
        return Issuer(certificate=certificate, key=key)


async def _limited(works: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Do all of them, a few at a time."""
    waiting = iter(tuple(works))

    async def worker() -> None:
        for work in waiting:
            await work()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(worker())
