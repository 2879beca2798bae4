"""The server under attack: how to speak to it as bytes, what it may answer, and how to see that it is well."""

import base64
import contextlib
import json
import os
import re
import socket
import sqlite3
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import msgspec

from homeport.client import (
    AttestationMechanism,
    HomeportAdminClient,
    HubRegistryClient,
    IndividualEnrollment,
    ProvisioningDeviceClient,
    ProvisioningServiceClient,
    SymmetricKeySecurityProvider,
)
from homeport.client.admin_models import Attempt
from homeport.hub.model import Hub
from homeport.security.sas import decode_key, encode_key, encode_resource, sign
from tests.server import HomeportServer

ADDRESS = "127.0.66.1"
HTTPS, MQTT, AMQP = 443, 8883, 5671
SECONDS = 20.0
"""Longer than any answer takes, shorter than a hung test."""

_TRACES = re.compile(r"Traceback|File \"|\.py\b|asyncio|aiohttp|sqlite|msgspec|cryptography", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document


class Target:
    """A running server with its administrators."""

    def __init__(self, server: HomeportServer) -> None:
        self.server = server
        self.values = server.connection()
        self.host = self.values["HOMEPORT_GLOBAL_ENDPOINT"]
        self.id_scope = self.values["HOMEPORT_ID_SCOPE"]
        self.ca_file = self.values["HOMEPORT_CA_FILE"]
        self._dps, self._hub = (_parts(self.values[f"HOMEPORT_{each}_CONNECTION_STRING"]) for each in ("DPS", "HUB"))
        self.secrets = {self._dps["SharedAccessKey"], self._hub["SharedAccessKey"]}
        self.operator = self._client(ProvisioningServiceClient, "DPS")
        self.admin = self._client(HomeportAdminClient, "DPS")
        self.registry = self._client(HubRegistryClient, "HUB")
        self._normal: SymmetricKeySecurityProvider | None = None

    def close(self) -> None:
        """Close the administrators' connections: a server that stops waits for its clients' goodbye."""
        for client in (self.operator, self.admin, self.registry):
            client.close()

    def _client(self, kind: Any, service: str) -> Any:
        return kind.create_from_connection_string(
            self.values[f"HOMEPORT_{service}_CONNECTION_STRING"], ca_file=self.ca_file
        )

    # ---------------------------------------------------------------- its health

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.server.pid}/status").read_text()
        (kilobytes,) = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        return int(kilobytes) / 1024

    def log_size(self) -> int:
        return self.server.log.stat().st_size

    def log_since(self, size: int) -> str:
        with self.server.log.open("rb") as log:
            log.seek(size)
            return log.read().decode(errors="replace")

    def register_a_normal_device(self) -> None:
        """Let an ordinary device register on each transport, as if nothing had happened."""
        if self._normal is None:
            self._normal = SymmetricKeySecurityProvider(*self.enroll("normal"))
        for transport in ("https", "mqtt", "mqtt-ws", "amqp", "amqp-ws"):
            client = ProvisioningDeviceClient.create(
                self.host,
                self.id_scope,
                self._normal,
                transport=transport,
                ca_file=self.ca_file,
            )
            assert client.register(timeout=SECONDS).status == "assigned"
        assert self.admin.why(self._normal.registration_id, limit=1)[0].outcome == "assigned"

    def why(self, registration_id: str) -> list[Attempt]:
        attempts: list[Attempt] = self.admin.why(registration_id)
        return attempts

    # ---------------------------------------------------------------- proofs

    def enroll(self, prefix: str, **more: Any) -> tuple[str, str]:
        """Enroll a device with a key of its own; return its registration id and the key."""
        registration_id, key = unique(prefix), new_key()
        self.secrets.add(key)
        attestation = AttestationMechanism.for_symmetric_key(primary_key=key, secondary_key=key)
        self.operator.create_or_update_individual_enrollment(
            IndividualEnrollment(registration_id=registration_id, attestation=attestation, **more)
        )
        return registration_id, key

    def device_token(self, registration_id: str, key: str, *, life: int = 3600) -> str:
        resource = encode_resource(f"{self.id_scope}/registrations/{registration_id}")
        return sign(resource, decode_key(key), int(time.time()) + life, "registration")

    def hub_device_token(self, device_id: str, key: str) -> str:
        resource = encode_resource(f"{self.host}/devices/{device_id}")
        return sign(resource, decode_key(key), int(time.time()) + 3600)

    def owner_token(self) -> str:
        return _service_token(self._dps)

    def hub_owner_token(self) -> str:
        return _service_token(self._hub)

    def hub_policy_keys(self) -> dict[str, str]:
        """Return the hub's policies with their keys; only the owner's is shown anywhere, so the database is read."""
        (file,) = self.server.data.glob("*.db")
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            (hub,) = (msgspec.json.decode(data, type=Hub) for (data,) in database.execute("SELECT data FROM hubs"))
        keys = {policy.name: encode_key(policy.primary_key) for policy in hub.policies}
        self.secrets.update(keys.values())
        return keys

    def register_path(self, registration_id: str) -> str:
        return f"/{self.id_scope}/registrations/{registration_id}/register?api-version=2021-06-01"

    # ---------------------------------------------------------------- bytes

    def connect(self, port: int = HTTPS, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """Open a TLS connection. Raises OSError if the server does not want it."""
        plain = self.connect_tcp(port)
        try:
            return (context or self.context()).wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise

    def connect_tcp(self, port: int = HTTPS) -> socket.socket:
        return socket.create_connection((self.host, port), timeout=SECONDS)

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def ask_raw(self, data: bytes, context: ssl.SSLContext | None = None) -> Answer | None:
        """Send bytes to the HTTPS port and return the answer, None if the connection was closed without one."""
        with self.connect(context=context) as connection:
            with contextlib.suppress(OSError):  # it may have answered before it had read everything
                connection.sendall(data)
            return read_answer(connection, b"HEAD" if data.startswith(b"HEAD ") else b"GET")

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> Answer:
        """Send a request and return its answer."""
        lines = {"Host": self.host, "Content-Length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        answer = self.ask_raw(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body, context)
        assert answer is not None, "closed without an answer"
        return answer

    # ---------------------------------------------------------------- verdicts

    def assert_clear(self, answer: Answer) -> None:
        """Whatever was asked: no fault of the server, no trace of its inside, no secret."""
        assert answer.status < 500, answer
        text = answer.body.decode() + json.dumps(answer.headers)
        assert not _TRACES.search(text), answer
        assert [secret for secret in self.secrets if secret in text] == []

    def assert_refused(self, answer: Answer | None, *statuses: int) -> dict[str, Any]:
        """A refusal of the provisioning service: the contract's body (dps.md 3.6), its code and status agreeing."""
        assert answer is not None, "closed without an answer"
        self.assert_clear(answer)
        assert answer.status in (statuses or range(400, 500)), answer
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        document = answer.document
        assert document["errorCode"] // 1000 == answer.status
        assert document["message"]
        assert document["trackingId"]
        return document

    def assert_refused_by_hub(self, answer: Answer, *statuses: int) -> dict[str, Any]:
        """A refusal of a hub (contract hub.md 22.1)."""
        self.assert_clear(answer)
        assert answer.status in (statuses or range(400, 500)), answer
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        document = answer.document
        name = answer.headers["iothub-errorcode"]
        assert document["Message"].startswith(f"ErrorCode:{name};")
        assert document["Message"] != f"ErrorCode:{name};"
        assert "Tracking ID:" in document["ExceptionMessage"]
        return document


def read_answer(connection: socket.socket, method: bytes = b"GET") -> Answer | None:
    response = HTTPResponse(connection, method=method.decode())
    try:
        response.begin()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    except (OSError, HTTPException):
        return None


def unique(prefix: str) -> str:
    return f"{prefix}-{os.urandom(4).hex()}"


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def _parts(connection_string: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in connection_string.split(";") if part)


def _service_token(parts: dict[str, str]) -> str:
    key = decode_key(parts["SharedAccessKey"])
    return sign(encode_resource(parts["HostName"]), key, int(time.time()) + 3600, parts["SharedAccessKeyName"])
