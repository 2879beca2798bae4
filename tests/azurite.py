"""Microsoft's emulator of blob storage, in a process of its own, with an account and a certificate made for the run."""

import base64
import os
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from azure.storage.blob import BlobServiceClient

from homeport.app.pki import create_root_ca, issue_server_certificate

ADDRESS = "127.0.53.40"
ACCOUNT = "files"
START_LIMIT = 60.0
_PROGRAM = Path(__file__).parent / "conformance" / "azurite" / "node_modules" / ".bin" / "azurite-blob"


class Azurite:
    """A running account; in use between entering and leaving it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file = folder / "ca.pem"
        self._folder = folder
        self.secret = base64.b64encode(os.urandom(64)).decode()
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind((ADDRESS, 0))
            self._port: int = probe.getsockname()[1]

    @property
    def connection_string(self) -> str:
        endpoint = f"https://{ADDRESS}:{self._port}/{ACCOUNT}"
        return f"DefaultEndpointsProtocol=https;AccountName={ACCOUNT};AccountKey={self.secret};BlobEndpoint={endpoint}"

    def client(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(self.connection_string, connection_verify=str(self.ca_file))

    def __enter__(self) -> Self:
        now = datetime.now(UTC)
        root = create_root_ca(name="azurite", now=now)
        server = issue_server_certificate(root, names=[ADDRESS], now=now)
        self.ca_file.write_bytes(root.certificate)
        certificate, key, log = (self._folder / name for name in ("server.pem", "server.key", "azurite.log"))
        certificate.write_bytes(server.certificate)
        key.write_bytes(server.key)
        options = ["--blobHost", ADDRESS, "--blobPort", str(self._port), "--cert", str(certificate), "--key", str(key)]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                # Newer clients than it knows are let in: what they use here is old.
                [str(_PROGRAM), *options, "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"],
                stdout=output,
                stderr=output,
                env=os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{self.secret}"},
            )
        deadline = time.monotonic() + START_LIMIT
        while b"successfully listens" not in log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(log.read_text(errors="replace"))
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
