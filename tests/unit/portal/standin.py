"""A small service that speaks the public API from memory, so that pages can be tested without a server.

It knows the contract's shapes (dps.md 8, hub.md 4 to 6) and Homeport's own endpoints, and no more rules than pages
need.
"""

import asyncio
import base64
import json
import re
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import httpx

from homeport.client import NO_RETRY
from homeport.client.aio import HomeportAdminClient, HubClient, ProvisioningServiceClient
from homeport.portal import Entrance, PortalApi
from tests.unit.portal.standin_access import AccessMemory
from tests.unit.portal.standin_hub import HubMemory

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
KEY = base64.b64encode(bytes(range(32))).decode()
OWNER = f"HostName=localhost;SharedAccessKeyName=provisioningserviceowner;SharedAccessKey={KEY}"

LARGEST_PAGE = 10_000


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.0000000Z")


def check(name: str, detail: str, *, passed: bool = True) -> dict[str, Any]:
    return {"name": name, "passed": passed, "detail": detail}


class HubCertificates(dict[str, dict[str, Any]]):
    """The CA certificates of the hub alpha, by name."""

    def add(self, name: str, **properties: Any) -> None:
        self[name] = {
            "name": name,
            "etag": "1",
            "properties": {
                "subject": f"CN={name}",
                "expiry": stamp(NOW + timedelta(days=100)),
                "thumbprint": "AB",
                "isVerified": True,
                "created": stamp(NOW),
                "updated": stamp(NOW),
                "certificate": "MII=",
                **properties,
            },
        }

    def answer(self, request: httpx.Request, hub: str, rest: list[str]) -> httpx.Response:
        document = json.loads(request.content or b"{}")
        if hub != "alpha":
            return _refuse(404000, f"This server has no hub '{hub}' of its own.")
        match request.method, rest:
            case "GET", []:
                return _json({"value": list(self.values())})
            case "PUT", [name]:
                if name in self and "If-Match" not in request.headers:
                    return _refuse(409213, f"The hub has a CA certificate '{name}' already.")
                self.add(name, isVerified=document["properties"].get("isVerified", False))
            case _, [name, *_] if name not in self:
                return _refuse(404000, "The hub has no such CA certificate.")
            case "DELETE", [name]:
                del self[name]
                return httpx.Response(204)
            case "POST", [name, "generateVerificationCode"]:
                self[name]["properties"]["verificationCode"] = "C0DE"
            case "POST", [name, "verify"]:
                if document["certificate"] != "proof":
                    return _refuse(400000, "The verification certificate cannot be taken.")
                self.add(name)
        return _json(self[rest[0]])


class Standin:
    """The service's memory; `down` makes every request fail as if nothing listened."""

    def __init__(self) -> None:
        self.enrollments: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.registrations: dict[str, dict[str, Any]] = {}
        self.attempts: list[dict[str, Any]] = []
        self.hubs: dict[str, dict[str, Any]] = {}
        self.certificates: dict[str, dict[str, Any]] = {}
        self.hub_certificates = HubCertificates()
        self.expiring: list[dict[str, Any]] = []
        self.administrators: dict[str, dict[str, Any]] = {}
        """By token."""
        self.audit: list[dict[str, Any]] = []
        self.broken_at: int | None = None
        self.devices: dict[str, dict[str, dict[str, Any]]] = {}
        self.messages: dict[str, list[dict[str, Any]]] = {}
        self.listeners: list[asyncio.Queue[tuple[str, dict[str, Any]]]] = []
        self.names: dict[str, str] = {}
        """Hubs by host name, also after they were unlinked: they go on answering."""
        self.served: dict[str, HubClient] = {}
        self.hub = HubMemory()
        self.access = AccessMemory()
        self.down = False
        self.transport = httpx.MockTransport(self.answer)

    def api(self) -> PortalApi:
        made: dict[str, Any] = {"retry": NO_RETRY, "transport": self.transport, "verify": False}
        return PortalApi(
            service=ProvisioningServiceClient.create_from_connection_string(OWNER, **made),
            admin=HomeportAdminClient.create_from_connection_string(OWNER, **made),
            hubs=lambda: self.served,
        )

    async def enter(self, token: str) -> Entrance | None:
        """Let administrators in, each with clients of their own."""
        who = self.administrators.get(token)
        if who is None:
            return None
        made: dict[str, Any] = {"retry": NO_RETRY, "transport": self.transport, "verify": False}
        api = PortalApi(
            service=ProvisioningServiceClient.create_from_token("localhost", token, **made),
            admin=HomeportAdminClient.create_from_token("localhost", token, **made),
            hubs=lambda: self.served,
        )
        return Entrance(name=who["name"], role=who["role"], api=api)

    def add_hub(self, name: str, host: str, *, local: bool = True, weight: int = 1) -> None:
        self.hubs[name] = {
            "name": name,
            "hostName": host,
            "allocationWeight": weight,
            "applyAllocationPolicy": True,
            "local": local,
            "createdDateTimeUtc": stamp(NOW),
        }
        if local:
            self.devices[name] = {}
            self.names[host] = name
            text = f"HostName={host};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"
            self.served[name] = HubClient.create_from_connection_string(
                text, retry=NO_RETRY, transport=self.transport, verify=False
            )

    def add_device(self, hub: str, device_id: str, *, connected: bool = False, **twin: Any) -> None:
        self.devices[hub][device_id] = {
            "deviceId": device_id,
            "connectionState": "Connected" if connected else "Disconnected",
            "lastActivityTime": stamp(NOW - timedelta(seconds=40)) if connected else "0001-01-01T00:00:00Z",
            "tags": twin.get("tags", {}),
            "properties": {"desired": twin.get("desired", {}), "reported": twin.get("reported", {})},
        }

    def add_attempt(self, registration_id: str, *, outcome: str = "assigned", minutes: float = 0, **more: Any) -> str:
        tracking_id = str(uuid.uuid4())
        self.attempts.insert(
            0,
            {
                "trackingId": tracking_id,
                "registrationId": registration_id,
                "at": stamp(NOW - timedelta(minutes=minutes)),
                "transport": "mqtt",
                "remoteAddress": "192.0.2.7",
                "idScope": "0ne00000001",
                "apiVersion": "2021-10-01",
                "evidence": "SAS token",
                "checks": [check("enrollment", "group 'line' covers it")],
                "outcome": outcome,
                "reason": "",
                "advice": "",
                **more,
            },
        )
        self.attempts.sort(key=lambda attempt: str(attempt["at"]), reverse=True)
        return tracking_id

    def add_message(self, hub: str, device_id: str, body: Any, *, encoding: str = "json", **more: Any) -> None:
        kept = self.messages.setdefault(hub, [])
        message = {
            "deviceId": device_id,
            "partition": 0,
            "offset": len(kept),
            "enqueuedTime": stamp(NOW + timedelta(seconds=len(kept))),
            "size": len(str(body)),
            "bodyEncoding": encoding,
            "body": body,
            "systemProperties": {"contentType": "application/json"},
            "properties": {},
            "annotations": {},
            **more,
        }
        kept.append(message)
        for listener in self.listeners:
            listener.put_nowait(("telemetry", message))

    # ------------------------------------------------------------ answers

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("connection refused", request=request)
        assert request.headers["Authorization"].startswith(("SharedAccessSignature ", "Bearer "))
        if request.headers["Authorization"].startswith("Bearer "):
            who = self.administrators.get(request.headers["Authorization"].removeprefix("Bearer "))
            if who is None or (who["role"] == "reader" and request.method in {"PUT", "PATCH", "DELETE"}):
                return _refuse(401002, "Unauthorized")
        parts = [unquote(part) for part in request.url.raw_path.decode().partition("?")[0].split("/") if part]
        host = request.url.host
        noun = self._noun(request, parts)
        if noun is not None:
            return noun
        match request.method, parts:
            case _, ["homeport", "telemetry", *rest]:
                return await self._telemetry(request, self._hub(host), rest)
            case _, ["homeport", "monitor"]:
                return await self._monitor(request, self._hub(host))
            case _, ["homeport", *rest]:
                return self._homeport(request, rest)
            case _, ["enrollments", *rest]:
                return self._stored(request, rest, self.enrollments, "registrationId", (404201, 409201))
            case _, ["enrollmentGroups", *rest]:
                return self._stored(request, rest, self.groups, "enrollmentGroupId", (404202, 409202))
            case "POST", ["registrations", group, "query"]:
                found = [r for r in self.registrations.values() if r.get("enrollmentGroupId") == group]
                return _page(request, found)
            case "GET", ["registrations", name]:
                state = self.registrations.get(name)
                return _json(state) if state else _refuse(404203, "Registration not found.")
            case "DELETE", ["registrations", name]:
                return httpx.Response(204) if self.registrations.pop(name, None) else _refuse(404203, "Not found.")
            case "POST", ["devices", "query"]:
                return _page(request, sorted(self.devices[self._hub(host)].values(), key=lambda d: str(d["deviceId"])))
            case "GET", ["devices" | "twins", name]:
                device = self.devices[self._hub(host)].get(name)
                return _json(device) if device else _no_device(name)
            case "GET", ["statistics", "devices"]:
                number = len(self.devices[self._hub(host)])
                return _json({"totalDeviceCount": number, "enabledDeviceCount": number, "disabledDeviceCount": 0})
            case "GET", ["statistics", "service"]:
                devices = self.devices[self._hub(host)].values()
                return _json({"connectedDeviceCount": sum(d["connectionState"] == "Connected" for d in devices)})
        return _refuse(404000, "No such path.")

    def _noun(self, request: httpx.Request, parts: list[str]) -> httpx.Response | None:
        if parts[:1] == ["homeport"]:
            return self.access.respond(request, parts[1:])
        return self.hub.respond(request, parts)

    def _hub(self, host: str) -> str:
        return self.names[host]

    def _homeport(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        match request.method, parts:
            case "GET", ["why", name]:
                limit = int(request.url.params["limit"])
                return _json([a for a in self.attempts if a["registrationId"] == name][:limit])
            case "GET", ["attempts"]:
                return _page(request, self.attempts)
            case "GET", ["attempts", tracking_id]:
                found = next((a for a in self.attempts if a["trackingId"] == tracking_id), None)
                return _json(found) if found else _refuse(404000, "No such attempt.")
            case "POST", ["registrations", "query"]:
                return _found(request, list(self.registrations.values()), "registrationId")
            case _, ["certificates" | "expiring", *_]:
                return self._certificates(request, parts)
            case "GET", ["counts"]:
                return _json(
                    {
                        "enrollments": _counts(self.enrollments, "provisioningStatus"),
                        "enrollmentGroups": _counts(self.groups, "provisioningStatus"),
                        "registrations": _counts(self.registrations, "status") | {"byHub": {}},
                        "countedDateTimeUtc": stamp(NOW),
                    }
                )
            case "GET", ["me"]:
                owner = {"name": "owner", "role": "owner"}
                who = self.administrators.get(request.headers["Authorization"].removeprefix("Bearer "), owner)
                return _json({"kind": "administrator", "rights": [], **who})
            case "GET", ["administrators"]:
                return _json(list(self.administrators.values()))
            case "PUT", ["administrators", name]:
                token = f"hpt_{name}"
                self.administrators[token] = {"name": name, "role": json.loads(request.content)["role"]}
                return _json({**self.administrators[token], "token": token})
            case "DELETE", ["administrators", name]:
                self.administrators = {t: who for t, who in self.administrators.items() if who["name"] != name}
                return httpx.Response(204)
            case "GET", ["audit"]:
                kind = request.url.params.get("kind", "")
                return _page(request, [e for e in self.audit if e["entry"]["kind"].startswith(kind)])
            case "GET", ["audit", number]:
                return _json(self.audit[int(number) - 1])
            case "POST", ["audit", "verify"]:
                head = {"seq": 1, "hash": "00", "anchorSeq": 0, "anchorHash": "00", "signature": "", "publicKey": ""}
                broken = {} if self.broken_at is None else {"brokenAt": self.broken_at, "reason": "it was changed"}
                return _json({"ok": self.broken_at is None, "entries": len(self.audit), "head": head, **broken})
            case "GET", ["eventSubscriptions"]:
                return _json([])
            case _, ["hubs", hub, "certificates", *rest]:
                return self.hub_certificates.answer(request, hub, rest)
            case "GET", ["hubs"]:
                return _json(list(self.hubs.values()))
            case "PUT", ["hubs", name]:
                if name in self.hubs:
                    return _refuse(409204, "A linked hub with that name or host name exists.")
                wanted = json.loads(request.content)
                local = "hostNames" in wanted
                host = wanted["hostNames"][0] if local else wanted["connectionString"].split(";")[0].partition("=")[2]
                self.add_hub(name, host, local=local, weight=wanted["allocationWeight"])
                return _json(self.hubs[name])
            case "PATCH", ["hubs", name]:
                self.hubs[name] |= json.loads(request.content)
                return _json(self.hubs[name])
            case "POST", ["hubs", name, "check"] if name in self.hubs:
                health = {"state": "unreachable", "detail": "no <answer>", "checkedDateTimeUtc": "2024-06-01T12:00:00Z"}
                self.hubs[name] |= {"health": health}
                return _json(self.hubs[name])
            case "DELETE", ["hubs", name]:
                return httpx.Response(204) if self.hubs.pop(name, None) else _refuse(404000, "No such hub.")
        return _refuse(404000, "No such path.")

    def _certificates(self, request: httpx.Request, parts: list[str]) -> httpx.Response:
        document = json.loads(request.content) if request.content[:1] == b"{" else {}
        match request.method, parts:
            case "GET", ["expiring"]:
                return _json({"certificates": self.expiring, "more": 0})
            case "GET", ["certificates"]:
                return _json(list(self.certificates.values()))
            case "PUT", ["certificates", name]:
                if name in self.certificates:
                    return _refuse(409213, f"The CA certificate '{name}' exists already.")
                self.add_certificate(name, isVerified=document["isVerified"])
            case "DELETE", ["certificates", name] if self.certificates[name]["groups"]:
                return _refuse(409214, f"The CA certificate '{name}' is still referred to.")
            case "DELETE", ["certificates", name]:
                del self.certificates[name]
                return httpx.Response(204)
            case _, ["certificates", name, *_] if name not in self.certificates:
                return _refuse(404000, "There is no such CA certificate.")
            case "POST", ["certificates", name, "generateVerificationCode"]:
                self.certificates[name]["verificationCode"] = "C0DE"
            case "POST", ["certificates", name, "verify"]:
                if document["certificate"] != "proof":
                    return _refuse(400000, "The verification certificate cannot be taken.")
                self.certificates[name]["isVerified"] = True
            case "PATCH", ["certificates", name]:
                revocation = self.certificates[name]["revocation"] | document.pop("revocation", {})
                self.certificates[name] |= document | {"revocation": revocation}
            case "PUT", ["certificates", name, "crl"]:
                self.certificates[name]["crl"] = {
                    "source": "upload",
                    "entries": len(request.content),
                    "thisUpdateUtc": stamp(NOW),
                    "receivedDateTimeUtc": stamp(NOW),
                }
        return _json(self.certificates[parts[1]])

    def add_certificate(self, name: str, **more: Any) -> None:
        self.certificates[name] = {
            "name": name,
            "subject": f"CN={name}",
            "issuer": "CN=Issuer",
            "thumbprint": "AB",
            "sha256Thumbprint": "CD" * 32,
            "notBefore": stamp(NOW - timedelta(days=9)),
            "expiry": stamp(NOW + timedelta(days=90)),
            "isVerified": True,
            "certificate": "MII",
            "revocation": {"policy": "prefer", "useDistributionPoints": False, "useOcsp": False},
            "groups": [],
            "created": stamp(NOW),
            "updated": stamp(NOW),
            "etag": "e1",
            **more,
        }

    def _stored(
        self, request: httpx.Request, parts: list[str], kept: dict[str, Any], key: str, codes: tuple[int, int]
    ) -> httpx.Response:
        match request.method, parts:
            case "POST", ["query"]:
                shown = [_without_secrets(e) for _, e in sorted(kept.items(), key=lambda item: item[0].lower())]
                return _found(request, shown, key)
            case "POST", [name, "attestationmechanism"] if name in kept:
                return _json(kept[name]["attestation"])
            case "GET", [name] if name in kept:
                return _json(_without_secrets(kept[name]))
            case "DELETE", [name] if name in kept:
                del kept[name]
                return httpx.Response(204)
            case "PUT", [name]:
                return self._put(request, name, kept, codes)
        return _refuse(codes[0], "Enrollment not found.")

    def _put(self, request: httpx.Request, name: str, kept: dict[str, Any], codes: tuple[int, int]) -> httpx.Response:
        wanted, stored = json.loads(request.content), kept.get(name)
        expected = request.headers.get("If-Match")
        if stored and expected is None:
            return _refuse(codes[1], "Enrollment already exists.")
        if stored and expected not in ("*", stored["etag"]):
            return _refuse(412000, "Precondition failed.")
        if wanted["attestation"].get("tpm", {}).get("endorsementKey") == "AAAA":
            return _refuse(400000, "The endorsement key is no TPM2B_PUBLIC.")
        if wanted["attestation"]["type"] == "symmetricKey":
            before = stored["attestation"].get("symmetricKey", {}) if stored else {}
            given = wanted["attestation"].get("symmetricKey", {})
            keys = {"primaryKey": KEY, "secondaryKey": KEY[::-1]} | before | given
            wanted["attestation"]["symmetricKey"] = keys
        made = stored["createdDateTimeUtc"] if stored else stamp(NOW)
        kept[name] = wanted | {
            "etag": uuid.uuid4().hex,
            "createdDateTimeUtc": made,
            "lastUpdatedDateTimeUtc": stamp(NOW),
        }
        return _json(kept[name])

    async def _telemetry(self, request: httpx.Request, hub: str, rest: list[str]) -> httpx.Response:
        device_id = request.url.params.get("deviceId")
        kept = [m for m in self.messages.get(hub, []) if device_id in (None, m["deviceId"])]
        if rest == ["count"]:
            return _json({"deviceId": device_id, "count": len(kept)})
        if not rest:
            return _json(kept[::-1][: int(request.url.params["limit"])])
        return _refuse(404000, "There is no such address.")

    async def _monitor(self, request: httpx.Request, hub: str) -> httpx.Response:
        wanted, device_id = request.url.params["events"].split(","), request.url.params.get("deviceId")
        replay = int(request.url.params.get("replay", 0))
        queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        if device_id is not None:
            device = self.devices[hub].get(device_id)
            if device is None:
                return _no_device(device_id)
            if replay:
                queue.put_nowait(("connection", _connection(device)))
        kept = [m for m in self.messages.get(hub, []) if device_id in (None, m["deviceId"])]
        for message in kept[-replay or len(kept) :]:
            queue.put_nowait(("telemetry", message))
        self.listeners.append(queue)

        async def lines() -> AsyncIterator[bytes]:
            try:
                while True:
                    name, document = await queue.get()
                    if name in wanted and device_id in (None, document["deviceId"]):
                        yield f"event: {name}\ndata: {json.dumps(document)}\n\n".encode()
            finally:
                self.listeners.remove(queue)

        return httpx.Response(200, content=lines(), headers={"Content-Type": "text/event-stream"})

    def connect(self, hub: str, device_id: str, *, connected: bool = True) -> None:
        device = self.devices[hub][device_id]
        device["connectionState"] = "Connected" if connected else "Disconnected"
        device["lastActivityTime"] = stamp(NOW)
        for listener in self.listeners:
            listener.put_nowait(("connection", _connection(device)))


def _connection(device: dict[str, Any]) -> dict[str, Any]:
    told = {key: device[key] for key in ("deviceId", "connectionState", "lastActivityTime")}
    return {"time": stamp(NOW), **told}


def _without_secrets(enrollment: dict[str, Any]) -> dict[str, Any]:
    attestation = {name: value for name, value in enrollment["attestation"].items() if name != "symmetricKey"}
    return enrollment | {"attestation": attestation}


def _no_device(name: str) -> httpx.Response:
    body = {"Message": f"ErrorCode:DeviceNotFound;{name}", "ExceptionMessage": "Tracking ID:abc"}
    return httpx.Response(404, json=body, headers={"iothub-errorcode": "DeviceNotFound"})


def _json(document: Any) -> httpx.Response:
    return httpx.Response(200, json=document)


def _page(request: httpx.Request, items: list[Any]) -> httpx.Response:
    size = min(int(request.headers.get("x-ms-max-item-count", "100")), LARGEST_PAGE)
    start = int(request.headers.get("x-ms-continuation", "0"))
    more = {"x-ms-continuation": str(start + size)} if len(items) > start + size else {}
    return httpx.Response(200, json=items[start : start + size], headers=more)


def _found(request: httpx.Request, items: list[Any], key: str) -> httpx.Response:
    """Answer a query as far as the portal asks without being told more: everything, or the beginning of an id."""
    text = json.loads(request.content)["query"]
    if text in {"", "SELECT *"}:
        return _page(request, items)
    match = re.fullmatch(rf"SELECT \* WHERE STARTSWITH\({key}, '([^']*)'\)", text)
    if match is None:
        return _refuse(400005, "Expected WHERE at position 10, found '<'.")
    return _page(request, [item for item in items if item[key].lower().startswith(match[1].lower())])


def _counts(kept: dict[str, dict[str, Any]], member: str) -> dict[str, Any]:
    return {
        "total": len(kept),
        "byAttestation": {},
        "byStatus": dict(Counter(item.get(member) or "enabled" for item in kept.values())),
    }


def _refuse(code: int, message: str) -> httpx.Response:
    body = {"errorCode": code, "message": message, "trackingId": "tracking-of-the-refusal"}
    return httpx.Response(code // 1000, json=body)
