"""What a hub of the stand-in knows beside devices: modules, twins that are written, methods, jobs, configurations."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

Json = dict[str, Any]


@dataclass
class HubMemory:
    """What tests put in and look at. Keys are ids, of modules `{device}/{module}`."""

    modules: dict[str, Json] = field(default_factory=dict)
    jobs: dict[str, Json] = field(default_factory=dict)
    parts: dict[str, list[Json]] = field(default_factory=dict)
    configurations: dict[str, Json] = field(default_factory=dict)
    written: list[tuple[str, Json, str | None]] = field(default_factory=list)
    """Twins as they were written: identity, document, If-Match."""
    called: list[tuple[str, Json]] = field(default_factory=list)
    answer: Json | None = None
    """What devices answer to methods; None: none is connected."""
    purged: int = 0
    asked: list[str] = field(default_factory=list)
    """Queries with a condition."""
    found: list[Json] = field(default_factory=list)
    """What they find."""

    def respond(self, request: httpx.Request, parts: list[str]) -> httpx.Response | None:
        """Answer what is about these nouns, None for anything else."""
        match request.method, parts:
            case "GET", ["devices", device, "modules"]:
                return _json([each for each in self.modules.values() if each["deviceId"] == device])
            case "GET", ["devices" | "twins", device, "modules", module]:
                found = self.modules.get(f"{device}/{module}")
                return _json(found) if found else _refused(404, "ModuleNotFound", module)
            case "DELETE", ["devices", _, "commands"]:
                purged, self.purged = self.purged, 0
                return _json({"deviceId": parts[1], "totalMessagesPurged": purged})
            case "PUT", ["twins", *identity]:
                return self._write("/".join(identity).replace("/modules/", "/"), request)
            case "POST", ["twins", *identity, "methods"]:
                self.called.append(("/".join(identity), json.loads(request.content)))
                if self.answer is None:
                    return _refused(404, "DeviceNotOnline", "Timed out waiting for device to connect.")
                return _json(self.answer)
            case _, ["jobs", "v2", *rest]:
                return self._jobs(request, rest)
            case "POST", ["devices", "query"] if b"devices.jobs" in request.content:
                return self._parts(request)
            case "POST", ["devices", "query"] if b"WHERE" in request.content:
                return self._search(request)
            case "GET", ["configurations"]:
                return _json(list(self.configurations.values()))
            case "GET", ["configurations", name]:
                found = self.configurations.get(name)
                return _json(found) if found else _refused(404, "ConfigurationNotFound", name)
        return None

    def add_job(self, job_id: str, *, status: str = "completed", **more: Any) -> None:
        self.jobs[job_id] = {
            "jobId": job_id,
            "type": "scheduleUpdateTwin",
            "status": status,
            "queryCondition": "*",
            "createdTime": "2026-03-14T11:00:00.0000000Z",
            "startTime": "2026-03-14T11:00:00.0000000Z",
            "maxExecutionTimeInSeconds": 3600,
            "updateTwin": {"etag": "*", "tags": {"a": 1}},
            "deviceJobStatistics": {
                "deviceCount": 3,
                "succeededCount": 2,
                "failedCount": 1,
                "runningCount": 0,
                "pendingCount": 0,
            },
            **more,
        }

    def add_part(self, job_id: str, device_id: str, *, status: str = "completed", **more: Any) -> None:
        part = {
            "deviceId": device_id,
            "jobId": job_id,
            "jobType": "scheduleUpdateTwin",
            "status": status,
            "endTimeUtc": "2026-03-14T11:00:01.0000000Z",
            **more,
        }
        self.parts.setdefault(job_id, []).append(part)

    def add_configuration(self, name: str, **more: Any) -> None:
        self.configurations[name] = {
            "id": name,
            "schemaVersion": "1.0",
            "labels": {},
            "content": {
                "deviceContent": {"properties.desired.rate": 60},
                "moduleContent": None,
                "modulesContent": None,
            },
            "targetCondition": "tags.site = 'north'",
            "createdTimeUtc": "2026-03-14T11:00:00.0000000Z",
            "lastUpdatedTimeUtc": "2026-03-14T11:00:00.0000000Z",
            "priority": 10,
            "systemMetrics": {
                "results": {"targetedCount": 7, "appliedCount": 5},
                "queries": {"targetedCount": "select t", "appliedCount": "select a"},
            },
            "metrics": {"results": {}, "queries": {"mine": "SELECT deviceId FROM devices"}},
            "etag": "MQ==",
            **more,
        }

    def _write(self, identity: str, request: httpx.Request) -> httpx.Response:
        etag = request.headers.get("if-match")
        if etag == '"stale"':
            return _refused(412, "PreconditionFailed", "not the current one")
        document = json.loads(request.content)
        if "refuse" in document["tags"]:
            return _refused(400, "ArgumentInvalid", "tags hold <what> twins cannot")
        self.written.append((identity, document, etag))
        return _json({"deviceId": identity, "tags": {}, "properties": {"desired": {}, "reported": {}}})

    def _jobs(self, request: httpx.Request, rest: list[str]) -> httpx.Response:
        match request.method, rest:
            case "GET", ["query"]:
                wanted = request.url.params.get("jobStatus")
                return _json([each for each in self.jobs.values() if wanted in {None, each["status"]}])
            case "GET", [job_id]:
                return _json(self.jobs.get(job_id) or {"jobId": job_id, "type": "unknown", "status": "unknown"})
            case "PUT", [job_id]:
                document = json.loads(request.content)
                if "==" in document["queryCondition"]:
                    return _refused(400, "ArgumentInvalid", "'=' at character <8>")
                if job_id in self.jobs:
                    return _refused(409, "JobAlreadyExists", job_id)
                self.add_job(job_id, **{"status": "queued", "updateTwin": None} | document)
                return _json(self.jobs[job_id])
            case "POST", [job_id, "cancel"]:
                if self.jobs[job_id]["status"] in {"running", "scheduled", "queued"}:
                    self.jobs[job_id]["status"] = "cancelled"
                return _json(self.jobs[job_id])
        return _refused(404, "Unknown", "no such call")

    def _search(self, request: httpx.Request) -> httpx.Response:
        query = json.loads(request.content)["query"]
        self.asked.append(query)
        if "==" in query:
            return _refused(400, "ArgumentInvalid", "'=' at character <34>")
        return _json(self.found)

    def _parts(self, request: httpx.Request) -> httpx.Response:
        query = json.loads(request.content)["query"]
        for job_id, parts in self.parts.items():
            if f"'{job_id}'" in query:
                return _json([each for each in parts if "status" not in query or f"'{each['status']}'" in query])
        return _json([])


def _json(document: Any) -> httpx.Response:
    return httpx.Response(200, json=document)


def _refused(status: int, code: str, message: str) -> httpx.Response:
    body = {"Message": f"ErrorCode:{code};{message}", "ExceptionMessage": "Tracking ID:t-1-TimeStamp:x"}
    return httpx.Response(status, json=body)
