"""Kill -9 under scheduled jobs: the next process goes on, no device is left out, and no method is called twice."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from homeport.hub.jobs.runner import DEVICES_AT_ONCE
from homeport.security import sas
from tests.server import HomeportServer

HUB = "127.0.61.3"
DEVICES = 2 * DEVICES_AT_ONCE + 5
FOREVER = 4102444800
UPDATE = {
    "type": "scheduleUpdateTwin",
    "updateTwin": {"etag": "*", "tags": {"site": "north"}, "properties": {"desired": {"interval": 5}}},
    "queryCondition": "*",
}
METHOD = {
    "type": "scheduleDeviceMethod",
    "cloudToDeviceMethod": {"methodName": "reboot", "payload": None, "connectTimeoutInSeconds": 1},
    "queryCondition": "*",
}
UPDATED = "SELECT COUNT() AS n FROM devices WHERE tags.site = 'north' AND properties.desired.interval = 5"


class Service:
    """Somebody who uses the hub's API, whichever process is behind it."""

    def __init__(self, connection_string: str, ca_file: str, host: str = HUB) -> None:
        self._host = host
        given = dict(part.split("=", 1) for part in connection_string.split(";"))
        token = sas.sign(host, sas.decode_key(given["SharedAccessKey"]), FOREVER, given["SharedAccessKeyName"])
        self._trust = ssl.create_default_context(cafile=ca_file)
        self._headers = {"Authorization": token}

    async def __call__(self, method: str, path: str, document: Any = None) -> Any:
        async with httpx.AsyncClient(base_url=f"https://{self._host}", verify=self._trust) as client:
            answer = await client.request(
                method,
                path,
                params={"api-version": "2021-04-12"},
                json=document,
                headers=self._headers,
                timeout=30,
            )
        assert answer.is_success, answer.text
        return answer.json()

    async def waits_for(self, job_id: str, holds: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(60):
            while not holds(job := await self("GET", f"/jobs/v2/{job_id}")):  # noqa: ASYNC110  # read over HTTP
                await asyncio.sleep(0.02)
        return job


async def test_jobs_survive_the_process_that_ran_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with HomeportServer(data, (HUB,)) as server:
        values = server.connection()
        service = Service(values["HOMEPORT_HUB_CONNECTION_STRING"], values["HOMEPORT_CA_FILE"])
        names = [f"d{number:02}" for number in range(DEVICES)]
        await service("POST", "/devices", [{"id": name, "importMode": "create"} for name in names])
        await service("PUT", "/jobs/v2/method", METHOD)
        # Nobody is there: each call waits for its device, and the first have been given up when the server dies.
        await service.waits_for("method", lambda job: job["deviceJobStatistics"]["failedCount"] > 0)
        await service("PUT", "/jobs/v2/update", UPDATE)
        server.kill()
    with HomeportServer(data, (HUB,)):
        for job_id in ("method", "update"):
            job = await service.waits_for(job_id, lambda job: job["status"] == "completed")
            assert job["deviceJobStatistics"]["deviceCount"] == DEVICES
        assert await service("POST", "/devices/query", {"query": UPDATED}) == [{"n": DEVICES}]
        text = "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'method'"
        rows = await service("POST", "/devices/query", {"query": text})
    assert [row["deviceId"] for row in rows] == names
    told = Counter(row["error"]["code"] for row in rows)
    assert told.keys() <= {"DeviceNotOnline", "JobInterrupted"}
    # What was under way when the server died is told as such, once; the others were called.
    assert told["JobInterrupted"] <= DEVICES_AT_ONCE
