"""A device at its hub over HTTPS (contract hub.md 14): it can send, and that is all it does here."""

import asyncio
from collections.abc import Mapping
from typing import Any

from homeport.client import NO_RETRY
from homeport.client._async.http import HttpSession, segment
from homeport.simulation.home import ANSWER_SECONDS, Credential, HomeError

API_VERSION = "2021-04-12"


class HttpsHome:
    """See `Home`. HTTPS keeps no connection that the hub would know of."""

    two_way = False

    def __init__(self, credential: Credential) -> None:
        self._path = f"/devices/{segment(credential.device_id)}/messages/events"
        self._session = HttpSession(
            credential.hub if credential.port == 443 else f"{credential.hub}:{credential.port}",
            context=credential.context,
            timeout=ANSWER_SECONDS,
            retry=NO_RETRY,
            authorization=credential.token,
            query={"api-version": API_VERSION},
        )

    async def connect(self) -> None:
        """Do nothing: each request proves itself."""

    async def listen(self) -> None:
        """Hear nothing, until cancelled."""
        await asyncio.Event().wait()

    async def send(self, body: bytes, properties: Mapping[str, str]) -> None:
        headers = {f"iothub-app-{name}": value for name, value in properties.items()}
        headers |= {"iothub-contenttype": "application/json", "iothub-contentencoding": "utf-8"}
        await self._session.send("POST", self._path, body=body, headers=headers, repeatable=False)

    async def read_twin(self) -> Mapping[str, Any]:
        raise HomeError("a device has no twin over HTTPS")

    async def report(self, patch: Mapping[str, Any]) -> None:
        del patch
        raise HomeError("a device has no twin over HTTPS")

    async def aclose(self) -> None:
        await self._session.aclose()
