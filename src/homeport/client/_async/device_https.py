"""A device's requests over HTTPS (contract dps.md 3)."""

import ssl

import httpx

from homeport.client._async.http import HttpSession, segment
from homeport.client.registration import API_VERSION, Answer
from homeport.client.retry import NO_RETRY


class HttpsConversation:
    """One device and its service; the connection is kept between requests."""

    def __init__(
        self,
        host: str,
        port: int,
        id_scope: str,
        registration_id: str,
        *,
        context: ssl.SSLContext,
        seconds: float,
        api_version: str = API_VERSION,
    ) -> None:
        self._path = f"/{segment(id_scope)}/registrations/{segment(registration_id)}"
        self._session = HttpSession(
            host if port == 443 else f"{host}:{port}",
            context=context,
            timeout=seconds,
            retry=NO_RETRY,
            query={"api-version": api_version},
        )

    async def register(self, body: bytes, token: str | None, *, seconds: float) -> Answer:
        """Ask for a hub. Raises TransportError."""
        return await self._ask("PUT", f"{self._path}/register", body, token, seconds)

    async def operation_status(self, operation_id: str, token: str | None, *, seconds: float) -> Answer:
        """Ask how far the service is. Raises TransportError."""
        return await self._ask("GET", f"{self._path}/operations/{segment(operation_id)}", None, token, seconds)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._session.aclose()

    async def _ask(self, method: str, path: str, body: bytes | None, token: str | None, seconds: float) -> Answer:
        headers = {} if token is None else {"Authorization": token}
        response: httpx.Response = await self._session.exchange(
            method, path, body=body, headers=headers, seconds=seconds
        )
        return Answer(status=response.status_code, body=response.content, headers=response.headers)
