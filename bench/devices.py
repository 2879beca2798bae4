"""Devices by the hundred, ready before the clock starts: names, tokens, certificates, and the groups they belong to."""

import base64
import hmac
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
from OpenSSL import SSL

from bench.link import Credential, Place, client_context
from bench.tpm import Chip
from homeport.security import sas
from tests.certificates import Certified, make_certificate

API_VERSION = "2021-10-01"
TOKEN_SECONDS = 3600
_BULK = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device with the proof it will offer."""

    name: str
    token: str | None = field(default=None, repr=False)
    credential: Credential | None = field(default=None, repr=False)
    chip: Chip | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where the server under test listens, and the keys its operator has."""

    address: str
    https: Place
    mqtt: Place
    amqp: Place
    id_scope: str
    connection_string: str = field(repr=False)

    def token(self) -> str:
        """Return a token for the service API."""
        fields = dict(part.split("=", 1) for part in self.connection_string.split(";"))
        return sas.sign(
            sas.encode_resource(fields["HostName"]),
            sas.decode_key(fields["SharedAccessKey"]),
            int(time.time()) + TOKEN_SECONDS,
            fields["SharedAccessKeyName"],
        )

    def operator(self) -> httpx.Client:
        """Open a connection to the service API."""
        return httpx.Client(
            base_url=f"https://{self.https[0]}:{self.https[1]}",
            params={"api-version": API_VERSION},
            headers={"Authorization": self.token(), "Host": self.address},
            verify=False,
            timeout=30,
        )

    def enroll(self, names: Sequence[str], attestation: dict[str, Any]) -> None:
        """Create enrollments that prove themselves alike, ten in a call (contract dps.md 8.7)."""
        with self.operator() as http:
            for portion in (names[start : start + _BULK] for start in range(0, len(names), _BULK)):
                enrollments = [{"registrationId": name, "attestation": attestation} for name in portion]
                answer = http.post("/enrollments", json={"mode": "create", "enrollments": enrollments})
                if answer.status_code != 200 or not answer.json()["isSuccessful"]:
                    raise RuntimeError(f"enrollments were not created: {answer.status_code} {answer.text}")

    def put_group(self, name: str, attestation: dict[str, Any], **members: Any) -> None:
        """Create an enrollment group through the service API (contract dps.md 8.1); `members` are of its document."""
        with self.operator() as http:
            document = {"enrollmentGroupId": name, "attestation": attestation, **members}
            answer = http.put(f"/enrollmentGroups/{name}", json=document)
        if answer.status_code != 200:
            raise RuntimeError(f"the group {name} was not created: {answer.status_code} {answer.text}")


def device_token(id_scope: str, name: str, key: bytes) -> str:
    """Sign a token for registering."""
    resource = quote(f"{id_scope}/registrations/{name}", safe="")
    return sas.sign(resource, key, int(time.time()) + TOKEN_SECONDS, "registration")


class KeyGroup:
    """Devices of a symmetric-key group."""

    mechanism = "sas"

    def __init__(self, service: Service, name: str, *, tls: str, **members: Any) -> None:
        self._service = service
        self._key = os.urandom(32)
        self.context: SSL.Context = client_context(tls)
        key = base64.b64encode(self._key).decode()
        service.put_group(name, {"type": "symmetricKey", "symmetricKey": {"primaryKey": key}}, **members)

    def device_key(self, name: str) -> bytes:
        return hmac.digest(self._key, name.encode(), "sha256")

    def devices(self, prefix: str, count: int) -> list[Device]:
        return self.named(f"{prefix}-{number}" for number in range(count))

    def named(self, names: Iterable[str]) -> list[Device]:
        return [
            Device(name=name, token=device_token(self._service.id_scope, name, self.device_key(name))) for name in names
        ]


class AskedGroup(KeyGroup):
    """Devices of a symmetric-key group whose hub a webhook chooses (contract dps.md 9.3)."""

    mechanism = "sas-webhook"

    def __init__(self, service: Service, name: str, *, tls: str, webhook: str) -> None:
        definition = {"webhookUrl": webhook, "apiVersion": API_VERSION}
        super().__init__(service, name, tls=tls, allocationPolicy="custom", customAllocationDefinition=definition)


class CertificateGroup:
    """Devices with certificates of their own, issued by an intermediate below the group's root."""

    mechanism = "x509"

    def __init__(self, service: Service, name: str, *, tls: str) -> None:
        root = make_certificate("bench root", ca=True)
        self._intermediate: Certified = root.issue("bench factory", ca=True)
        self.context: SSL.Context = client_context(tls, self._intermediate)
        signers = {"signingCertificates": {"primary": {"certificate": root.pem}}}
        service.put_group(name, {"type": "x509", "x509": signers})

    def devices(self, prefix: str, count: int) -> list[Device]:
        names = (f"{prefix}-{number}" for number in range(count))
        return [Device(name=name, credential=Credential.of(self._intermediate.issue(name))) for name in names]


class TpmDevices:
    """Devices with a TPM, each enrolled by itself."""

    mechanism = "tpm"

    def __init__(self, service: Service, *, tls: str) -> None:
        self._service = service
        self._chip = Chip.new()
        self.context: SSL.Context = client_context(tls)

    def devices(self, prefix: str, count: int) -> list[Device]:
        names = [f"{prefix}-{number}" for number in range(count)]
        endorsement_key = base64.b64encode(self._chip.keys.endorsement_key).decode()
        self._service.enroll(names, {"type": "tpm", "tpm": {"endorsementKey": endorsement_key}})
        return [Device(name=name, chip=self._chip) for name in names]


Group = KeyGroup | CertificateGroup | TpmDevices
