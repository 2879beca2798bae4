"""Kill -9 under an import and an export: the next process goes on, and nothing is left out or reported twice."""

import asyncio
import json
from pathlib import Path

import httpx

from tests.fault.test_job_kill import Service
from tests.server import HomeportServer

HUB = "127.0.61.4"
DEVICES = 3000
MODES = {"importMode": "create", "status": "enabled"}


class Files:
    """The built-in store, by the address that the operator is told."""

    def __init__(self, server: HomeportServer, ca_file: str) -> None:
        self.url = server.run("hub", "files", "hub1", "--writable").stdout.splitlines()[-1]
        self._ca_file = ca_file

    async def ask(self, method: str, name: str, content: bytes = b"") -> httpx.Response:
        url = self.url.replace("/uploads?", f"/uploads/{name}?")
        async with httpx.AsyncClient(verify=self._ca_file, timeout=30) as client:
            return await client.request(method, url, content=content, headers={"x-ms-blob-type": "BlockBlob"})


async def test_transfers_survive_the_process_that_ran_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with HomeportServer(data, (HUB,)) as server:
        values = server.connection()
        service = Service(values["HOMEPORT_HUB_CONNECTION_STRING"], values["HOMEPORT_CA_FILE"], HUB)
        files = Files(server, values["HOMEPORT_CA_FILE"])
        # One is there already, at the very beginning: its error must be told once.
        await service("POST", "/devices", [{"id": "d0000", **MODES}])
        lines = [json.dumps({"id": f"d{number:04}", **MODES}) for number in range(DEVICES)]
        assert (await files.ask("PUT", "devices.txt", "\n".join(lines).encode())).status_code == 201
        both = {"inputBlobContainerUri": files.url, "outputBlobContainerUri": files.url}
        job = await service("POST", "/jobs/create", {"type": "import", **both})
        await reaches(service, job["jobId"], 20)
        server.kill()
    with HomeportServer(data, (HUB,)) as server:
        done = await reaches(service, job["jobId"], 100)
        assert done["status"] == "completed"
        assert (await service("GET", "/statistics/devices"))["totalDeviceCount"] == DEVICES
        log = (await files.ask("GET", "importErrors.log")).text.splitlines()
        assert [json.loads(line)["deviceId"] for line in log] == ["d0000"]
        asked = {"type": "export", "outputBlobContainerUri": files.url, "outputBlobName": "out.txt"}
        job = await service("POST", "/jobs/create", asked)
        await reaches(service, job["jobId"], 1)
        server.kill()
    with HomeportServer(data, (HUB,)):
        await reaches(service, job["jobId"], 100)
        written = (await files.ask("GET", "out.txt")).text.splitlines()
        assert [json.loads(line)["id"] for line in written] == [f"d{number:04}" for number in range(DEVICES)]


async def reaches(service: Service, job_id: str, percent: int) -> dict[str, object]:
    async with asyncio.timeout(60):
        while True:
            job: dict[str, object] = await service("GET", f"/jobs/{job_id}")
            progress = job["progress"]
            assert isinstance(progress, int)
            if progress >= percent or job["status"] in {"completed", "failed", "cancelled"}:
                return job
            await asyncio.sleep(0.01)
