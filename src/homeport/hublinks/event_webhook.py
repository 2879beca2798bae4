"""Events to webhooks over the network."""

from collections.abc import Mapping

from homeport.dps.events.ports import Answer, WebhookError
from homeport.net.http_client import HttpClient, HttpClientError

_SECONDS = 15.0
_MAX_ANSWER = 64 * 1024


class HttpWebhook:
    """Calls webhooks; one pool of connections for each set of trusted authorities. Call `close` at the end."""

    def __init__(self) -> None:
        self._clients: dict[str | None, HttpClient] = {}

    async def call(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, ca_certificates: str | None
    ) -> Answer:
        try:
            answer = await self._client(ca_certificates).request(method, url, headers=headers, body=body)
        except (HttpClientError, ValueError) as error:
            raise WebhookError(str(error)) from error
        return Answer(status=answer.status, headers={name.lower(): value for name, value in answer.headers.items()})

    async def close(self) -> None:
        """Close all connections."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

    def _client(self, ca_certificates: str | None) -> HttpClient:
        client = self._clients.get(ca_certificates)
        if client is None:
            client = HttpClient(ca_pem=ca_certificates, seconds=_SECONDS, max_answer=_MAX_ANSWER)
            self._clients[ca_certificates] = client
        return client
