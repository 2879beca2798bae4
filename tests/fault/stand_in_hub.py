"""A hub elsewhere, in all its moods: as much of a registry as a first registration needs, over real TLS."""

import asyncio
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from homeport.app.pki import KeyPair, create_root_ca, issue_server_certificate
from homeport.clock import SystemClock

KEY = "c3RhbmQtaW4ga2V5IG9mIHRoaXJ0eS10d28gYnl0ZXM="


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that reached the hub."""

    at: float
    """On the monotonic clock."""
    method: str
    path: str


@dataclass(slots=True, kw_only=True)
class StandInHub:
    """Does its work as long as `answer` is None; otherwise it answers with that status and these headers.

    While `held` is set, requests wait until it is cleared by `recover`.
    """

    host: str
    ca: KeyPair = field(repr=False)
    devices: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    answer: tuple[int, Mapping[str, str]] | None = None
    unwilling: dict[tuple[str, str], int] = field(default_factory=dict)
    """Statuses for some calls only, by method and collection: `("DELETE", "devices")`."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """A request has come."""
    _well: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    @classmethod
    def at(cls, host: str) -> "StandInHub":
        hub = cls(host=host, ca=create_root_ca(name="elsewhere", now=SystemClock().now()))
        hub._well.set()
        return hub

    @property
    def connection_string(self) -> str:
        return f"HostName={self.host};SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}"

    @property
    def creations(self) -> list[Call]:
        return [call for call in self.calls if call.method == "POST"]

    def hold(self) -> None:
        """Let every request wait."""
        self._well.clear()

    async def go_down(self) -> None:
        """Refuse connections."""
        assert self._runner is not None
        await self._runner.cleanup()
        self._runner = None

    async def recover(self) -> None:
        """Be well again, whatever it was."""
        self.answer = None
        self.unwilling.clear()
        self._well.set()
        if self._runner is None:
            await self.open()

    async def open(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        pair = issue_server_certificate(self.ca, names=[self.host], now=SystemClock().now())
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.TemporaryDirectory() as folder:
            both = Path(folder, "server.pem")
            both.write_bytes(pair.certificate + pair.key)
            context.load_cert_chain(both)
        await web.TCPSite(self._runner, self.host, 443, ssl_context=context).start()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["StandInHub"]:
        await self.open()
        try:
            yield self
        finally:
            self._well.set()
            if self._runner is not None:
                await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if not request.path.endswith("/homeport-link-check"):
            self.calls.append(Call(at=time.monotonic(), method=request.method, path=request.path))
            self.asked.set()
        await self._well.wait()
        unwilling = self.unwilling.get((request.method, request.path.strip("/").partition("/")[0]))
        answer = self.answer if unwilling is None else (unwilling, {})
        if answer is not None:
            status, headers = answer
            return web.json_response({"Message": "ErrorCode:NotNow;not now"}, status=status, headers=headers)
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["devices", device_id]:
                device = self.devices.get(device_id)
                return web.json_response(device, status=200) if device else _error(404, "DeviceNotFound")
            case "POST", ["devices"]:
                [entry] = await request.json()
                assert entry["id"] not in self.devices, "nothing is created twice"
                self.devices[entry["id"]] = {"deviceId": entry["id"], "etag": "MQ==", **entry}
                return web.json_response({"isSuccessful": True, "errors": [], "warnings": []})
            case "DELETE", ["devices", device_id]:
                if device_id not in self.devices:
                    return _error(404, "DeviceNotFound")
                del self.devices[device_id]
                return web.Response(status=204)
            case "GET", ["twins", device_id]:
                device = self.devices.get(device_id)
                return web.json_response(_twin(device)) if device else _error(404, "DeviceNotFound")
            case "PUT", ["devices", device_id]:
                self.devices[device_id] = await request.json()
                return web.json_response(self.devices[device_id])
            case _:
                return _error(400, "InvalidProtocolVersion")


def _twin(device: Mapping[str, Any]) -> dict[str, Any]:
    """The twin of a device that was created in one call with it."""
    properties = {
        name: {**(device.get("properties", {}).get(name) or {}), "$version": 1, "$metadata": {}}
        for name in ("desired", "reported")
    }
    return {"deviceId": device["deviceId"], "tags": device.get("tags", {}), "properties": properties}


def _error(status: int, code: str) -> web.StreamResponse:
    document = {"Message": f"ErrorCode:{code};nothing there", "ExceptionMessage": "Tracking ID:0-G:0"}
    return web.json_response(document, status=status, headers={"iothub-errorcode": code})
